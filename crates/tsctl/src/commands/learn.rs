//! `update searchspace` and `import`: what the tuner of an experiment is told while it runs, or before it goes on.

use super::control::{answer, asked};
use crate::{
    cli::Learn,
    environment::Environment,
    exit::Exit,
    load::{Assembly, Failure, Loaded},
    locate::{self, Place},
    output::Output,
    session,
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};
use ts_core::{Clock, Error, ErrorKind, Result, SystemClock};
use ts_manager::{
    control::Request,
    source::ImportedResult,
    store::{Change, Store},
};

/// Changes the search space, in the running manager or in the store.
pub(super) fn search_space(
    environment: &Environment,
    output: &Output,
    experiment: &str,
    file: &Path,
) -> Result<Exit, Failure> {
    let text = std::fs::read(file).map_err(|e| Error::io("read the search space", file, e))?;
    let space: Value = serde_json::from_slice(&text)
        .map_err(|e| Error::new(ErrorKind::Config, format!("`{}` holds no JSON", file.display())).with_source(e))?;
    let place = locate::experiment(environment, output, Some(experiment))?;
    let check = || {
        let mut row = place.reader()?.experiment()?;
        row.config["searchSpace"] = space.clone();
        let mut loaded = Loaded::from_store(&row)?;
        Assembly::build(&mut loaded, &row.id, &place.directory).map(drop)
    };
    let (at, own) = (SystemClock::new().now(), space.clone());
    let change = Change::SearchSpaceChanged { at, space: own };
    let request = Request::UpdateSearchSpace { space: space.clone() };
    told(
        output,
        &place,
        &request,
        change,
        check,
        &json!({ "searchSpace": space }),
    )
}

/// Tells results from elsewhere.
pub(super) fn import(environment: &Environment, output: &Output, args: &Learn) -> Result<Exit, Failure> {
    let text = std::fs::read(&args.filename).map_err(|e| Error::io("read the results", &args.filename, e))?;
    let results: Vec<ImportedResult> = serde_json::from_slice(&text).map_err(|e| {
        Error::new(
            ErrorKind::Config,
            format!("`{}` holds no results", args.filename.display()),
        )
        .with_help("write a JSON list of `{\"parameter\": {…}, \"value\": …}`, as `tsctl export` does")
        .with_source(e)
    })?;
    if results.iter().any(|result| !result.parameter.is_object()) {
        return Err(Error::new(ErrorKind::Config, "the parameters of a result are an object").into());
    }
    let place = locate::experiment(environment, output, Some(&args.experiment))?;
    let (at, n_results) = (SystemClock::new().now(), results.len());
    let change = Change::ResultsImported {
        at,
        results: results.clone(),
    };
    let request = Request::ImportData { results };
    told(
        output,
        &place,
        &request,
        change,
        || Ok(()),
        &json!({ "imported": n_results }),
    )
}

/// Asks the manager, or, where none runs, checks and stores what the next one will go by.
fn told(
    output: &Output,
    place: &Place,
    request: &Request,
    change: Change,
    check: impl FnOnce() -> Result<(), Failure>,
    what: &Value,
) -> Result<Exit, Failure> {
    match asked(place, request)? {
        Some(response) if !response.problems.is_empty() => return Ok(answer(output, place, &response)?),
        Some(_) => {}
        None => {
            check()?;
            let _lock = place.directory.lock()?;
            let store = Store::open(&place.directory.store(), Arc::new(SystemClock::new()))?;
            session::runtime()?.block_on(store.apply(vec![change]))?;
        }
    }
    let mut object = json!({ "experimentId": place.id });
    if let (Some(object), Some(what)) = (object.as_object_mut(), what.as_object()) {
        object.extend(what.clone());
    }
    output.data(&object, || format!("{}\n", place.id))?;
    Ok(Exit::Success)
}
