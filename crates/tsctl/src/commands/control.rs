//! `cancel`, `stop`, `retry`, `update`: asking a running manager for something, and what is done where none runs.

use super::{learn, resume, run};
use crate::{
    cli::{NewLimits, Retry, SomeTrials, Stop, Update},
    environment::Environment,
    exit::Exit,
    follow::INTERVAL,
    load::Failure,
    locate::{self, FoundTrials, Place},
    output::Output,
    render::table,
    session::{self, End},
};
use serde_json::json;
use std::sync::Arc;
use ts_core::{Clock, Error, ErrorKind, Result, SystemClock};
use ts_manager::{
    control::{Request, Response, call},
    store::{Change, Store},
};

/// Asks the manager; `None` if none runs.
pub(super) fn asked(place: &Place, request: &Request) -> Result<Option<Response>> {
    if place.directory.manager().is_none() {
        return Ok(None);
    }
    match call(&place.directory, request) {
        Ok(response) => Ok(Some(response)),
        Err(error) if run::is_unmanaged(&error) && place.directory.manager().is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Shows what a manager answered.
pub(super) fn answer(output: &Output, place: &Place, response: &Response) -> Result<Exit> {
    output.data(
        &json!({ "experimentId": place.id, "trials": response.done, "problems": response.problems }),
        || table::lines(&response.done),
    )?;
    for problem in &response.problems {
        output.error(&Error::new(ErrorKind::Conflict, problem));
    }
    Ok(if response.problems.is_empty() {
        Exit::Success
    } else {
        Exit::Partial
    })
}

/// Cancels trials. The end of each arrives later, as a fact.
pub(crate) fn cancel(environment: &Environment, output: &Output, args: &SomeTrials) -> Result<Exit, Failure> {
    let FoundTrials { place, ids } = locate::trials(environment, output, args.experiment.as_deref(), &args.trials)?;
    let request = Request::Cancel { trials: ids };
    if let Some(response) = asked(&place, &request)? {
        return Ok(answer(output, &place, &response)?);
    }
    Err(unmanaged(&place, "cancels nothing but all of its trials").into())
}

fn unmanaged(place: &Place, what: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("no manager runs experiment {}", place.id)).with_help(format!(
        "`tsctl resume {0} --detach` starts one; `tsctl stop {0}` {what}",
        place.id
    ))
}

/// Stops experiments and waits for the end of their trials.
pub(crate) fn stop(environment: &Environment, output: &Output, args: &Stop) -> Result<Exit, Failure> {
    let places = if args.all {
        let mut all = locate::all(environment)?;
        all.retain(|place| place.directory.manager().is_some());
        all
    } else {
        vec![locate::experiment(environment, output, args.of.experiment.as_deref())?]
    };
    let mut stopped = Vec::new();
    for place in &places {
        match asked(place, &Request::Stop)? {
            Some(response) => {
                for problem in &response.problems {
                    output.say(format_args!("warning: {problem}"));
                }
                if !args.no_wait {
                    wait(place)?;
                }
            }
            None => stop_unmanaged(output, place)?,
        }
        let status = place.reader()?.experiment()?.status;
        stopped.push(json!({ "id": place.id, "status": status }));
    }
    output.data(&json!({ "experiments": stopped }), || {
        table::lines(places.iter().map(|place| &place.id))
    })?;
    Ok(Exit::Success)
}

/// Waits until the manager has gone.
fn wait(place: &Place) -> Result<()> {
    let clock = SystemClock::new();
    let runtime = session::runtime()?;
    while place.directory.manager().is_some() {
        runtime.block_on(clock.sleep(INTERVAL / 4));
    }
    Ok(())
}

/// Becomes the manager for as long as it takes to end what still runs.
fn stop_unmanaged(output: &Output, place: &Place) -> Result<(), Failure> {
    let reader = place.reader()?;
    let counts = reader.counts_by_status()?;
    if reader.experiment()?.status.is_ended() && counts.ended() == counts.total() {
        output.say(format_args!("experiment {} has ended already", place.id));
        return Ok(());
    }
    let mut session = resume::open(output, &place.directory, NewLimits::default())?;
    session.requests.push(Request::Stop);
    match session.run(output, &mut ())? {
        End::Outcome(_) => Ok(()),
        End::Left => {
            let left = Error::new(
                ErrorKind::Conflict,
                format!("experiment {} was left while it stopped", place.id),
            );
            Err(left
                .with_help(format!("`tsctl stop {}` ends what still runs", place.id))
                .into())
        }
    }
}

/// Runs ended trials again.
pub(crate) fn retry(environment: &Environment, output: &Output, args: &Retry) -> Result<Exit, Failure> {
    let (place, ids) = if args.failed {
        (
            locate::experiment(environment, output, args.experiment.as_deref())?,
            Vec::new(),
        )
    } else {
        let found = locate::trials(environment, output, args.experiment.as_deref(), &args.trials)?;
        (found.place, found.ids)
    };
    let request = Request::Retry { trials: ids };
    if let Some(response) = asked(&place, &request)? {
        return Ok(answer(output, &place, &response)?);
    }
    let mut session = resume::open(output, &place.directory, NewLimits::default())?;
    session.requests.push(request);
    run::foreground(output, &place.id, session)
}

/// Changes a limit, in the running manager or in the store.
pub(crate) fn update(environment: &Environment, output: &Output, args: &Update) -> Result<Exit, Failure> {
    let (name, new) = match args {
        Update::Concurrency { experiment, value } => (
            experiment,
            NewLimits {
                concurrency: Some(*value),
                ..NewLimits::default()
            },
        ),
        Update::Trialnum { experiment, value } => (
            experiment,
            NewLimits {
                max_trials: Some(*value),
                ..NewLimits::default()
            },
        ),
        Update::Duration { experiment, value } => (
            experiment,
            NewLimits {
                max_duration: Some(*value),
                ..NewLimits::default()
            },
        ),
        Update::Searchspace { experiment, filename } => {
            return learn::search_space(environment, output, experiment, filename);
        }
    };
    let place = locate::experiment(environment, output, Some(name))?;
    let mut limits = place.reader()?.experiment()?.limits;
    run::overwrite(&mut limits, new);
    match asked(&place, &Request::Update { limits })? {
        Some(response) if !response.problems.is_empty() => return Ok(answer(output, &place, &response)?),
        Some(_) => {}
        None => {
            let _lock = place.directory.lock()?;
            let clock = Arc::new(SystemClock::new());
            let at = clock.now();
            let store = Store::open(&place.directory.store(), clock)?;
            session::runtime()?.block_on(store.apply(vec![Change::LimitsChanged { at, limits }]))?;
        }
    }
    output.data(&json!({ "experimentId": place.id, "limits": limits }), || {
        format!("{}\n", place.id)
    })?;
    Ok(Exit::Success)
}
