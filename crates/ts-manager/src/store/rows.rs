//! From rows of the tables to the model, every value checked: a damaged file gives errors, never panics.

use super::{ExperimentRow, ExperimentStatus, Limits, LoggedEvent, Metric, MetricKind, TrialRow};
use rusqlite::{Error as Sql, Result, Row, types::Type};
use std::time::Duration;
use ts_core::{
    CancelReason, Error, ErrorKind, ExperimentId, JournalCursor, Parameters, Timestamp, TrialId, TrialRecord,
    TrialSpec, TrialStatus,
};

/// Columns of [`trial`], in its order.
pub(super) const TRIAL: &str = "SELECT t.sequence_id, t.id, original.id, t.attempt, template.json, t.parameters,
        t.parameter_index, t.status, t.reason_json, t.cancel_reason, t.submitted, t.url, t.created_ms, t.submitted_ms,
        t.started_ms, t.ended_ms, t.journal_base, t.journal_offset, t.journal_check, t.n_metrics, t.newest_seq,
        t.newest_ms, t.newest_kind, t.newest_sequence, t.newest_value, t.newest_number, t.newest_index, t.final_value,
        t.final_number, t.n_requests, t.n_phases, t.final_index
    FROM trial t JOIN template ON template.number = t.template
    LEFT JOIN trial original ON original.sequence_id = t.retry_of";

/// Columns of [`experiment`], in its order.
pub(super) const EXPERIMENT: &str = "SELECT id, created_ms, config_text, config_json, status, message, code_json,
        started_ms, ended_ms, duration_ms, concurrency, max_trials, max_duration_ms, next_sequence_id, revision,
        counted_ms
    FROM experiment";

/// Columns of [`metric`], in its order.
pub(super) const METRIC: &str = "SELECT seq, at_ms, kind, sequence, value, number, parameter_index FROM metric";

/// Columns of [`event`], in its order.
pub(super) const EVENT: &str = "SELECT event.number, event.at_ms, trial.id, event.kind, event.data
    FROM event LEFT JOIN trial ON trial.sequence_id = event.trial";

pub(super) fn misfit(at: usize, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Sql {
    Sql::FromSqlConversionFailure(at, Type::Text, why.into())
}

/// A value with a fixed set of spellings.
pub(super) fn named<T>(row: &Row<'_>, at: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    let text = row.get_ref(at)?.as_str().map_err(|e| misfit(at, e))?;
    parse(text).ok_or_else(|| misfit(at, format!("unknown value `{}`", text.escape_debug())))
}

pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, at: usize) -> Result<Option<T>> {
    row.get_ref(at)?
        .as_str_or_null()
        .map_err(|e| misfit(at, e))?
        .map(|text| serde_json::from_str(text).map_err(|e| misfit(at, e)))
        .transpose()
}

pub(super) fn trial_id(row: &Row<'_>, at: usize) -> Result<Option<TrialId>> {
    row.get_ref(at)?
        .as_str_or_null()
        .map_err(|e| misfit(at, e))?
        .map(|text| TrialId::new(text).map_err(|e| misfit(at, e)))
        .transpose()
}

fn required<T>(at: usize, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| misfit(at, "null where there must be a value"))
}

pub(super) fn time(row: &Row<'_>, at: usize) -> Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp))
}

/// What trials of an experiment share: their specification without id, number and parameters, which are columns.
pub(super) fn template_of(spec: &TrialSpec) -> ts_core::Result<String> {
    let mut json = serde_json::to_value(spec)
        .map_err(|e| Error::new(ErrorKind::Internal, "a trial cannot be written as JSON").with_source(e))?;
    if let Some(fields) = json.as_object_mut() {
        for column in ["id", "sequence_id", "parameters"] {
            fields.remove(column);
        }
    }
    Ok(json.to_string())
}

