//! NNI's history as changes of our store.

use super::{NniExperiment, NniTrial};
use crate::store::{Change, ExperimentStatus, MetricPlace};
use ts_core::{
    CancelReason, ExperimentSpec, JournalCursor, Metric, Parameters, Reason, ReasonCode, Timestamp, TrialSpec,
    TrialStatus,
};

impl NniExperiment {
    /// Everything that happened, for the store of a new experiment. `spec` is what the configuration says of its trials; `url` says
    /// where a person finds the files of a trial. The experiment ends as stopped at `now`, unless NNI noted its end.
    pub fn changes(
        &self,
        spec: &ExperimentSpec,
        now: Timestamp,
        url: impl Fn(&NniTrial) -> Option<String>,
    ) -> Vec<Change> {
        let mut changes = vec![Change::ExperimentStatus {
            status: ExperimentStatus::Running,
            at: self.started,
            message: None,
        }];
        for trial in &self.trials {
            trial_changes(trial, spec, now, url(trial), &mut changes);
        }
        for (at, results) in &self.imported {
            changes.push(Change::ResultsImported {
                at: *at,
                results: results.clone(),
            });
        }
        changes.push(Change::DurationAccumulated {
            by: std::time::Duration::from_secs(self.exec_seconds),
            at: self.ended.unwrap_or(now),
        });
        changes.push(Change::Note {
            at: now,
            trial: None,
            kind: "imported".into(),
            data: serde_json::json!({ "from": self.folder, "leftOut": self.left_out }),
        });
        changes.push(Change::ExperimentStatus {
            status: ExperimentStatus::Stopped,
            at: self.ended.unwrap_or(now),
            message: Some(format!("imported from NNI: `{}`", self.folder.display())),
        });
        changes
    }
}

fn trial_changes(
    trial: &NniTrial,
    spec: &ExperimentSpec,
    now: Timestamp,
    url: Option<String>,
    changes: &mut Vec<Change>,
) {
    let id = &trial.id;
    let mut parameters = trial.parameters.iter();
    let first = parameters.next().cloned().unwrap_or_default();
    changes.push(Change::created(
        TrialSpec::new(spec, id.clone(), trial.sequence_id, Parameters::new(first)),
        trial.submitted,
    ));
    if let Some(url) = url {
        changes.push(Change::TrialSubmitted {
            trial: id.clone(),
            at: trial.submitted,
            url,
        });
    }
    if let Some(at) = trial.started {
        changes.push(Change::TrialStatus {
            trial: id.clone(),
            at,
            status: TrialStatus::Running,
            reason: None,
        });
    }
    for (text, index) in parameters.zip(1..) {
        let mut next = Parameters::new(text.clone());
        next.index = index;
        changes.push(Change::ParametersSent {
            trial: id.clone(),
            at: trial.started.unwrap_or(trial.submitted),
            parameters: next,
        });
    }
    for (metric, offset) in trial.metrics.iter().zip(1..) {
        let kind = match metric.kind {
            crate::store::MetricKind::Final => ts_core::MetricKind::Final,
            crate::store::MetricKind::Intermediate => ts_core::MetricKind::Periodical,
        };
        changes.push(Change::Metric {
            trial: id.clone(),
            at: metric.at,
            place: MetricPlace::Journal(JournalCursor {
                base: 0,
                offset,
                check: 0,
            }),
            kind: metric.kind,
            sequence: metric.sequence,
            number: Metric::new(kind, metric.value.as_str()).number(),
            value: metric.value.clone(),
            parameter_index: metric.parameter_index,
        });
    }
    if let Some(at) = trial.cancel_asked {
        changes.push(Change::CancelRequested {
            trial: id.clone(),
            at,
            reason: CancelReason::User,
        });
    }
    let (status, at, reason) = end(trial, now);
    changes.push(Change::TrialStatus {
        trial: id.clone(),
        at,
        status,
        reason,
    });
}

/// How it ended. What NNI saw run and never end is ended here: nobody can find it any more.
fn end(trial: &NniTrial, now: Timestamp) -> (TrialStatus, Timestamp, Option<Reason>) {
    if !trial.status.is_terminal() {
        let message = "it had not ended when NNI's manager did, and NNI does not say what became of it";
        let reason =
            Reason::new(ReasonCode::Lost, message, now).unblocked_by("`tsctl retry` runs it again with its parameters");
        let status = match trial.cancel_asked {
            Some(_) => TrialStatus::UserCanceled,
            None => TrialStatus::SysCanceled,
        };
        return (
            status,
            trial
                .metrics
                .last()
                .map_or(trial.submitted, |metric| metric.at)
                .max(trial.submitted),
            Some(reason),
        );
    }
    let at = trial.ended.unwrap_or(now);
    let code = match trial.status {
        TrialStatus::Succeeded => return (trial.status, at, None),
        TrialStatus::UserCanceled => ReasonCode::Canceled,
        TrialStatus::EarlyStopped => ReasonCode::EarlyStopped,
        TrialStatus::SysCanceled => ReasonCode::Preempted,
        _ => ReasonCode::ExitCode,
    };
    let message = match &trial.message {
        Some(message) => format!("NNI: {message}"),
        None => format!("NNI reports {}", trial.status),
    };
    (trial.status, at, Some(Reason::new(code, message, at)))
}
