//! NNI's API, as its web page and its Python and command-line clients expect it.
//!
//! Source of routes and shapes: nni v1.9 to v3.0, `ts/nni_manager/rest_server/restHandler.ts`, and the clients in
//! `nni/experiment/{rest,experiment,data}.py` and `nni/tools/nnictl/`. What is answered otherwise than NNI does is in `docs/rest.md`.

mod data;
mod experiment;
mod files;
mod profile;
mod records;
mod trials;
mod update;

use super::{answer, error::no_trial, state::State};
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post, put},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use ts_core::{Error, ErrorKind};

/// Where all of it is.
pub(super) const ROOT: &str = "/api/v1/nni";
/// The type of every reply but files, raw text included.
const JSON: &str = "application/json; charset=utf-8";

/// An error as NNI gives it: `{"error":"…"}`, 404 for what is not there and 500 for everything else.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// What the readers of queries and bodies say, which is of the newer API.
pub(super) type Refused = super::error::Failure;

impl From<Refused> for Failure {
    fn from(super::error::Failure(error): Refused) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = match error.kind() {
            // Those that the guard gives, which NNI has not.
            kind @ (ErrorKind::NotFound | ErrorKind::Auth | ErrorKind::Denied) => super::error::status(kind),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let text = match error.help() {
            Some(help) => format!("{}; {help}", error.message()),
            None => error.message().to_owned(),
        };
        let mut response = document(&json!({ "error": text }));
        *response.status_mut() = status;
        response
    }
}

/// A document.
fn document(document: &impl Serialize) -> Response {
    let mut response = answer::json(StatusCode::OK, document);
    response.headers_mut().insert(
        axum::http::header::CONTENT_TYPE,
        axum::http::HeaderValue::from_static(JSON),
    );
    response
}

/// An answer without content.
fn done() -> Response {
    answer::bytes(JSON, Bytes::new())
}

/// A thing of NNI that is not here.
fn missing(what: &'static str, help: &'static str, status: StatusCode) -> MethodRouter<State> {
    axum::routing::any(move || async move {
        let mut response = Failure(Error::new(ErrorKind::Unsupported, what).with_help(help)).into_response();
        *response.status_mut() = status;
        response
    })
}

pub(super) fn routes() -> Router<State> {
    let tensorboard = || {
        missing(
            "TensorBoard is not started from here",
            "run `tensorboard --logdir` with the trials' directories",
            StatusCode::BAD_REQUEST,
        )
    };
    let routes = Router::new()
        // The release whose API this is.
        .route(
            "/version",
            get(|| async { answer::bytes(JSON, Bytes::from_static(b"3.0.0")) }),
        )
        .route("/check-status", get(experiment::check_status))
        .route(
            "/experiment",
            get(experiment::get)
                .put(update::update)
                .delete(experiment::stop)
                .post(experiment::start),
        )
        .route("/experiment/cluster-metadata", put(experiment::start))
        .route("/experiment/import-data", post(data::import))
        .route("/experiment/imported-data", get(data::imported))
        .route("/experiment-metadata", get(experiment::metadata))
        .route("/experiments-info", get(experiment::all))
        .route("/job-statistics", get(trials::statistics))
        .route("/trial-jobs", get(trials::list).post(trials::add))
        .route("/trial-jobs/{id}", get(trials::get).merge(delete(trials::cancel)))
        .route("/metric-data", get(data::metrics))
        .route("/metric-data/{id}", get(data::metrics_of))
        .route("/metric-data-range/{min}/{max}", get(data::metrics_between))
        .route("/metric-data-latest", get(data::latest))
        .route("/export-data", get(data::export))
        .route("/trial-log/{id}/{kind}", get(files::log))
        .route("/trial-file/{id}/{name}", get(files::file))
        .route("/tensorboard", tensorboard())
        .route("/tensorboard/{id}", tensorboard())
        .route(
            "/tensorboard-tasks",
            get(|| async { document(&json!([])) }).delete(|| async { done() }),
        );
    // Beside its API, where its page looks for them.
    Router::new()
        .nest(ROOT, routes)
        .route("/logs/{name}", get(files::experiment_log))
}
