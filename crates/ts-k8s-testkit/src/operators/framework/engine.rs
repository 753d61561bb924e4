//! Bringing a Framework along, one transition of its state at a time.
//!
//! Source: microsoft/frameworkcontroller, `pkg/controller/controller.go`, `syncFrameworkState`. Frameworks that have completed
//! are kept; the real one deletes them after 30 days.

use super::{
    completion::{CONFIG_MAP_EXTERNAL_DELETED, FRAMEWORK_ATTEMPT_COMPLETION, STOP_FRAMEWORK_REQUESTED},
    make::{FRAMEWORK_ATTEMPT_ID, config_map, part_uid},
    policy,
    types::{
        Completion, FrameworkAttempt, FrameworkCompletion, FrameworkStatus, RetryPolicyStatus, State, TaskAttempt,
        TaskRoleStatus, TaskStatus,
    },
};
use crate::operators::{
    plan::{Action, Engine, Kind, Plan, View},
    value::{annotation, controlled_by, deleting, list, name, number, remaining, stamp, text, uid},
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// Seconds to wait, at least and at most, after a conflict over resources.
///
/// Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/config.go`, defaults of
/// `FrameworkMinRetryDelaySecForTransientConflictFailed` and `…Max…`.
const CONFLICT_DELAY: (i64, i64) = (60, 900);

/// FrameworkController.
#[derive(Debug)]
pub(in crate::operators) struct Frameworks;

impl Engine for Frameworks {
    fn kind(&self) -> Kind {
        Kind::Framework
    }

    fn component(&self) -> &'static str {
        "frameworkcontroller"
    }

    fn plan(&self, view: &View) -> Plan {
        if view.deleting() {
            return Plan::default();
        }
        let now = stamp(view.now);
        let Ok(status) = serde_json::from_value(view.status().clone()) else {
            return Plan {
                status: Some(write(&new_status(&view.object, &now))),
                ..Plan::default()
            };
        };
        let mut sync = Sync {
            view,
            now,
            status,
            plan: Plan::default(),
        };
        sync.framework();
        let Sync { status, mut plan, .. } = sync;
        plan.status = Some(write(&status));
        plan
    }
}

fn write(status: &FrameworkStatus) -> Value {
    serde_json::to_value(status).expect("plain data")
}

/// One look at one Framework.
#[derive(Debug)]
pub(super) struct Sync<'a> {
    pub(super) view: &'a View,
    pub(super) now: Value,
    pub(super) status: FrameworkStatus,
    pub(super) plan: Plan,
}

impl Sync<'_> {
    fn framework(&mut self) {
        match self.status.state {
            State::Completed => return,
            State::AttemptCompleted => return self.retry(),
            _ => {}
        }
        let found = self.config_map_of_attempt();
        let stop = text(&self.view.object, "/spec/executionType") == "Stop";
        if self.status.state == State::AttemptCreationPending {
            match found {
                _ if stop => self.complete_attempt(stopped(), true),
                Some(found) => {
                    let attempt = &mut self.status.attempt_status;
                    attempt.config_map_uid = Some(uid(&found).to_owned());
                    attempt.instance_uid = Some(format!("{}_{}", attempt.id, uid(&found)));
                    self.status.go(State::AttemptCreationRequested, &self.now);
                }
                // Leftovers of the attempt before have to go first.
                None if !self.view.config_maps.is_empty() => {}
                None if text(&self.view.object, "/spec/executionType") == "Create" => {}
                None => {
                    let body = config_map(&self.view.object, &self.status);
                    self.plan.actions.push(Action::Create(Kind::ConfigMap, body));
                }
            }
            return;
        }
        let Some(found) = found else {
            let end = Completion::new(CONFIG_MAP_EXTERNAL_DELETED, "ConfigMap was deleted by others").of_framework();
            self.leave(end);
            return;
        };
        self.with_config_map(&found, stop);
    }

    /// The ConfigMap of the current attempt. One of an earlier attempt is removed.
    fn config_map_of_attempt(&mut self) -> Option<Arc<Value>> {
        let attempt = &self.status.attempt_status;
        let found = self
            .view
            .config_maps
            .iter()
            .find(|found| name(found) == attempt.config_map_name)?;
        if !controlled_by(found, &self.view.object) {
            return None;
        }
        let current = match &attempt.config_map_uid {
            Some(known) => known == uid(found),
            None => annotation(found, FRAMEWORK_ATTEMPT_ID) == attempt.id.to_string(),
        };
        if !current && !deleting(found) {
            self.plan.actions.push(Action::delete(Kind::ConfigMap, found));
        }
        current.then(|| Arc::clone(found))
    }

    fn with_config_map(&mut self, found: &Value, stop: bool) {
        if deleting(found) {
            let end =
                Completion::new(CONFIG_MAP_EXTERNAL_DELETED, "ConfigMap is being deleted by others").of_framework();
            self.status.attempt_status.completion_status.get_or_insert(end);
            self.status.go(State::AttemptDeleting, &self.now);
        } else if self.status.state == State::AttemptDeletionPending {
            self.status.go(State::AttemptDeletionRequested, &self.now);
            let pods = self.view.pods.iter().filter(|pod| !deleting(pod));
            self.plan.actions.extend(pods.map(|pod| Action::delete(Kind::Pod, pod)));
            self.plan.actions.push(Action::delete(Kind::ConfigMap, found));
            return;
        } else if self.status.state == State::AttemptCreationRequested {
            self.status.go(State::AttemptPreparing, &self.now);
        }
        if stop && !self.status.state.is_completing() {
            self.complete_attempt(stopped(), false);
        }
        self.tasks(found);
        if self.status.state == State::AttemptPreparing
            && self.status.tasks().any(|task| task.state == State::AttemptRunning)
        {
            self.status.go(State::AttemptRunning, &self.now);
        }
    }

    /// The ConfigMap is gone. The attempt is over once its pods are, too.
    fn leave(&mut self, end: FrameworkCompletion) {
        let left: Vec<&Arc<Value>> = self.view.pods.iter().collect();
        if left.is_empty() {
            self.complete_attempt(end, true);
            return;
        }
        self.status.attempt_status.completion_status.get_or_insert(end);
        self.status.go(State::AttemptDeleting, &self.now);
        let alive = left.into_iter().filter(|pod| !deleting(pod));
        self.plan
            .actions
            .extend(alive.map(|pod| Action::delete(Kind::Pod, pod)));
    }

    /// Ends the attempt: its ConfigMap and pods are gone, or are still to be deleted.
    pub(super) fn complete_attempt(&mut self, end: FrameworkCompletion, gone: bool) {
        let now = self.now.clone();
        self.status.attempt_status.completion_status.get_or_insert(end);
        for task in self.status.tasks_mut() {
            task.attempt_status.completion_status.get_or_insert_with(|| {
                Completion::new(
                    FRAMEWORK_ATTEMPT_COMPLETION,
                    "Stop to complete current FrameworkAttempt",
                )
                .of_task()
            });
            if gone && task.state != State::Completed {
                task.go(State::AttemptCompleted, &now);
                task.retry_policy_status.retry_delay_sec = None;
                task.go(State::Completed, &now);
            }
        }
        self.status.go(
            if gone {
                State::AttemptCompleted
            } else {
                State::AttemptDeletionPending
            },
            &now,
        );
    }

    /// Decides about another attempt.
    fn retry(&mut self) {
        let Some(end) = self.status.attempt_status.completion_status.as_ref() else {
            return;
        };
        let policy = &self.view.object["spec"]["retryPolicy"];
        let stop = text(&self.view.object, "/spec/executionType") == "Stop";
        let decision = policy::retry(policy, &self.status.retry_policy_status, &end.summary, CONFLICT_DELAY);
        let Some(retry) = decision.filter(|_| !stop) else {
            self.status.retry_policy_status.retry_delay_sec = None;
            self.status.go(State::Completed, &self.now);
            return;
        };
        let delay = *self
            .status
            .retry_policy_status
            .retry_delay_sec
            .get_or_insert(retry.delay);
        let delay = Duration::from_secs(u64::try_from(delay).unwrap_or_default());
        if let Some(left) = remaining(self.view.now, &self.status.attempt_status.completion_time, delay) {
            self.plan.wake(left);
            return;
        }
        let counts = &mut self.status.retry_policy_status;
        counts.total_retried_count += 1;
        counts.accountable_retried_count += i64::from(retry.accountable);
        counts.retry_delay_sec = None;
        let id = counts.total_retried_count;
        self.status.attempt_status = new_attempt(&self.view.object, id, &self.now);
        self.status.go(State::AttemptCreationPending, &self.now);
    }
}

