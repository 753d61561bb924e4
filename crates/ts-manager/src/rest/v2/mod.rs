//! Our own API.

mod experiment;
mod logs;
mod metrics;
mod trials;

use super::{events, state::State};
pub(super) use experiment::{carried_out, change_limits};
pub(super) use logs::open;
pub(super) use trials::added;

use axum::{
    Router,
    routing::{get, post},
};

/// Rows of a page unless asked for otherwise.
const PAGE: u32 = 1_000;
/// Most rows of a page.
const LONGEST_PAGE: u32 = 10_000;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/api/v2/experiment", get(experiment::get).patch(experiment::patch))
        .route("/api/v2/experiment/stop", post(experiment::stop))
        .route("/api/v2/events", get(events::events))
        .route("/api/v2/trials", get(trials::list).post(trials::add))
        .route("/api/v2/trials/{id}", get(trials::get))
        .route("/api/v2/trials/{id}/explain", get(trials::explain))
        .route("/api/v2/trials/{id}/cancel", post(trials::cancel))
        .route("/api/v2/trials/{id}/retry", post(trials::retry))
        .route("/api/v2/trials/{id}/metrics", get(metrics::of_trial))
        .route("/api/v2/trials/{id}/logs/{name}", get(logs::log))
        .route("/api/v2/metrics", get(metrics::curves))
}
