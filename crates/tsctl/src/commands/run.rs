//! `run`: checks a configuration, creates the experiment, and runs it here or in a process of its own.

use super::manage;
use crate::{
    cli::{NewLimits, Run},
    cli_web::Listen,
    environment::Environment,
    exit::Exit,
    load::{self, Assembly, Failure, Loaded, milliseconds},
    locate::registry,
    output::Output,
    session::{self, End, Session},
    web::{self, Front},
};
use tokio::runtime::Runtime;
use ts_core::{ErrorKind, ExperimentId, IdSource, RandomIds};
use ts_manager::{
    ExperimentDirectory,
    store::{Limits, NewExperiment, Store},
};

/// Runs a configuration.
pub(crate) fn run(environment: &Environment, output: &Output, args: &Run) -> Result<Exit, Failure> {
    let mut loaded = Loaded::from_file(environment, &args.file)?;
    let id = RandomIds.experiment();
    let directory = ExperimentDirectory::new(&loaded.config.working_dir, &id);
    let session = create(environment, output, &mut loaded, &id, &directory, args)?;
    if args.detach {
        drop(session); // gives up the lock and the port, which the new process takes
        return detached(output, &id, &directory, &args.web);
    }
    output.say(format_args!("experiment {id} in {}", directory.path().display()));
    foreground(output, &id, session)
}

/// Runs a session in this process and reports its end.
pub(super) fn foreground(output: &Output, id: &ExperimentId, session: Session) -> Result<Exit, Failure> {
    let (directory, optimize) = (session.directory.clone(), session.optimize);
    match session.run(output, &mut ())? {
        End::Outcome(_) => Ok(session::report(output, &directory, optimize)?),
        End::Left => {
            session::say_left(output, id);
            Ok(Exit::Interrupted)
        }
    }
}

/// Runs an experiment in a process of its own and prints its id.
pub(super) fn detached(
    output: &Output,
    id: &ExperimentId,
    directory: &ExperimentDirectory,
    web: &Listen,
) -> Result<Exit, Failure> {
    let pid = manage::spawn(directory, web)?;
    let address = web.wanted().and_then(|_| web::address(directory));
    let url = address.as_ref().map(|address| &address.url);
    output.data(
        &serde_json::json!({ "experiment": { "id": id, "directory": directory.path(), "managerPid": pid, "url": url } }),
        || format!("{id}\n"),
    )?;
    if let Some(address) = &address {
        output.say(format_args!("served at {}", address.url));
        if web.page.open {
            web::show(directory, address, output);
        }
    }
    output.say(format_args!("`tsctl status {id} --follow` shows how it goes"));
    Ok(Exit::Success)
}

fn create(
    environment: &Environment,
    output: &Output,
    loaded: &mut Loaded,
    id: &ExperimentId,
    directory: &ExperimentDirectory,
    args: &Run,
) -> Result<Session, Failure> {
    let front = Front::wanted(&args.web, || Ok(loaded.config.python.clone()))?;
    web::check_channel(loaded.config.trial_channel, front.as_ref())?;
    let runtime = session::runtime()?;
    let assembly = checked(&runtime, output, loaded, id, directory)?;
    directory.create()?;
    let lock = directory.lock()?;
    let mut limits = loaded.limits();
    overwrite(&mut limits, args.limits);
    let created = assembly.ctx.clock.now();
    let new = NewExperiment::new(id.clone(), created, loaded.stored_text(), limits).with_config(loaded.stored());
    let store = Store::create(&directory.store(), &new, assembly.ctx.clock.clone())?;
    if let Err(error) = registry(environment).and_then(|registry| registry.add(id, directory.path())) {
        let warning = ts_core::Warning::new(format!("the experiment is not listed: {error}"));
        output.warning(&warning.with_help("name its directory where tsctl asks for an experiment"));
    }
    Ok(Session {
        runtime,
        directory: directory.clone(),
        lock,
        store,
        optimize: load::optimize(&loaded.config),
        assembly,
        requests: Vec::new(),
        front,
        trial_channel: loaded.config.trial_channel,
    })
}

/// The parts of an experiment, once its platform has agreed; warnings are told.
fn checked(
    runtime: &Runtime,
    output: &Output,
    loaded: &mut Loaded,
    id: &ExperimentId,
    directory: &ExperimentDirectory,
) -> Result<Assembly, Failure> {
    let built = Assembly::build(loaded, id, directory);
    let mut warnings = std::mem::take(&mut loaded.warnings);
    let asked = match built {
        Ok(assembly) => runtime
            .block_on(load::ask_platform(&assembly, &mut warnings))
            .map(|()| assembly)
            .map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    for warning in &warnings {
        output.warning(warning);
    }
    asked
}

/// Puts limits of the command line over others.
pub(super) fn overwrite(limits: &mut Limits, new: NewLimits) {
    limits.concurrency = new.concurrency.unwrap_or(limits.concurrency);
    limits.max_trials = new.max_trials.or(limits.max_trials);
    limits.max_duration_ms = new.max_duration.map(milliseconds).or(limits.max_duration_ms);
}

/// Whether an error only says that no manager runs.
pub(super) fn is_unmanaged(error: &ts_core::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}
