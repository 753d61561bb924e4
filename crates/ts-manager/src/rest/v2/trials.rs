//! Trials: lists, one of them, and asking for their end or another attempt.

use super::{After, PAGE, Rows};
use crate::{
    control::Request,
    rest::{
        answer,
        error::Failure,
        input::{Document, Named, Object, Params},
        state::State,
        stream,
    },
    store::TrialFilter,
    view::{self, Brief, Trial},
};
use axum::{extract, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::json;
use ts_core::{Error, ErrorKind, Result, TrialId, TrialStatus};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// Names with commas between them.
    status: Option<String>,
    /// Ids with commas between them.
    id: Option<String>,
    after: Option<After>,
    limit: Option<Rows>,
    fields: Option<Fields>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Fields {
    All,
    Summary,
}

impl List {
    /// The filter, with one trial more than asked for, which tells whether there are more.
    fn filter(&self, limit: u32) -> Result<TrialFilter> {
        let mut filter = TrialFilter::all().limit(limit + 1);
        filter.after = self.after.map(u32::from);
        if let Some(names) = &self.status {
            filter = filter.in_status(names.split(',').map(status).collect::<Result<Vec<_>>>()?);
        }
        if let Some(ids) = &self.id {
            // What is no id names no trial.
            filter = filter.with_ids(ids.split(',').filter_map(|id| TrialId::new(id).ok()));
        }
        Ok(filter)
    }
}

fn status(name: &str) -> Result<TrialStatus> {
    TrialStatus::parse(name).ok_or_else(|| {
        let all: Vec<&str> = TrialStatus::ALL.iter().map(|s| s.as_str()).collect();
        Error::new(
            ErrorKind::Config,
            format!("`{}` is no status of a trial", name.escape_debug()),
        )
        .with_help(format!("statuses are {}", all.join(", ")))
    })
}

pub(super) async fn list(
    extract::State(state): extract::State<State>,
    Params(query): Params<List>,
) -> Result<Response, Failure> {
    let limit = query.limit.map_or(PAGE, u32::from);
    let filter = query.filter(limit)?;
    let fields = query.fields.unwrap_or(Fields::All);
    Ok(stream::json(&state, move |reader, out| {
        let templates = match fields {
            Fields::All => reader.templates()?,
            Fields::Summary => std::collections::HashMap::new(),
        };
        let (mut is_first, mut last, mut left) = (true, None, limit);
        let mut has_more = false;
        out.text("{\"trials\":[")?;
        reader.each_trial(&filter, |line| {
            if left == 0 {
                has_more = true;
                return Ok(());
            }
            left -= 1;
            last = Some(line.sequence_id);
            let phases = reader.phases_of(&line)?;
            match fields {
                Fields::All => {
                    let template = templates.get(&line.template);
                    out.item(&mut is_first, &Trial::of_line(&line, template, &phases))
                }
                Fields::Summary => out.item(&mut is_first, &Brief::of_line(&line, &phases)),
            }
        })?;
        out.text("],\"next\":")?;
        out.json(&last.filter(|_| has_more))?;
        out.text(",\"revision\":")?;
        out.json(&reader.revision()?)?;
        out.text("}")
    })
    .await?)
}

pub(super) async fn get(
    extract::State(state): extract::State<State>,
    Named(id): Named<String>,
) -> Result<Response, Failure> {
    let row = state.trial(&id).await?;
    Ok(answer::json(StatusCode::OK, &Trial::from(&row)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    parameters: serde_json::Map<String, serde_json::Value>,
}

/// Adds a trial with parameters that a person chose.
pub(super) async fn add(
    extract::State(state): extract::State<State>,
    Document(Object(New { parameters })): Document<Object<New>>,
) -> Result<Response, Failure> {
    let row = added(&state, parameters.into()).await?;
    Ok(answer::json(StatusCode::CREATED, &Trial::from(&row)))
}

/// Asks for a trial and gives it as stored.
pub(in crate::rest) async fn added(state: &State, parameters: serde_json::Value) -> Result<crate::store::TrialRow> {
    let response = state.commands.ask(Request::AddTrial { parameters }).await?;
    match (response.done.first(), response.problems.into_iter().next()) {
        (Some(id), _) => state.trial(id.as_str()).await,
        (None, problem) => Err(Error::new(ErrorKind::Conflict, problem.unwrap_or_default())),
    }
}

pub(super) async fn explain(
    extract::State(state): extract::State<State>,
    Named(id): Named<String>,
) -> Result<Response, Failure> {
    let row = state.trial(&id).await?;
    let object = state.ctx.tasks.blocking(move || view::explanation(&row)).await;
    Ok(answer::json(StatusCode::OK, &object))
}

pub(super) async fn cancel(
    extract::State(state): extract::State<State>,
    Named(id): Named<String>,
) -> Result<Response, Failure> {
    let id = state.trial(&id).await?.spec.id;
    asked(&state, id, |trials| Request::Cancel { trials }).await
}

pub(super) async fn retry(
    extract::State(state): extract::State<State>,
    Named(id): Named<String>,
) -> Result<Response, Failure> {
    let id = state.trial(&id).await?.spec.id;
    asked(&state, id, |trials| Request::Retry { trials }).await
}

/// Asks something for one trial.
async fn asked(state: &State, id: TrialId, request: impl FnOnce(Vec<TrialId>) -> Request) -> Result<Response, Failure> {
    let response = state.commands.ask(request(vec![id.clone()])).await?;
    if response.done.is_empty() {
        let problem = response.problems.into_iter().next();
        let problem = problem.unwrap_or_else(|| format!("nothing could be done for trial `{id}`"));
        return Err(Error::new(ErrorKind::Conflict, problem).into());
    }
    Ok(answer::json(StatusCode::ACCEPTED, &json!({ "trialId": id })))
}