fn spec(row: &Row<'_>) -> Result<TrialSpec> {
    let mut fields: serde_json::Map<String, serde_json::Value> = required(4, json(row, 4)?)?;
    let parameters = Parameters {
        text: row.get(5)?,
        index: row.get(6)?,
    };
    fields.insert("id".into(), row.get::<_, String>(1)?.into());
    fields.insert("sequence_id".into(), row.get::<_, u32>(0)?.into());
    fields.insert("parameters".into(), serde_json::json!(parameters));
    serde_json::from_value(fields.into()).map_err(|e| misfit(4, e))
}

/// A trial, and whether it has phases, which are in a table of their own.
pub(super) fn trial(row: &Row<'_>) -> Result<(TrialRow, bool)> {
    let newest = match row.get::<_, Option<u64>>(20)? {
        None => None,
        Some(seq) => Some(Metric {
            seq,
            at: Timestamp(row.get(21)?),
            kind: named(row, 22, MetricKind::parse)?,
            sequence: row.get(23)?,
            value: row.get(24)?,
            number: row.get(25)?,
            parameter_index: row.get(26)?,
        }),
    };
    let trial = TrialRow {
        spec: spec(row)?,
        retry_of: trial_id(row, 2)?,
        attempt: row.get(3)?,
        status: named(row, 7, TrialStatus::parse)?,
        reason: json(row, 8)?,
        cancel_requested: match row.get_ref(9)?.as_str_or_null().map_err(|e| misfit(9, e))? {
            None => None,
            Some(_) => Some(named(row, 9, CancelReason::parse)?),
        },
        submitted: row.get(10)?,
        url: row.get(11)?,
        created_at: Timestamp(row.get(12)?),
        submitted_at: time(row, 13)?,
        started_at: time(row, 14)?,
        ended_at: time(row, 15)?,
        cursor: JournalCursor {
            base: row.get(16)?,
            offset: row.get(17)?,
            check: row.get(18)?,
        },
        n_metrics: row.get(19)?,
        newest,
        final_value: row.get(27)?,
        final_number: row.get(28)?,
        final_index: row.get(31)?,
        n_requests: row.get(29)?,
        phases: Vec::new(),
    };
    Ok((trial, row.get::<_, u32>(30)? > 0))
}

pub(super) fn record(row: &Row<'_>) -> Result<TrialRecord> {
    let (trial, _) = trial(row)?;
    Ok(TrialRecord::new(
        trial.spec,
        trial.submitted,
        trial.status,
        trial.cursor,
    ))
}

pub(super) fn metric(row: &Row<'_>) -> Result<Metric> {
    Ok(Metric {
        seq: row.get(0)?,
        at: Timestamp(row.get(1)?),
        kind: named(row, 2, MetricKind::parse)?,
        sequence: row.get(3)?,
        value: row.get(4)?,
        number: row.get(5)?,
        parameter_index: row.get(6)?,
    })
}

pub(super) fn experiment(row: &Row<'_>) -> Result<ExperimentRow> {
    Ok(ExperimentRow {
        id: ExperimentId::new(&row.get::<_, String>(0)?).map_err(|e| misfit(0, e))?,
        created: Timestamp(row.get(1)?),
        config_text: row.get(2)?,
        config: required(3, json(row, 3)?)?,
        status: named(row, 4, ExperimentStatus::parse)?,
        message: row.get(5)?,
        code: json(row, 6)?,
        started: time(row, 7)?,
        ended: time(row, 8)?,
        duration: Duration::from_millis(row.get(9)?),
        limits: Limits {
            concurrency: row.get(10)?,
            max_trials: row.get(11)?,
            max_duration_ms: row.get(12)?,
        },
        next_sequence_id: row.get(13)?,
        revision: row.get(14)?,
        counted: time(row, 15)?,
    })
}

pub(super) fn event(row: &Row<'_>) -> Result<LoggedEvent> {
    Ok(LoggedEvent {
        number: row.get(0)?,
        at: Timestamp(row.get(1)?),
        trial: trial_id(row, 2)?,
        kind: row.get(3)?,
        data: json(row, 4)?.unwrap_or_default(),
    })
}
