//! Our own API.

mod experiment;
mod logs;
mod metrics;
mod trials;

use super::{answer, events, state::State};
pub(super) use experiment::{carried_out, change_limits};
pub(super) use logs::open;
pub(super) use trials::added;

use axum::{
    Router,
    routing::{MethodRouter, get, post},
};
use bytes::Bytes;

/// Rows of a page unless asked for otherwise.
const PAGE: u32 = 1_000;
/// Most rows of a page.
const LONGEST_PAGE: u32 = 10_000;

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
        (
            "/api/v2/openapi.json",
            get(|| async { answer::bytes(answer::JSON, Bytes::from_static(OPENAPI)) }),
        ),
    ]
}

pub(super) fn routes() -> Router<State> {
    table()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
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
