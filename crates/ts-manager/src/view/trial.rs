//! A trial with its reason and its newest metric, and a metric.

use super::{JsonText, Time};
use crate::store::{self, MetricKind, MetricLine, Template, TrialLine, TrialRow};
use serde::Serialize;
use serde_json::Value;
use ts_core::{CancelReason, Reason, ReasonCode, TrialStatus, Verdict};

/// Why a trial waits or ended so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Why<'a> {
    /// For programs.
    pub code: ReasonCode,
    /// What is so.
    pub message: &'a str,
    /// What would change it.
    pub unblock: Option<&'a str>,
    /// Since when it is so.
    pub since: Time,
    /// Whose doing the end was.
    pub verdict: Option<Verdict>,
}

impl<'a> From<&'a Reason> for Why<'a> {
    fn from(reason: &'a Reason) -> Self {
        Self {
            code: reason.code,
            message: &reason.message,
            unblock: reason.unblock.as_deref(),
            since: Time(reason.since),
            verdict: reason.code.verdict(),
        }
    }
}

/// A metric. `value` is the JSON that the trial wrote.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Metric<'a> {
    /// Intermediate or final.
    pub kind: MetricKind,
    /// The trial's own number of it.
    pub sequence: u32,
    /// When it was read.
    pub at: Time,
    /// As the trial wrote it.
    pub value: JsonText<'a>,
    /// What it is compared by; null where it is not finite.
    pub number: Option<f64>,
    /// Index of the parameters that it is of; left out for those that the trial began with.
    #[serde(rename = "parameterIndex", skip_serializing_if = "is_first")]
    pub parameter_index: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_first(index: &u32) -> bool {
    *index == 0
}

impl<'a> From<&'a store::Metric> for Metric<'a> {
    fn from(metric: &'a store::Metric) -> Self {
        Self {
            kind: metric.kind,
            sequence: metric.sequence,
            at: Time(metric.at),
            value: JsonText(&metric.value),
            number: metric.number,
            parameter_index: metric.parameter_index,
        }
    }
}

impl<'a> From<MetricLine<'a>> for Metric<'a> {
    fn from(line: MetricLine<'a>) -> Self {
        Self {
            kind: line.kind,
            sequence: line.sequence,
            at: Time(line.at),
            value: JsonText(line.value),
            number: line.number,
            parameter_index: line.parameter_index,
        }
    }
}

/// Parameters of a trial that asked for further ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Phase<'a> {
    /// Their index; 0 for those that the trial began with.
    pub index: u32,
    /// Packed parameters; null while they are asked for. Their `parameters` are null if there were no more.
    pub parameters: Option<JsonText<'a>>,
    /// When they were asked for.
    pub requested_at: Time,
    /// When they were there.
    pub given_at: Option<Time>,
    /// The last final metric of them.
    pub final_value: Option<JsonText<'a>>,
    /// The number in it.
    pub final_number: Option<f64>,
}

impl<'a> From<&'a store::Phase> for Phase<'a> {
    fn from(phase: &'a store::Phase) -> Self {
        Self {
            index: phase.index,
            parameters: phase.parameters.as_deref().map(JsonText),
            requested_at: Time(phase.requested_at),
            given_at: phase.given_at.map(Time),
            final_value: phase.final_value.as_deref().map(JsonText),
            final_number: phase.final_number,
        }
    }
}

/// A trial with everything that is known of it but its metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Trial<'a> {
    /// Its id.
    pub id: &'a str,
    /// The experiment that it belongs to.
    pub experiment_id: &'a str,
    /// Its number.
    pub sequence_id: u32,
    /// Its status.
    pub status: TrialStatus,
    /// Why it waits or ended so.
    pub reason: Option<Why<'a>>,
    /// Why it was asked to end.
    pub cancel_requested: Option<CancelReason>,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The trial that this one tries again.
    pub retry_of: Option<&'a str>,
    /// Packed parameters of the result; while there is none, those that it began with.
    pub parameters: JsonText<'a>,
    /// The command.
    pub command: &'a str,
    /// Where a person finds the job.
    pub url: Option<&'a str>,
    /// When it was stored.
    pub created_at: Time,
    /// When the platform had it.
    pub submitted_at: Option<Time>,
    /// When it was first reported to run.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// How many metrics are stored.
    pub n_metrics: u64,
    /// The newest metric.
    pub newest_metric: Option<Metric<'a>>,
    /// The last final metric; of a trial with several phases the best of theirs.
    pub final_value: Option<JsonText<'a>>,
    /// The number in it.
    pub final_number: Option<f64>,
    /// All its parameters, if it asked for further ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase<'a>>,
}

