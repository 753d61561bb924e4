//! Metrics and results: reading, exporting, importing.

use super::{Failure, JSON, Refused, document, done, records};
use crate::{
    control::Request,
    rest::{
        input::{Document, Params},
        state::State,
        stream::{self, Pieces},
        v2::carried_out,
    },
    source::ImportedResult,
    store::{MetricKind, MetricLine, TrialFilter, TrialHead},
    view::JsonText,
};
use axum::{
    extract::{self, Path},
    response::Response,
};
use serde::{Deserialize, Serialize};
use ts_core::{Result, TrialId, TrialStatus, json_members};

#[derive(Debug, Deserialize)]
pub(super) struct OfKind {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl OfKind {
    /// `Err` for a kind that there is not, which no metric has.
    fn kind(&self) -> Result<Option<MetricKind>, ()> {
        self.kind
            .as_deref()
            .map(|name| MetricKind::parse(name).ok_or(()))
            .transpose()
    }
}

/// Writes metrics that come trial by trial.
fn writer(out: &mut Pieces) -> impl FnMut(TrialHead<'_>, MetricLine<'_>) -> Result<()> {
    let (mut ids, mut is_first) = (records::ParameterIds::default(), true);
    move |head, line| {
        let record = records::MetricRecord::new(head.id, ids.of(head, line), line);
        out.item(&mut is_first, &record)
    }
}

pub(super) async fn metrics(
    extract::State(state): extract::State<State>,
    Params(query): Params<OfKind>,
) -> Result<Response, Failure> {
    between(&state, 0, u32::MAX, &query).await
}

pub(super) async fn metrics_between(
    extract::State(state): extract::State<State>,
    Path((min, max)): Path<(u32, u32)>,
) -> Result<Response, Failure> {
    between(&state, min, max, &OfKind { kind: None }).await
}

async fn between(state: &State, min: u32, max: u32, query: &OfKind) -> Result<Response, Failure> {
    let Ok(kind) = query.kind() else {
        return Ok(document(&[(); 0]));
    };
    Ok(stream::reply(state, JSON, move |reader, out| {
        out.text("[")?;
        reader.each_metric_of(min..=max, kind, writer(out))?;
        out.text("]")
    })
    .await?)
}

/// None of a trial that there is not.
pub(super) async fn metrics_of(
    extract::State(state): extract::State<State>,
    Path(id): Path<String>,
    Params(query): Params<OfKind>,
) -> Result<Response, Failure> {
    let (Ok(kind), Ok(id)) = (query.kind(), TrialId::new(&id)) else {
        return Ok(document(&[(); 0]));
    };
    Ok(stream::reply(&state, JSON, move |reader, out| {
        out.text("[")?;
        if let Some(row) = reader.trial(&id)? {
            reader.each_metric_of(row.spec.sequence_id..=row.spec.sequence_id, kind, writer(out))?;
        }
        out.text("]")
    })
    .await?)
}

pub(super) async fn latest(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    Ok(stream::reply(&state, JSON, |reader, out| {
        out.text("[")?;
        reader.each_latest(writer(out))?;
        out.text("]")
    })
    .await?)
}

/// Source: nni v3.0, `ts/nni_manager/core/nniDataStore.ts`, `exportTrialHpConfigs`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported<'a> {
    parameter: JsonText<'a>,
    /// JSON text.
    value: &'a str,
    trial_job_id: &'a str,
}

pub(super) async fn export(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    let filter = TrialFilter::all().in_status([TrialStatus::Succeeded]);
    Ok(stream::reply(&state, JSON, move |reader, out| {
        let mut is_first = true;
        out.text("[")?;
        reader.each_trial(&filter, |line| {
            let phases = reader.phases_of(&line)?;
            let of_phases = phases
                .iter()
                .filter_map(|phase| Some((phase.usable()?, phase.final_value.as_deref()?)));
            let only = line.last_final.filter(|_| phases.is_empty());
            let results = of_phases.chain(only.map(|metric| (line.parameters, metric.value)));
            for (packed, value) in results {
                let members = json_members(packed).unwrap_or_default();
                let parameter = members.iter().find(|(name, _)| name == "parameters");
                let exported = Exported {
                    parameter: JsonText(parameter.map_or(packed, |(_, raw)| raw)),
                    value,
                    trial_job_id: line.id,
                };
                out.item(&mut is_first, &exported)?;
            }
            Ok(())
        })?;
        out.text("]")
    })
    .await?)
}

pub(super) async fn import(
    extract::State(state): extract::State<State>,
    body: Result<Document<Vec<ImportedResult>>, Refused>,
) -> Result<Response, Failure> {
    let Document(results) = body?;
    carried_out(&state, Request::ImportData { results }).await?;
    Ok(done())
}

/// A text for each import.
pub(super) async fn imported(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    let imports = state.readers.read(crate::store::StoreReader::imports).await?;
    let texts: Vec<String> = imports
        .iter()
        .map(|results| serde_json::to_string(results).unwrap_or_default())
        .collect();
    Ok(document(&texts))
}
