//! `gc`: lists what experiments have left behind, and removes it if told so.
//!
//! Without names: entries of the list whose directory has vanished, and sockets of managers that are gone. With names: the
//! experiments themselves, with everything that carries their stamp on their platform.

use crate::{
    cli::Gc,
    environment::Environment,
    exit::Exit,
    load::{Assembly, Failure, Loaded},
    locate::{self, Place},
    output::Output,
    render::table,
    session,
};
use serde_json::json;
use std::path::PathBuf;
use ts_core::{CleanupScope, Error, ErrorKind, Result};

/// Something that could be removed.
enum Leftover {
    /// An entry of the list; the directory it names is gone.
    Entry(Place),
    /// A socket that nobody listens on.
    Socket(PathBuf),
    /// An experiment with everything.
    Experiment(Place),
}

impl Leftover {
    fn describe(&self) -> String {
        match self {
            Self::Entry(place) => {
                format!(
                    "entry of experiment {}, whose directory `{}` is gone",
                    place.id,
                    place.directory.path().display()
                )
            }
            Self::Socket(path) => format!("socket `{}` of a manager that is gone", path.display()),
            Self::Experiment(place) => {
                format!(
                    "experiment {} with its directory `{}`",
                    place.id,
                    place.directory.path().display()
                )
            }
        }
    }
}

/// Lists or removes.
pub(crate) fn gc(environment: &Environment, output: &Output, args: &Gc) -> Result<Exit, Failure> {
    let leftovers = if args.experiments.is_empty() {
        strewn(environment)?
    } else {
        let named = args.experiments.iter().map(|name| named(environment, output, name));
        named.collect::<Result<Vec<_>>>()?
    };
    let acts = args.yes && !args.dry_run;
    let described: Vec<String> = leftovers.iter().map(Leftover::describe).collect();
    let mut failures: Vec<Error> = Vec::new();
    if acts {
        for leftover in &leftovers {
            failures.extend(remove(environment, leftover));
        }
    }
    output.data(
        &json!({
            "leftovers": described,
            "removed": acts,
            "failures": failures.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        || table::lines(&described),
    )?;
    if !acts && !leftovers.is_empty() {
        output.say("nothing was removed; `--yes` removes what is listed");
    } else if leftovers.is_empty() {
        output.say("nothing is left behind");
    }
    for error in &failures {
        output.error(error);
    }
    Ok(if failures.is_empty() {
        Exit::Success
    } else {
        Exit::Partial
    })
}

fn strewn(environment: &Environment) -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for place in locate::all(environment)? {
        if !place.exists() {
            found.push(Leftover::Entry(place));
            continue;
        }
        let socket = place.directory.control_address();
        let is_there = socket.symlink_metadata().is_ok();
        if is_there && place.directory.manager().is_none() {
            found.push(Leftover::Socket(socket));
        }
    }
    Ok(found)
}

fn named(environment: &Environment, output: &Output, name: &str) -> Result<Leftover> {
    let place = locate::experiment(environment, output, Some(name))?;
    if !place.exists() {
        return Ok(Leftover::Entry(place));
    }
    if place.directory.manager().is_some() {
        return Err(
            Error::new(ErrorKind::Conflict, format!("experiment {} is running", place.id))
                .with_help(format!("`tsctl stop {}` ends it", place.id)),
        );
    }
    Ok(Leftover::Experiment(place))
}

/// Removes one thing; goes on after a failure.
fn remove(environment: &Environment, leftover: &Leftover) -> Vec<Error> {
    let done = match leftover {
        Leftover::Entry(place) => locate::registry(environment).and_then(|registry| registry.remove(&place.id)),
        Leftover::Socket(path) => std::fs::remove_file(path).map_err(|e| Error::io("remove", path, e)),
        Leftover::Experiment(place) => return remove_experiment(environment, place),
    };
    done.err().into_iter().collect()
}

/// First what is on the platform, which only the experiment's store can name; the store goes last.
fn remove_experiment(environment: &Environment, place: &Place) -> Vec<Error> {
    let lock = match place.directory.lock() {
        Ok(lock) => lock,
        Err(error) => return vec![error],
    };
    let failures = match cleanup(place) {
        Ok(failures) => failures,
        Err(Failure::Error(error)) => vec![error],
        Err(Failure::Errors(errors)) => errors,
        Err(Failure::Configuration(_)) => vec![
            Error::new(
                ErrorKind::Config,
                format!("the configuration of experiment {} cannot be read any more", place.id),
            )
            .with_help("mend it, or remove the experiment's directory by hand"),
        ],
    };
    if !failures.is_empty() {
        return failures;
    }
    let path = place.directory.path();
    let removed = std::fs::remove_dir_all(path).map_err(|e| Error::io("remove", path, e));
    drop(lock);
    let forgotten = removed.and_then(|()| locate::registry(environment)?.remove(&place.id));
    forgotten.err().into_iter().collect()
}

fn cleanup(place: &Place) -> Result<Vec<Error>, Failure> {
    let row = place.reader()?.experiment()?;
    let mut loaded = Loaded::of_past(&row)?;
    let assembly = Assembly::build(&mut loaded, &place.id, &place.directory)?;
    let report = session::runtime()?.block_on(async {
        let report = assembly.service.cleanup(&CleanupScope::Experiment).await;
        assembly.ctx.tasks.close().await;
        report
    });
    Ok(report.failures.into_iter().map(|(_, error)| error).collect())
}
