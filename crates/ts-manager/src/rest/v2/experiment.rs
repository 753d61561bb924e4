//! The experiment: looking at it, changing its limits, stopping it.

use super::Position;
use crate::{
    control::Request,
    rest::{
        answer,
        error::Failure,
        input::{Document, Object, Patched, Whole},
        state::State,
    },
    store::Limits,
    view,
};
use axum::{extract, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};
use ts_core::{Error, ErrorKind, Result};

pub(super) async fn get(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    Ok(answer::json(StatusCode::OK, &object(&state).await?))
}

async fn object(state: &State) -> Result<Value> {
    let (optimize, directory) = (state.optimize, state.directory.clone());
    let now = state.ctx.clock.now();
    let read = move |reader: &crate::store::StoreReader| {
        view::experiment(reader, optimize, directory.path(), directory.manager(), now)
    };
    state.readers.read(read).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    limits: Object<NewLimits>,
}

/// What is missing stays; null takes a limit away.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewLimits {
    #[serde(default)]
    concurrency: Patched<Whole<1, { Limits::MOST_AT_A_TIME as u64 }>>,
    #[serde(default)]
    max_trials: Patched<Option<Whole<0, { u32::MAX as u64 }>>>,
    #[serde(default)]
    max_duration_ms: Patched<Option<Position>>,
}

pub(super) async fn patch(
    extract::State(state): extract::State<State>,
    Document(Object(Patch { limits: Object(new) })): Document<Object<Patch>>,
) -> Result<Response, Failure> {
    change_limits(&state, |limits| {
        limits.concurrency = new.concurrency.map(u32::from).or(limits.concurrency);
        limits.max_trials = new.max_trials.map(|max| max.map(u32::from)).or(limits.max_trials);
        let max_duration_ms = new.max_duration_ms.map(|max| max.map(Position::get));
        limits.max_duration_ms = max_duration_ms.or(limits.max_duration_ms);
    })
    .await?;
    Ok(answer::json(StatusCode::OK, &object(&state).await?))
}

/// Changes some of the limits, one request at a time.
pub(in crate::rest) async fn change_limits(state: &State, change: impl FnOnce(&mut Limits)) -> Result<()> {
    let _alone = state.limits.lock().await;
    let mut limits = state.readers.read(|reader| Ok(reader.experiment()?.limits)).await?;
    change(&mut limits);
    if !(1..=Limits::MOST_AT_A_TIME).contains(&limits.concurrency) {
        let message = format!(
            "the concurrency must be at least 1 and {} at most",
            Limits::MOST_AT_A_TIME
        );
        return Err(Error::new(ErrorKind::Config, message).with_key("limits.concurrency"));
    }
    if limits.max_duration_ms.is_some_and(|ms| i64::try_from(ms).is_err()) {
        return Err(Error::new(ErrorKind::Config, "the duration is too long").with_key("limits.maxDurationMs"));
    }
    carried_out(state, Request::Update { limits }).await
}

/// Asks for something that is done as a whole or not at all.
pub(in crate::rest) async fn carried_out(state: &State, request: Request) -> Result<()> {
    let response = state.commands.ask(request).await?;
    match response.problems.into_iter().next() {
        Some(problem) => Err(Error::new(ErrorKind::Conflict, problem)),
        None => Ok(()),
    }
}

pub(super) async fn stop(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    carried_out(&state, Request::Stop).await?;
    Ok(answer::json(StatusCode::ACCEPTED, &json!({ "status": "STOPPING" })))
}
