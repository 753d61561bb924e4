//! Metrics: of one trial in full, of many as numbers for curves.

use super::{After, PAGE, Position, Rows};
use crate::{
    rest::{
        error::Failure,
        input::{Named, Params},
        state::State,
        stream,
    },
    store::{MetricKind, TrialFilter},
    view::Metric,
};
use axum::{extract, response::Response};
use serde::Deserialize;
use ts_core::{Error, ErrorKind, Result, TrialId};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfTrial {
    kind: Option<String>,
    after: Option<Position>,
    limit: Option<Rows>,
}

pub(super) async fn of_trial(
    extract::State(state): extract::State<State>,
    Named(id): Named<String>,
    Params(query): Params<OfTrial>,
) -> Result<Response, Failure> {
    let id = state.trial(&id).await?.spec.id;
    let kind = query.kind.as_deref().map(kind).transpose()?;
    let after = query.after.map(Position::get);
    let limit = query.limit.map_or(PAGE, u32::from);
    Ok(stream::json(&state, move |reader, out| {
        let (mut is_first, mut last, mut left, mut has_more) = (true, None, limit, false);
        out.text("{\"metrics\":[")?;
        reader.each_metric(&id, kind, after, limit + 1, |line| {
            if left == 0 {
                has_more = true;
                return Ok(());
            }
            left -= 1;
            last = Some(line.seq);
            out.item(&mut is_first, &Metric::from(line))
        })?;
        out.text("],\"next\":")?;
        out.json(&last.filter(|_| has_more))?;
        out.text("}")
    })
    .await?)
}

fn kind(name: &str) -> Result<MetricKind> {
    MetricKind::parse(name).ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            format!("`{}` is no kind of metric", name.escape_debug()),
        )
        .with_help("kinds are PERIODICAL and FINAL")
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Curves {
    /// Ids with commas between them.
    id: Option<String>,
    after: Option<After>,
    limit: Option<Rows>,
}

/// Numbers of intermediate results; null where a result has none that JSON can hold.
pub(super) async fn curves(
    extract::State(state): extract::State<State>,
    Params(query): Params<Curves>,
) -> Result<Response, Failure> {
    let limit = query.limit.map_or(PAGE, u32::from);
    let mut filter = TrialFilter::all().limit(limit + 1);
    filter.after = query.after.map(u32::from);
    if let Some(ids) = &query.id {
        filter = filter.with_ids(ids.split(',').filter_map(|id| TrialId::new(id).ok()));
    }
    Ok(stream::json(&state, move |reader, out| {
        let (mut is_first, mut last, mut left, mut has_more) = (true, None, limit, false);
        out.text("{\"trials\":[")?;
        reader.each_trial(&filter, |line| {
            if left == 0 {
                has_more = true;
                return Ok(());
            }
            left -= 1;
            last = Some(line.sequence_id);
            if !std::mem::replace(&mut is_first, false) {
                out.text(",")?;
            }
            out.text("{\"id\":")?;
            out.json(&line.id)?;
            out.text(",\"sequenceId\":")?;
            out.json(&line.sequence_id)?;
            out.text(",\"values\":[")?;
            let mut is_first_value = true;
            let numbers = line.sequence_id..=line.sequence_id;
            if line.n_metrics > 0 {
                reader.each_metric_of(numbers, Some(MetricKind::Intermediate), |_, metric| {
                    out.item(&mut is_first_value, &metric.number)
                })?;
            }
            out.text("]}")
        })?;
        out.text("],\"next\":")?;
        out.json(&last.filter(|_| has_more))?;
        out.text("}")
    })
    .await?)
}
