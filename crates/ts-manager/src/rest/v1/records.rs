//! NNI's records of trials and metrics, written from rows as they are read.

use crate::store::{MetricKind, MetricLine, TrialHead, TrialLine};
use serde::Serialize;
use ts_core::{TrialStatus, json_members};

/// Source: nni v3.0, `ts/nni_manager/common/datastore.ts`, `MetricDataRecord`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetricRecord<'a> {
    timestamp: i64,
    trial_job_id: &'a str,
    parameter_id: Option<&'a str>,
    #[serde(rename = "type")]
    kind: MetricKind,
    sequence: u32,
    /// JSON text of a string that is JSON text: clients decode it twice.
    data: String,
}

impl<'a> MetricRecord<'a> {
    pub(super) fn new(trial: &'a str, parameter_id: Option<&'a str>, line: MetricLine<'_>) -> Self {
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

/// The id of a trial's parameters as text, which is how NNI's database gives even numbers.
pub(super) fn parameter_id(packed: &str) -> Option<String> {
    let members = json_members(packed)?;
    let (_, raw) = members.into_iter().find(|(name, _)| name == "parameter_id")?;
    match raw {
        "null" => None,
        raw => Some(serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())),
    }
}

/// Ids of parameters for metrics that come trial by trial.
#[derive(Debug, Default)]
pub(super) struct ParameterIds {
    of: Option<u32>,
    id: Option<String>,
}

impl ParameterIds {
    pub(super) fn of(&mut self, head: TrialHead<'_>) -> Option<&str> {
        if self.of != Some(head.sequence_id) {
            self.of = Some(head.sequence_id);
            self.id = parameter_id(head.parameters);
        }
        self.id.as_deref()
    }
}

/// Source: nni v3.0, `ts/nni_manager/common/datastore.ts`, `TrialJobInfo`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrialRecord<'a> {
    trial_job_id: &'a str,
    status: TrialStatus,
    hyper_parameters: [&'a str; 1],
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
    pub(super) fn new(line: &'a TrialLine<'_>, parameter_id: Option<&'a str>) -> Self {
        let succeeded = line.status == TrialStatus::Succeeded;
        let failed = line.status == TrialStatus::Failed;
        Self {
            trial_job_id: line.id,
            status: line.status,
            hyper_parameters: [line.parameters],
            log_path: line.url,
            start_time: line.started_at.or(line.submitted_at).unwrap_or(line.created_at).0,
            sequence_id: line.sequence_id,
            end_time: line.ended_at.map(|at| at.0),
            final_metric_data: line
                .last_final
                .filter(|_| succeeded)
                .map(|metric| [MetricRecord::new(line.id, parameter_id, metric)]),
            stderr_path: line.url.filter(|_| failed).map(|url| format!("{url}/stderr")),
            message: line.reason.as_ref().map(|reason| reason.message.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_parameters_are_text_whatever_they_are() {
        let cases = [
            (r#"{"parameter_id": 7, "parameters": {"x": NaN}}"#, Some("7")),
            (r#"{"parameter_id": "0-2_0_0", "parameters": {}}"#, Some("0-2_0_0")),
            (r#"{"parameter_id": null, "parameters": {}}"#, None),
            (r#"{"parameters": {}}"#, None),
            ("", None),
        ];
        for (packed, id) in cases {
            assert_eq!(parameter_id(packed).as_deref(), id, "{packed}");
        }
    }
}
