//! `resume`: opens an experiment that exists, with other limits if asked for, and goes on with it.

use super::{manage, run};
use crate::{
    cli::{NewLimits, Resume},
    environment::Environment,
    exit::Exit,
    load::{self, Assembly, Failure, Loaded},
    locate,
    output::Output,
    session::{self, Session},
    web::{self, Front},
};
use std::sync::Arc;
use ts_core::{Clock, SystemClock};
use ts_manager::{
    ExperimentDirectory,
    store::{Change, Store},
};

/// Goes on with an experiment.
pub(crate) fn resume(environment: &Environment, output: &Output, args: &Resume) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, args.of.experiment.as_deref())?;
    let python = || Ok(web::python(&place.reader()?.experiment()?));
    let front = Front::wanted(&args.web, python)?;
    let mut session = open(output, &place.directory, args.limits)?;
    session.front = front;
    manage::here_or_apart(output, args, &place.id, session)
}

/// Takes the lock and opens everything.
pub(super) fn open(
    output: &Output,
    directory: &ExperimentDirectory,
    new_limits: NewLimits,
) -> Result<Session, Failure> {
    // Looks whether there is a store before the lock makes a file beside it.
    let row = ts_manager::store::StoreReader::open(&directory.store())?.experiment()?;
    let lock = directory.lock()?;
    let mut loaded = Loaded::from_store(&row)?;
    let assembly = Assembly::build(&mut loaded, &row.id, directory)?;
    for warning in &loaded.warnings {
        output.warning(warning);
    }
    let store = Store::open(&directory.store(), Arc::clone(&assembly.ctx.clock))?;
    let mut limits = row.limits;
    run::overwrite(&mut limits, new_limits);
    let runtime = session::runtime()?;
    if limits != row.limits {
        let at = SystemClock::new().now();
        runtime.block_on(store.apply(vec![Change::LimitsChanged { at, limits }]))?;
    }
    Ok(Session {
        runtime,
        directory: directory.clone(),
        lock,
        store,
        optimize: load::optimize(&loaded.config),
        assembly,
        requests: Vec::new(),
        front: None,
        trial_channel: loaded.config.trial_channel,
    })
}
