//! NNI's history as changes of our store.

use super::{NniExperiment, NniTrial};
use crate::{
    phases::Phases,
    store::{Change, ExperimentStatus, MetricKind, MetricPlace, Optimize},
};
use std::sync::Arc;
use ts_core::{
    CancelReason, ExperimentSpec, JournalCursor, Metric, Parameters, Reason, ReasonCode, Timestamp, TrialSpec,
    TrialStatus,
};

impl NniExperiment {
    /// Everything that happened, for the store of a new experiment. `spec` is what the configuration says of its trials;
    /// `optimize` says which result of a trial with several phases is the trial's; `url` says where a person finds the files of a
    /// trial. The experiment ends as stopped at `now`, unless NNI noted its end.
    pub fn changes(
        &self,
        spec: &ExperimentSpec,
        optimize: Optimize,
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
            choose_result(trial, optimize, &mut changes);
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
        // NNI notes them once the platform has them. Source: nni v1.9, `nnimanager.ts`, `onTunerCommand`.
        changes.push(Change::ParametersDelivered {
            trial: id.clone(),
            index,
        });
    }
    for (metric, offset) in trial.metrics.iter().zip(1..) {
        let kind = match metric.kind {
            MetricKind::Final => ts_core::MetricKind::Final,
            MetricKind::Intermediate => ts_core::MetricKind::Periodical,
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

/// Of several phases the best result is the trial's; NNI's is the one that came last.
fn choose_result(trial: &NniTrial, optimize: Optimize, changes: &mut Vec<Change>) {
    let mut parameters = trial.parameters.iter().map(|text| Arc::from(text.as_str())).zip(0..);
    let Some((first, _)) = parameters.next() else { return };
    let mut phases = Phases::new(first);
    for (text, index) in parameters {
        phases.ask(index);
        phases.give(index, text);
    }
    let finals = trial.metrics.iter().filter(|metric| metric.kind == MetricKind::Final);
    let chosen = finals.fold(None, |_, metric| {
        let value = metric.value.as_str();
        let number = Metric::new(ts_core::MetricKind::Final, value).number();
        Some(phases.result(metric.parameter_index, value.into(), number, optimize))
    });
    if let Some(index) = chosen.filter(|_| phases.are_several()) {
        changes.push(Change::ResultChosen {
            trial: trial.id.clone(),
            index,
        });
    }
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