fn stopped() -> FrameworkCompletion {
    Completion::new(STOP_FRAMEWORK_REQUESTED, "User has requested to stop the Framework").of_framework()
}

fn new_status(framework: &Value, now: &Value) -> FrameworkStatus {
    FrameworkStatus {
        start_time: now.clone(),
        run_time: Value::Null,
        completion_time: Value::Null,
        state: State::AttemptCreationPending,
        transition_time: now.clone(),
        retry_policy_status: RetryPolicyStatus::default(),
        attempt_status: new_attempt(framework, 0, now),
    }
}

fn new_attempt(framework: &Value, id: i64, now: &Value) -> FrameworkAttempt {
    FrameworkAttempt {
        id,
        start_time: now.clone(),
        run_time: Value::Null,
        completion_time: Value::Null,
        instance_uid: None,
        config_map_name: format!("{}-attempt", name(framework)),
        config_map_uid: None,
        completion_status: None,
        task_role_statuses: list(framework, "/spec/taskRoles")
            .iter()
            .map(|role| new_role(framework, id, role, now))
            .collect(),
    }
}

fn new_role(framework: &Value, attempt: i64, spec: &Value, now: &Value) -> TaskRoleStatus {
    let role = text(spec, "/name");
    let task = |index| TaskStatus {
        index,
        instance_uid: Some(part_uid(framework, attempt, role, Some(index))),
        start_time: now.clone(),
        run_time: Value::Null,
        completion_time: Value::Null,
        state: State::AttemptCreationPending,
        transition_time: now.clone(),
        deletion_pending: false,
        retry_policy_status: RetryPolicyStatus::default(),
        attempt_status: new_task_attempt(0, format!("{}-{role}-{index}", name(framework)), now),
    };
    TaskRoleStatus {
        name: role.to_owned(),
        instance_uid: Some(part_uid(framework, attempt, role, None)),
        pod_graceful_deletion_timeout_sec: number(spec, "/task/podGracefulDeletionTimeoutSec"),
        task_statuses: (0..number(spec, "/taskNumber").unwrap_or(0)).map(task).collect(),
    }
}

pub(super) fn new_task_attempt(id: i64, pod_name: String, now: &Value) -> TaskAttempt {
    TaskAttempt {
        id,
        start_time: now.clone(),
        run_time: Value::Null,
        completion_time: Value::Null,
        instance_uid: None,
        pod_name,
        pod_uid: None,
        pod_node_name: None,
        pod_ip: None,
        pod_host_ip: None,
        completion_status: None,
    }
}

#[cfg(test)]
mod tests;
