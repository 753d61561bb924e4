//! Trials: lists, one, adding and cancelling.

use super::{Failure, JSON, Refused, document, done, no_trial, records};
use crate::{
    control::Request,
    rest::{
        input::{Document, Params},
        state::State,
        stream,
        v2::added,
    },
    store::TrialFilter,
};
use axum::{
    extract::{self, Path},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};
use ts_core::{Error, ErrorKind, TrialId, TrialStatus};

#[derive(Debug, Deserialize)]
pub(super) struct OfStatus {
    status: Option<String>,
}

pub(super) async fn list(
    extract::State(state): extract::State<State>,
    Params(OfStatus { status }): Params<OfStatus>,
) -> Result<Response, Failure> {
    // A status that there is not is that of no trial.
    let filter = match status {
        Some(name) => TrialFilter::all().in_status(TrialStatus::parse(&name)),
        None => TrialFilter::all(),
    };
    Ok(stream::reply(&state, JSON, move |reader, out| {
        let mut is_first = true;
        out.text("[")?;
        reader.each_trial(&filter, |line| {
            let phases = reader.phases_of(&line)?;
            out.item(&mut is_first, &records::TrialRecord::new(&line, &phases))
        })?;
        out.text("]")
    })
    .await?)
}

/// One that there is not is answered by nothing, with 200.
///
/// Source: nni v3.0, `ts/nni_manager/rest_server/restHandler.ts`, `getTrialJob`: `undefined` becomes an empty body, which
/// clients take for "unknown".
pub(super) async fn get(
    extract::State(state): extract::State<State>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let Ok(id) = TrialId::new(&id) else { return Ok(done()) };
    let filter = TrialFilter::all().with_ids([id]);
    Ok(stream::reply(&state, JSON, move |reader, out| {
        reader.each_trial(&filter, |line| {
            let phases = reader.phases_of(&line)?;
            out.json(&records::TrialRecord::new(&line, &phases))
        })
    })
    .await?)
}

pub(super) async fn add(
    extract::State(state): extract::State<State>,
    body: Result<Document<Value>, Refused>,
) -> Result<Response, Failure> {
    let Document(parameters) = body?;
    let row = added(&state, parameters).await?;
    Ok(document(&json!({ "sequenceId": row.spec.sequence_id })))
}

pub(super) async fn cancel(
    extract::State(state): extract::State<State>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let id = TrialId::new(&id).map_err(|_| no_trial(&id))?;
    state.trial(id.as_str()).await?;
    let response = state.commands.ask(Request::Cancel { trials: vec![id] }).await?;
    match response.problems.into_iter().next() {
        Some(problem) => Err(Error::new(ErrorKind::Conflict, problem).into()),
        None => Ok(done()),
    }
}

pub(super) async fn statistics(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    let counts = state.readers.read(crate::store::StoreReader::counts_by_status).await?;
    let list: Vec<Value> = counts
        .iter()
        .map(|(status, n)| json!({ "trialJobStatus": status, "trialJobNumber": n }))
        .collect();
    Ok(document(&list))
}
