//! The status of a Framework, field by field. Absent values are null, as its operator writes them.
//!
//! Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/types.go`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Status of a Framework.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FrameworkStatus {
    pub(super) start_time: Value,
    #[serde(default)]
    pub(super) run_time: Value,
    #[serde(default)]
    pub(super) completion_time: Value,
    pub(super) state: State,
    pub(super) transition_time: Value,
    pub(super) retry_policy_status: RetryPolicyStatus,
    pub(super) attempt_status: FrameworkAttempt,
}

/// The current attempt of a Framework.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FrameworkAttempt {
    pub(super) id: i64,
    pub(super) start_time: Value,
    #[serde(default)]
    pub(super) run_time: Value,
    #[serde(default)]
    pub(super) completion_time: Value,
    #[serde(default, rename = "instanceUID")]
    pub(super) instance_uid: Option<String>,
    pub(super) config_map_name: String,
    #[serde(default, rename = "configMapUID")]
    pub(super) config_map_uid: Option<String>,
    #[serde(default)]
    pub(super) completion_status: Option<FrameworkCompletion>,
    pub(super) task_role_statuses: Vec<TaskRoleStatus>,
}

/// Tasks of one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskRoleStatus {
    pub(super) name: String,
    #[serde(default, rename = "instanceUID")]
    pub(super) instance_uid: Option<String>,
    #[serde(default)]
    pub(super) pod_graceful_deletion_timeout_sec: Option<i64>,
    pub(super) task_statuses: Vec<TaskStatus>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskStatus {
    pub(super) index: i64,
    #[serde(default, rename = "instanceUID")]
    pub(super) instance_uid: Option<String>,
    pub(super) start_time: Value,
    #[serde(default)]
    pub(super) run_time: Value,
    #[serde(default)]
    pub(super) completion_time: Value,
    pub(super) state: State,
    pub(super) transition_time: Value,
    #[serde(default)]
    pub(super) deletion_pending: bool,
    pub(super) retry_policy_status: RetryPolicyStatus,
    pub(super) attempt_status: TaskAttempt,
}

/// The current attempt of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskAttempt {
    pub(super) id: i64,
    pub(super) start_time: Value,
    #[serde(default)]
    pub(super) run_time: Value,
    #[serde(default)]
    pub(super) completion_time: Value,
    #[serde(default, rename = "instanceUID")]
    pub(super) instance_uid: Option<String>,
    pub(super) pod_name: String,
    #[serde(default, rename = "podUID")]
    pub(super) pod_uid: Option<String>,
    #[serde(default)]
    pub(super) pod_node_name: Option<String>,
    #[serde(default, rename = "podIP")]
    pub(super) pod_ip: Option<String>,
    #[serde(default, rename = "podHostIP")]
    pub(super) pod_host_ip: Option<String>,
    #[serde(default)]
    pub(super) completion_status: Option<TaskCompletion>,
}

/// Retries so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RetryPolicyStatus {
    pub(super) total_retried_count: i64,
    pub(super) accountable_retried_count: i64,
    #[serde(default)]
    pub(super) retry_delay_sec: Option<i64>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Completion {
    pub(super) code: i64,
    pub(super) phrase: String,
    #[serde(rename = "type")]
    pub(super) kind: CompletionType,
    pub(super) diagnostics: String,
}

/// Whether it ended well, and what that lets expect of another attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CompletionType {
    /// `Succeeded` or `Failed`.
    pub(super) name: String,
    /// Of `Transient`, `Permanent`, `Conflict`, `Unknown`.
    pub(super) attributes: Vec<String>,
}

/// How an attempt of a task ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskCompletion {
    #[serde(flatten)]
    pub(super) summary: Completion,
    /// Reason, message and containers of the pod, each with its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Value>,
}

/// How an attempt of a Framework ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FrameworkCompletion {
    #[serde(flatten)]
    pub(super) summary: Completion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trigger: Option<Trigger>,
}

/// The task that ended an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trigger {
    pub(super) message: String,
    pub(super) task_role_name: String,
    pub(super) task_index: i64,
}

/// States of Frameworks and tasks, which have the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Its ConfigMap, or pod, is to be made.
    AttemptCreationPending,
    /// It has been made.
    AttemptCreationRequested,
    /// It is there, and nothing has run yet.
    AttemptPreparing,
    /// Something runs or has run.
    AttemptRunning,
    /// The outcome is known, and it is to be deleted.
    AttemptDeletionPending,
    /// Its deletion has been asked for.
    AttemptDeletionRequested,
    /// It is on its way out.
    AttemptDeleting,
    /// It is gone; another attempt may follow.
    AttemptCompleted,
    /// No other attempt follows.
    Completed,
}

impl State {
    /// Whether the outcome is known and what is left is being removed.
    pub(super) fn is_completing(self) -> bool {
        matches!(
            self,
            Self::AttemptDeletionPending | Self::AttemptDeletionRequested | Self::AttemptDeleting
        )
    }
}

impl FrameworkStatus {
    /// All tasks.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &TaskStatus> {
        self.attempt_status
            .task_role_statuses
            .iter()
            .flat_map(|role| &role.task_statuses)
    }

    /// All tasks, for changing.
    pub(super) fn tasks_mut(&mut self) -> impl Iterator<Item = &mut TaskStatus> {
        self.attempt_status
            .task_role_statuses
            .iter_mut()
            .flat_map(|role| &mut role.task_statuses)
    }

    /// Goes to another state, at this time.
    pub(super) fn go(&mut self, state: State, now: &Value) {
        if self.state == state {
            return;
        }
        match state {
            State::AttemptRunning => {
                self.attempt_status.run_time = now.clone();
                if self.run_time.is_null() {
                    self.run_time = now.clone();
                }
            }
            State::AttemptCompleted => self.attempt_status.completion_time = now.clone(),
            State::Completed => self.completion_time = now.clone(),
            _ => {}
        }
        self.state = state;
        self.transition_time = now.clone();
    }
}

impl TaskStatus {
    /// Goes to another state, at this time.
    pub(super) fn go(&mut self, state: State, now: &Value) {
        if self.state == state {
            return;
        }
        match state {
            State::AttemptRunning => {
                self.attempt_status.run_time = now.clone();
                if self.run_time.is_null() {
                    self.run_time = now.clone();
                }
            }
            State::AttemptCompleted => self.attempt_status.completion_time = now.clone(),
            State::Completed => self.completion_time = now.clone(),
            _ => {}
        }
        self.state = state;
        self.transition_time = now.clone();
    }

    fn ended(&self, how: &str) -> bool {
        let completion = self.attempt_status.completion_status.as_ref();
        self.state == State::Completed && completion.is_some_and(|status| status.summary.kind.name == how)
    }

    pub(super) fn succeeded(&self) -> bool {
        self.ended("Succeeded")
    }

    pub(super) fn failed(&self) -> bool {
        self.ended("Failed")
    }
}
