//! Our own API.

mod experiment;
mod logs;
mod metrics;
mod trials;

use super::{answer, error, events, input::Whole, state::State};
pub(super) use experiment::{carried_out, change_limits};
pub(super) use logs::open;
pub(super) use trials::added;

use axum::{
    Router, extract,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use serde_json::{Value, json};
use ts_core::{Error, ErrorKind, Result};

/// Rows of a page unless asked for otherwise.
const PAGE: u32 = 1_000;
/// Most rows of a page.
const LONGEST_PAGE: u64 = 10_000;
/// How many rows a page is to have.
type Rows = Whole<1, LONGEST_PAGE>;
/// The number of a trial that a page begins behind.
type After = Whole<0, { u32::MAX as u64 }>;
/// A position in a file or a journal.
type Position = Whole<0, { i64::MAX as u64 }>;

/// A description for programs that make clients.
const OPENAPI: &[u8] = include_bytes!("openapi.json");

/// All routes, so that they can be compared with their description.
fn table() -> Vec<(&'static str, MethodRouter<State>)> {
    vec![
        ("/api/v2/experiment", get(experiment::get).patch(experiment::patch)),
        ("/api/v2/experiment/stop", post(experiment::stop)),
        ("/api/v2/events", get(events::events)),
        ("/api/v2/trials", get(trials::list).post(trials::add)),
        ("/api/v2/trials/{id}", get(trials::get)),
        ("/api/v2/trials/{id}/explain", get(trials::explain)),
        ("/api/v2/trials/{id}/cancel", post(trials::cancel)),
        ("/api/v2/trials/{id}/retry", post(trials::retry)),
        ("/api/v2/trials/{id}/metrics", get(metrics::of_trial)),
        ("/api/v2/trials/{id}/logs/{name}", get(logs::log)),
        ("/api/v2/metrics", get(metrics::curves)),
        ("/api/v2/openapi.json", get(description)),
    ]
}

pub(super) fn routes() -> Router<State> {
    table()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .method_not_allowed_fallback(no_method)
}

/// The description, which says whether a token is needed here.
async fn description(extract::State(state): extract::State<State>) -> Result<Response, error::Failure> {
    let mut document: Value = serde_json::from_slice(OPENAPI)
        .map_err(|e| Error::new(ErrorKind::Internal, "the description is no JSON").with_source(e))?;
    if state.token.is_none() {
        document["security"] = json!([]);
    }
    Ok(answer::json(StatusCode::OK, &document))
}

/// The router adds `Allow`.
async fn no_method(method: Method, uri: Uri) -> Response {
    let error = Error::new(
        ErrorKind::Unsupported,
        format!("`{}` cannot be asked with {method}", uri.path().escape_debug()),
    );
    let error = error.with_help("`Allow` lists what it can be asked with");
    let mut response = error::Failure(error).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_slice(OPENAPI).unwrap();
        let mut described: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        let mut routes: Vec<&str> = table().into_iter().map(|(path, _)| path).collect();
        described.sort();
        routes.sort_unstable();
        assert_eq!(routes, described);
    }
}