impl<'a> From<&'a TrialRow> for Trial<'a> {
    fn from(row: &'a TrialRow) -> Self {
        Self {
            id: row.spec.id.as_str(),
            experiment_id: row.spec.experiment.as_str(),
            sequence_id: row.spec.sequence_id,
            status: row.status,
            reason: row.reason.as_ref().map(Why::from),
            cancel_requested: row.cancel_requested,
            attempt: row.attempt,
            retry_of: row.retry_of.as_ref().map(ts_core::TrialId::as_str),
            parameters: JsonText(row.parameters()),
            command: &row.spec.command,
            url: row.url.as_deref(),
            created_at: Time(row.created_at),
            submitted_at: row.submitted_at.map(Time),
            started_at: row.started_at.map(Time),
            ended_at: row.ended_at.map(Time),
            n_metrics: row.n_metrics,
            newest_metric: row.newest.as_ref().map(Metric::from),
            final_value: row.final_value.as_deref().map(JsonText),
            final_number: row.final_number,
            phases: row.phases.iter().map(Phase::from).collect(),
        }
    }
}

impl<'a> Trial<'a> {
    /// From a line of a list, the template that it names, and its phases.
    pub fn of_line(line: &'a TrialLine<'_>, template: Option<&'a Template>, phases: &'a [store::Phase]) -> Self {
        Self {
            id: line.id,
            experiment_id: template.map_or("", |t| &t.experiment),
            sequence_id: line.sequence_id,
            status: line.status,
            reason: line.reason.as_ref().map(Why::from),
            cancel_requested: line.cancel_requested,
            attempt: line.attempt,
            retry_of: line.retry_of,
            parameters: JsonText(of_result(line, phases)),
            command: template.map_or("", |t| &t.command),
            url: line.url,
            created_at: Time(line.created_at),
            submitted_at: line.submitted_at.map(Time),
            started_at: line.started_at.map(Time),
            ended_at: line.ended_at.map(Time),
            n_metrics: line.n_metrics,
            newest_metric: line.newest.map(Metric::from),
            final_value: line.last_final.map(|metric| JsonText(metric.value)),
            final_number: line.last_final.and_then(|metric| metric.number),
            phases: phases.iter().map(Phase::from).collect(),
        }
    }
}

/// What a table of many trials shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Brief<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its number.
    pub sequence_id: u32,
    /// Its status.
    pub status: TrialStatus,
    /// Why it waits or ended so.
    pub reason: Option<Why<'a>>,
    /// Packed parameters of the result; while there is none, those that it began with.
    pub parameters: JsonText<'a>,
    /// When it was stored.
    pub created_at: Time,
    /// When it was first reported to run.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// The number in the last final metric.
    pub final_number: Option<f64>,
    /// The newest metric.
    pub newest_metric: Option<Metric<'a>>,
    /// How many metrics are stored.
    pub n_metrics: u64,
    /// Where a person finds the job.
    pub url: Option<&'a str>,
}

fn of_result<'a>(line: &'a TrialLine<'_>, phases: &'a [store::Phase]) -> &'a str {
    let index = line.last_final.map_or(0, |result| result.parameter_index);
    store::parameters_of(line.parameters, phases, index)
}

impl<'a> Brief<'a> {
    /// From a line of a list and the trial's phases.
    pub fn of_line(line: &'a TrialLine<'_>, phases: &'a [store::Phase]) -> Self {
        Self {
            id: line.id,
            sequence_id: line.sequence_id,
            status: line.status,
            reason: line.reason.as_ref().map(Why::from),
            parameters: JsonText(of_result(line, phases)),
            created_at: Time(line.created_at),
            started_at: line.started_at.map(Time),
            ended_at: line.ended_at.map(Time),
            final_number: line.last_final.and_then(|metric| metric.number),
            newest_metric: line.newest.map(Metric::from),
            n_metrics: line.n_metrics,
            url: line.url,
        }
    }
}

/// A trial as a JSON value.
pub fn trial(row: &TrialRow) -> Value {
    value(Trial::from(row))
}

/// A metric as a JSON value.
pub fn metric(metric: &store::Metric) -> Value {
    value(Metric::from(metric))
}

/// A reason as a JSON value.
pub fn reason(reason: &Reason) -> Value {
    value(Why::from(reason))
}

/// Shapes of ours have text keys only, so they always are values.
fn value(shape: impl Serialize) -> Value {
    serde_json::to_value(shape).unwrap_or_default()
}
