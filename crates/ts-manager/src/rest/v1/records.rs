//! NNI's records of trials and metrics, written from rows as they are read.

use crate::{
    source::parameter_id,
    store::{MetricKind, MetricLine, Phase, TrialHead, TrialLine},
};
use serde::Serialize;
use ts_core::TrialStatus;

/// Source: nni v3.0, `ts/nni_manager/common/datastore.ts`, `MetricDataRecord`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetricRecord<'a> {
    timestamp: i64,
    trial_job_id: &'a str,
    parameter_id: Option<String>,
    #[serde(rename = "type")]
    kind: MetricKind,
    sequence: u32,
    /// JSON text of a string that is JSON text: clients decode it twice.
    data: String,
}

impl<'a> MetricRecord<'a> {
    pub(super) fn new(trial: &'a str, parameter_id: Option<String>, line: MetricLine<'_>) -> Self {
        Self {
            timestamp: line.at.0,
            trial_job_id: trial,
            parameter_id,
            kind: line.kind,
            sequence: line.sequence,
            data: serde_json::Value::from(line.value).to_string(),
        }
    }
}

/// Ids of parameters for metrics that come trial by trial.
#[derive(Debug, Default)]
pub(super) struct ParameterIds {
    of: Option<(u32, u32)>,
    id: Option<String>,
}

impl ParameterIds {
    pub(super) fn of(&mut self, head: TrialHead<'_>, line: MetricLine<'_>) -> Option<String> {
        let of = Some((head.sequence_id, line.parameter_index));
        if self.of != of {
            self.of = of;
            self.id = parameter_id(head.parameters);
        }
        self.id.clone()
    }
}

/// Source: nni v3.0, `ts/nni_manager/common/datastore.ts`, `TrialJobInfo`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrialRecord<'a> {
    trial_job_id: &'a str,
    status: TrialStatus,
    /// Without the word that there are no more, as NNI.
    hyper_parameters: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_path: Option<&'a str>,
    start_time: i64,
    sequence_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    /// Only of trials that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    final_metric_data: Option<[MetricRecord<'a>; 1]>,
    /// Only of trials that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl<'a> TrialRecord<'a> {
    pub(super) fn new(line: &'a TrialLine<'_>, phases: &'a [Phase]) -> Self {
        let succeeded = line.status == TrialStatus::Succeeded;
        let failed = line.status == TrialStatus::Failed;
        Self {
            trial_job_id: line.id,
            status: line.status,
            hyper_parameters: match phases {
                [] => vec![line.parameters],
                phases => phases.iter().filter_map(Phase::usable).collect(),
            },
            log_path: line.url,
            start_time: line.started_at.or(line.submitted_at).unwrap_or(line.created_at).0,
            sequence_id: line.sequence_id,
            end_time: line.ended_at.map(|at| at.0),
            final_metric_data: line.last_final.filter(|_| succeeded).map(|metric| {
                let of = phases.iter().find(|phase| phase.index == metric.parameter_index);
                let parameters = of.and_then(Phase::usable).unwrap_or(line.parameters);
                [MetricRecord::new(line.id, parameter_id(parameters), metric)]
            }),
            stderr_path: line.url.filter(|_| failed).map(|url| format!("{url}/stderr")),
            message: line.reason.as_ref().map(|reason| reason.message.as_str()),
        }
    }
}
