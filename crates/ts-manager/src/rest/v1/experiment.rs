//! The experiment: status, profile, registry record, stopping.

use super::{Failure, document, done, profile};
use crate::{
    control::Request,
    rest::{state::State, v2::carried_out},
    store::{ExperimentStatus, StoreReader},
    view,
};
use axum::{extract, response::Response};
use serde_json::{Value, json};
use ts_core::{Error, ErrorKind, Result};

pub(super) async fn check_status(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    let row = state.readers.read(StoreReader::experiment).await?;
    let errors: Vec<String> = match row.status {
        ExperimentStatus::Error => row.message.into_iter().collect(),
        _ => Vec::new(),
    };
    Ok(document(&json!({ "status": row.status, "errors": errors })))
}

pub(super) async fn get(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    let row = state.readers.read(StoreReader::experiment).await?;
    let duration = state.duration(&row);
    Ok(document(&profile::profile(&row, state.directory.path(), duration)))
}

pub(super) async fn stop(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    carried_out(&state, Request::Stop).await?;
    Ok(done())
}

/// NNI's launchers configure and start a manager that runs already; here whoever starts it has its configuration.
pub(super) async fn start() -> Failure {
    Failure(
        Error::new(
            ErrorKind::Unsupported,
            "the experiment has its configuration and runs already",
        )
        .with_help("start experiments with `tsctl run`"),
    )
}

pub(super) async fn metadata(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    Ok(document(&record(&state).await?))
}

/// Of this experiment alone: others are none of this server's business.
pub(super) async fn all(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    Ok(document(&[record(&state).await?]))
}

/// Source: nni v3.0, `nni/tools/nnictl/config_utils.py`, `Experiments.add_experiment`.
async fn record(state: &State) -> Result<Value> {
    let row = state.readers.read(StoreReader::experiment).await?;
    let directory = state.directory.clone();
    let manager = state.ctx.tasks.blocking(move || directory.manager()).await;
    let pid = manager.and_then(|manager| manager.pid);
    Ok(json!({
        "id": row.id,
        "port": state.bound.port(),
        "startTime": row.started.map(|at| at.0),
        "endTime": row.ended.map_or(json!("N/A"), |at| json!(at.0)),
        "status": row.status,
        "platform": view::platform(&row),
        "experimentName": row.config["resolved"]["experimentName"],
        "tag": [],
        "pid": pid,
        "webuiUrl": [],
        "logDir": state.directory.path().parent(),
        "prefixUrl": Some(&state.prefix).filter(|prefix| !prefix.is_empty()),
    }))
}
