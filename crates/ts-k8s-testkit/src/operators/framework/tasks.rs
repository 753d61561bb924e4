//! The tasks of an attempt: from the request for a pod to its removal, and again if the policy wants it.
//!
//! Source: microsoft/frameworkcontroller, `pkg/controller/controller.go`, `syncTaskState`. As there, what is decided in one
//! look is written down before it is acted upon in the next.

use super::{
    completion::{self, POD_CREATION_PERMANENT_ERROR, POD_CREATION_UNKNOWN_ERROR, POD_EXTERNAL_DELETED},
    engine::{Sync, new_task_attempt},
    make::{FRAMEWORK_ATTEMPT_ID, TASK_ATTEMPT_ID, pod},
    policy,
    types::{Completion, State, TaskCompletion, TaskStatus},
};
use crate::operators::{
    plan::{Action, Kind, Refusal},
    pods,
    value::{annotation, controlled_by, deleting, list, remaining, text, uid},
};
use serde_json::Value;
use std::{mem, time::Duration};

impl Sync<'_> {
    /// Looks at all tasks.
    pub(super) fn tasks(&mut self, config_map: &Value) {
        for role in 0..self.status.attempt_status.task_role_statuses.len() {
            for task in 0..self.status.attempt_status.task_role_statuses[role].task_statuses.len() {
                self.task(config_map, role, task);
            }
        }
    }

    fn status_of(&mut self, role: usize, task: usize) -> &mut TaskStatus {
        &mut self.status.attempt_status.task_role_statuses[role].task_statuses[task]
    }

    fn task(&mut self, config_map: &Value, role: usize, task: usize) {
        let state = self.status_of(role, task).state;
        if state == State::Completed {
            return;
        }
        if state != State::AttemptCompleted {
            let found = self.pod_of(config_map, role, task);
            match found {
                Some(pod) => return self.with_pod(&pod, role, task),
                None if state != State::AttemptCreationPending => {
                    let end = Completion::new(POD_EXTERNAL_DELETED, "Pod was deleted by others").of_task();
                    self.end_attempt(role, task, Some(end), true);
                    return;
                }
                None => {}
            }
        }
        if self.status_of(role, task).state == State::AttemptCompleted && !self.retry_task(role, task) {
            return;
        }
        if self.status_of(role, task).state == State::AttemptCreationPending {
            self.create_pod(config_map, role, task);
            return;
        }
        if !self.status.state.is_completing()
            && let Some(end) = policy::completion(&self.view.object["spec"], &self.status, role, task)
        {
            self.complete_attempt(end, false);
        }
    }

    /// The pod of a task's current attempt. One that is left of an earlier attempt is removed.
    fn pod_of(&mut self, config_map: &Value, role: usize, task: usize) -> Option<Value> {
        let attempt = &self.status_of(role, task).attempt_status;
        let (wanted, pod_uid, id) = (
            attempt.pod_name.clone(),
            attempt.pod_uid.clone(),
            attempt.id.to_string(),
        );
        let found = pods::named(&self.view.pods, &wanted)?.clone();
        if !controlled_by(&found, config_map) {
            return None;
        }
        let current = match pod_uid {
            Some(pod_uid) => pod_uid == uid(&found),
            None => {
                annotation(&found, TASK_ATTEMPT_ID) == id
                    && annotation(&found, FRAMEWORK_ATTEMPT_ID) == self.status.attempt_status.id.to_string()
            }
        };
        if !current && !deleting(&found) {
            self.plan.actions.push(Action::delete(Kind::Pod, &found));
        }
        current.then_some(found)
    }

    fn with_pod(&mut self, pod: &Value, role: usize, task: usize) {
        let now = self.now.clone();
        let status = self.status_of(role, task);
        if status.state == State::AttemptCreationPending {
            let instance = format!("{}_{}", status.attempt_status.id, uid(pod));
            status.attempt_status.pod_uid = Some(uid(pod).to_owned());
            status.attempt_status.instance_uid = Some(instance);
            status.go(State::AttemptCreationRequested, &now);
            return;
        }
        if deleting(pod) {
            let end = Completion::new(POD_EXTERNAL_DELETED, "Pod is being deleted by others").of_task();
            status.attempt_status.completion_status.get_or_insert(end);
            status.go(State::AttemptDeleting, &now);
            return;
        }
        if status.state == State::AttemptDeletionPending {
            status.go(State::AttemptDeletionRequested, &now);
            self.plan.actions.push(Action::delete(Kind::Pod, pod));
            return;
        }
        if status.state == State::AttemptDeletionRequested {
            return;
        }
        if status.state == State::AttemptCreationRequested {
            status.go(State::AttemptPreparing, &now);
        }
        let field = |pointer: &str| Some(text(pod, pointer).to_owned());
        status.attempt_status.pod_node_name = field("/spec/nodeName");
        status.attempt_status.pod_ip = field("/status/podIP");
        status.attempt_status.pod_host_ip = field("/status/hostIP");
        match pods::phase(pod) {
            "Running" => status.go(State::AttemptRunning, &now),
            "Succeeded" | "Failed" => self.end_attempt(role, task, Some(completion::of_pod(pod)), false),
            // Also `Unknown`, of a node that is not heard of.
            _ => {}
        }
    }

    /// Ends the attempt of a task: its pod is gone, or is still to be deleted.
    fn end_attempt(&mut self, role: usize, task: usize, end: Option<TaskCompletion>, gone: bool) {
        let now = self.now.clone();
        let status = self.status_of(role, task);
        if let Some(end) = end {
            status.attempt_status.completion_status.get_or_insert(end);
        }
        status.go(
            if gone {
                State::AttemptCompleted
            } else {
                State::AttemptDeletionPending
            },
            &now,
        );
    }

    /// Decides about another attempt of a task. Returns whether there is more to do in this look.
    fn retry_task(&mut self, role: usize, task: usize) -> bool {
        let (now, at) = (self.now.clone(), self.view.now);
        let name = self.status.attempt_status.task_role_statuses[role].name.clone();
        let specs = list(&self.view.object, "/spec/taskRoles").iter();
        let policy = specs.clone().find(|spec| text(spec, "/name") == name);
        let policy = policy
            .and_then(|spec| spec.pointer("/task/retryPolicy"))
            .cloned()
            .unwrap_or_default();
        let status = self.status_of(role, task);
        let Some(end) = status
            .attempt_status
            .completion_status
            .as_ref()
            .map(|end| end.summary.clone())
        else {
            return false;
        };
        let decision = policy::retry(&policy, &status.retry_policy_status, &end, (0, 0));
        let Some(retry) = decision else {
            status.go(State::Completed, &now);
            return true;
        };
        let delay = *status.retry_policy_status.retry_delay_sec.get_or_insert(retry.delay);
        let delay = Duration::from_secs(u64::try_from(delay).unwrap_or_default());
        if let Some(left) = remaining(at, &status.attempt_status.completion_time, delay) {
            self.plan.wake(left);
            return false;
        }
        let counts = &mut status.retry_policy_status;
        counts.total_retried_count += 1;
        counts.accountable_retried_count += i64::from(retry.accountable);
        counts.retry_delay_sec = None;
        let pod_name = mem::take(&mut status.attempt_status.pod_name);
        status.attempt_status = new_task_attempt(counts.total_retried_count, pod_name, &now);
        status.go(State::AttemptCreationPending, &now);
        true
    }

    fn create_pod(&mut self, config_map: &Value, role: usize, task: usize) {
        if self.status.state.is_completing() {
            return;
        }
        let role_status = &self.status.attempt_status.task_role_statuses[role];
        let task_status = &role_status.task_statuses[task];
        let wanted = &task_status.attempt_status.pod_name;
        let refusal = self
            .view
            .refused
            .iter()
            .find(|refusal| refusal.kind == Kind::Pod && refusal.name == *wanted);
        if let Some(end) = refusal.and_then(of_refusal) {
            self.end_attempt(role, task, Some(end), true);
            return;
        }
        let mut specs = list(&self.view.object, "/spec/taskRoles").iter();
        let spec = specs.find(|spec| text(spec, "/name") == role_status.name);
        let Some(template) = spec.and_then(|spec| spec.pointer("/task/pod")) else {
            return;
        };
        let pod = pod(
            &self.view.object,
            config_map,
            &self.status,
            role_status,
            task_status,
            template,
        );
        self.plan.actions.push(Action::Create(Kind::Pod, pod));
    }
}

/// The end of an attempt whose pod the server would not create, unless it may do so later.
///
/// Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/completion.go`, `ClassifyPodCreationError`.
fn of_refusal(refusal: &Refusal) -> Option<TaskCompletion> {
    let quota = refusal.message.contains("exceeded quota");
    let code = match refusal.code {
        403 if quota => return None,
        403 | 413 | 422 => POD_CREATION_PERMANENT_ERROR,
        400 => POD_CREATION_UNKNOWN_ERROR,
        _ => return None,
    };
    Some(Completion::new(code, format!("Failed to create Pod: {}", refusal.message)).of_task())
}
