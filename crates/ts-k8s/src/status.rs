//! From the status of an object to what its trial is: total functions, one per family of kinds.
//!
//! What its pods add to that is in `pods.rs`; both come together in `scene`.

use crate::JobKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;
use ts_core::Timestamp;

/// What an object says of its trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JobState {
    /// It has not begun; the text says why, if the object knows.
    Waiting(Option<String>),
    /// At least one pod runs.
    Running,
    /// It ended well.
    Succeeded(Option<Timestamp>),
    /// It ended otherwise.
    Failed(Failure),
}

/// What an object says of its failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) at: Option<Timestamp>,
    /// The platform's word, such as `DeadlineExceeded`.
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Exit code, where the object has it.
    pub(crate) code: Option<i32>,
    /// Name of the pod whose end was the job's, where the object has it.
    pub(crate) pod: Option<String>,
}

impl Failure {
    /// Whether a pod of a Job has failed, of which nothing more is told here.
    ///
    /// Source: kubernetes v1.20, `pkg/controller/job/job_controller.go`, `syncJob`.
    pub(crate) fn is_of_a_pod(&self) -> bool {
        self.reason == "BackoffLimitExceeded"
    }
}

impl JobState {
    pub(crate) const fn is_end(&self) -> bool {
        matches!(self, Self::Succeeded(_) | Self::Failed(_))
    }
}

/// Reads the status of an object of this kind; anything that is not understood reads as waiting.
pub(crate) fn state_of(kind: JobKind, status: &Value) -> JobState {
    match kind {
        JobKind::Job => job(status),
        JobKind::TfJob | JobKind::PyTorchJob => kubeflow(status),
        JobKind::TrainJob => train_job(status),
        JobKind::Framework => framework(status),
    }
}

/// Source: kubernetes/api, `batch/v1/types.go`; `FailureTarget` and `SuccessCriteriaMet` come before the end.
fn job(status: &Value) -> JobState {
    if let Some(condition) = condition(status, "Failed") {
        return JobState::Failed(failure(condition, status));
    }
    if let Some(condition) = condition(status, "Complete") {
        return JobState::Succeeded(time(&status["completionTime"]).or_else(|| time(&condition["lastTransitionTime"])));
    }
    if let Some(condition) = condition(status, "Suspended") {
        return JobState::Waiting(Some(suspended(condition)));
    }
    if count(&status["ready"]) > 0 {
        return JobState::Running;
    }
    JobState::Waiting(None)
}

/// Conditions stand in no useful order, and old ones stay with status `False`.
///
/// Source: kubeflow/training-operator 1.9, `pkg/util/status.go`, `pkg/apis/kubeflow.org/v1/common_types.go`.
fn kubeflow(status: &Value) -> JobState {
    if let Some(condition) = condition(status, "Failed") {
        return JobState::Failed(failure(condition, status));
    }
    if let Some(condition) = condition(status, "Succeeded") {
        return JobState::Succeeded(time(&status["completionTime"]).or_else(|| time(&condition["lastTransitionTime"])));
    }
    if let Some(condition) = condition(status, "Suspended") {
        return JobState::Waiting(Some(suspended(condition)));
    }
    if condition(status, "Restarting").is_some() || condition(status, "Running").is_some() {
        return JobState::Running;
    }
    JobState::Waiting(None)
}

/// There is no condition for running; the counts of the jobs below tell.
///
/// Source: kubeflow/trainer, `pkg/apis/trainer/v1alpha1/trainjob_types.go`.
fn train_job(status: &Value) -> JobState {
    if let Some(condition) = condition(status, "Failed") {
        return JobState::Failed(failure(condition, status));
    }
    if let Some(condition) = condition(status, "Complete") {
        return JobState::Succeeded(time(&condition["lastTransitionTime"]));
    }
    if let Some(condition) = condition(status, "Suspended") {
        return JobState::Waiting(Some(suspended(condition)));
    }
    let jobs = status["jobsStatus"].as_array().map(Vec::as_slice).unwrap_or_default();
    if jobs.iter().any(|job| count(&job["ready"]) > 0) {
        return JobState::Running;
    }
    JobState::Waiting(None)
}

/// Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/types.go`.
fn framework(status: &Value) -> JobState {
    let attempt = &status["attemptStatus"];
    match status["state"].as_str().unwrap_or_default() {
        "Completed" => {
            let completion = &attempt["completionStatus"];
            let at = time(&status["completionTime"]).or_else(|| time(&attempt["completionTime"]));
            if completion["type"]["name"] == "Succeeded" {
                return JobState::Succeeded(at);
            }
            let code = completion["code"].as_i64().and_then(|code| i32::try_from(code).ok());
            let trigger = completion["trigger"]["message"].as_str();
            let said = trigger
                .or_else(|| completion["diagnostics"].as_str())
                .unwrap_or_default();
            JobState::Failed(Failure {
                at,
                reason: text(&completion["phrase"]),
                message: said.chars().take(500).collect(),
                // Codes below zero are FrameworkController's own.
                code: code.filter(|code| *code > 0),
                pod: trigger_of(attempt),
            })
        }
        "AttemptRunning"
        | "AttemptDeletionPending"
        | "AttemptDeletionRequested"
        | "AttemptDeleting"
        | "AttemptCompleted" => JobState::Running,
        _ => JobState::Waiting(None),
    }
}

/// The pod of the task whose end completed an attempt.
fn trigger_of(attempt: &Value) -> Option<String> {
    let trigger = &attempt["completionStatus"]["trigger"];
    let role = trigger["taskRoleName"].as_str()?;
    let index = trigger["taskIndex"].as_i64()?;
    let roles = attempt["taskRoleStatuses"].as_array()?;
    let tasks = roles.iter().find(|status| status["name"] == role)?["taskStatuses"].as_array()?;
    let task = tasks.iter().find(|task| task["index"] == index)?;
    task["attemptStatus"]["podName"].as_str().map(str::to_owned)
}

/// The condition of this type that is true.
fn condition<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    let conditions = status["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == name && c["status"] == "True")
}

fn failure(condition: &Value, status: &Value) -> Failure {
    Failure {
        at: time(&status["completionTime"]).or_else(|| time(&condition["lastTransitionTime"])),
        reason: text(&condition["reason"]),
        message: text(&condition["message"]),
        code: None,
        pod: None,
    }
}

fn suspended(condition: &Value) -> String {
    let message = text(&condition["message"]);
    if message.is_empty() {
        "suspended".to_owned()
    } else {
        message
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// A time as Kubernetes writes it.
pub(crate) fn time(value: &Value) -> Option<Timestamp> {
    serde_json::from_value::<Time>(value.clone()).ok().as_ref().map(of_time)
}

pub(crate) fn of_time(time: &Time) -> Timestamp {
    Timestamp(time.0.as_millisecond())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
