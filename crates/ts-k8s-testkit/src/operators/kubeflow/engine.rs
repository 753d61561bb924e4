//! Bringing a training job along: its pods and services, its end, and what is cleaned up after it.
//!
//! Source: kubeflow/training-operator `release-1.9`, `pkg/controller.v1/common/job.go`, `ReconcileJobs`, `pod.go`,
//! `ReconcilePods`; kubeflow/pytorch-operator, `pkg/controller.v1/pytorch/controller.go`, `job.go`, `pod.go`.

use super::{
    children::Making,
    conditions::{self, Condition, holds, is_finished},
    dialect::{Dialect, restart_policy_reason},
    limits,
    spec::{Role, Training},
    status::Update,
};
use crate::operators::{
    Generation,
    plan::{Action, Engine, Kind, Plan, View},
    pods,
    value::{deleting, label, list, name, namespace, remaining, section, stamp, text},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// What an exit code is taken for as long as nobody has told one.
///
/// Source: kubeflow/training-operator `release-1.9`, `pkg/controller.v1/common/pod.go`: `0xbeef`.
const UNKNOWN_EXIT_CODE: i64 = 0xbeef;

/// The operator of one kind.
#[derive(Debug)]
pub(in crate::operators) struct Trainings {
    dialect: Dialect,
    generation: Generation,
    init_image: Option<String>,
}

impl Trainings {
    pub(in crate::operators) fn new(dialect: Dialect, generation: Generation, init_image: Option<String>) -> Self {
        Self {
            dialect,
            generation,
            init_image,
        }
    }
}

impl Engine for Trainings {
    fn kind(&self) -> Kind {
        self.dialect.kind()
    }

    fn component(&self) -> &'static str {
        self.dialect.component(self.generation)
    }

    fn plan(&self, view: &View) -> Plan {
        let manager = text(&view.object, "/spec/runPolicy/managedBy");
        if view.deleting() || !(manager.is_empty() || manager == "kubeflow.org/training-operator") {
            return Plan::default();
        }
        let training = match Training::read(self.dialect, self.generation, &view.object) {
            Ok(training) => training,
            Err(why) => return self.refuse(view, &why),
        };
        let mut update = Update {
            dialect: self.dialect,
            generation: self.generation,
            job: &view.object,
            training: &training,
            now: view.now,
            status: view.status().clone(),
            plan: Plan::default(),
        };
        for refusal in &view.refused {
            let reason = if refusal.kind == Kind::Service {
                "FailedCreateService"
            } else {
                "FailedCreatePod"
            };
            update
                .plan
                .event(true, reason, format!("Error creating: {}", refusal.message));
        }
        if list(&update.status, "/conditions").is_empty() {
            let message = format!("{} {} is created.", self.dialect.kind_name(), name(&view.object));
            update.set("Created", &message);
        }
        self.bring_along(view, &mut update);
        let Update { status, mut plan, .. } = update;
        plan.status = Some(status);
        plan
    }
}

impl Trainings {
    /// A job that cannot be read. The old operators fail it; the successor, whose webhook would have kept it out, only tells.
    fn refuse(&self, view: &View, why: &str) -> Plan {
        let kind = self.dialect.kind_name();
        let mut plan = Plan::default();
        match self.generation {
            Generation::TrainingOperator => {
                plan.event(
                    true,
                    format!("{kind}FailedValidation"),
                    format!("{kind} failed validation because {why}"),
                );
            }
            Generation::Old if is_finished(view.status()) => {}
            Generation::Old => {
                let reason = format!("Invalid{kind}Spec");
                let message = format!("Failed to marshal the object to {kind}; the spec is invalid: {why}");
                let mut status = json!({});
                let condition = Condition {
                    kind: "Failed",
                    holds: true,
                    reason: &reason,
                    message: &message,
                };
                conditions::set(&mut status, self.generation, condition, view.now);
                plan.event(true, reason, message);
                plan.status = Some(status);
            }
        }
        plan
    }

    fn bring_along(&self, view: &View, update: &mut Update<'_>) {
        let training = update.training;
        if is_finished(&update.status) {
            self.clean_up(view, update);
            return;
        }
        if training.suspend {
            self.suspend(view, update);
            return;
        }
        if holds(&update.status, "Suspended") {
            self.resume(view, update);
        }
        let over = limits::exceeded(
            self.dialect,
            self.generation,
            &view.object,
            training,
            &update.status,
            &view.pods,
            view.now,
        );
        if let Some(message) = over {
            // The successor deletes all pods here, whatever the policy says: the job has not failed yet.
            self.delete_children(view, update);
            update
                .plan
                .event(false, format!("{}Failed", self.dialect.kind_name()), &message);
            update.complete();
            update.set("Failed", &message);
            return;
        }
        let making = Making {
            dialect: self.dialect,
            generation: self.generation,
            job: &view.object,
            training,
            init_image: self.init_image.as_deref(),
        };
        for role in &training.roles {
            self.replicas(view, &making, role, update);
        }
        match (self.dialect, self.generation) {
            (Dialect::Tf, _) => update.tf(self.worker_0_done(view, training)),
            (Dialect::PyTorch, Generation::TrainingOperator) => update.torch(),
            // Has been done role by role.
            (Dialect::PyTorch, Generation::Old) => {}
        }
        if let Some(left) = training
            .deadline
            .and_then(|deadline| remaining(view.now, &update.status["startTime"], deadline))
        {
            update.plan.wake(left);
        }
    }

    fn clean_up(&self, view: &View, update: &mut Update<'_>) {
        self.delete_children(view, update);
        if holds(&update.status, "Succeeded") {
            // Pods that were still at work are taken for done, since they may be gone.
            for (_, role) in section(&mut update.status, &["replicaStatuses"]) {
                let active = role.get("active").and_then(Value::as_i64).unwrap_or(0);
                if active > 0 {
                    let done = role.get("succeeded").and_then(Value::as_i64).unwrap_or(0);
                    let role = section(role, &[]);
                    role.remove("active");
                    role.insert("succeeded".to_owned(), json!(done + active));
                }
            }
        }
        let Some(ttl) = update.training.ttl else { return };
        match remaining(view.now, &update.status["completionTime"], ttl) {
            Some(left) => update.plan.wake(left),
            None if !update.status["completionTime"].is_null() => update.plan.actions.push(Action::DeleteSelf),
            None => {}
        }
    }

    fn suspend(&self, view: &View, update: &mut Update<'_>) {
        self.delete_children(view, update);
        for (_, role) in section(&mut update.status, &["replicaStatuses"]) {
            section(role, &[]).remove("active");
        }
        if holds(&update.status, "Suspended") {
            return;
        }
        let kind = self.dialect.kind_name();
        let message = format!("{kind} {} is suspended.", name(&view.object));
        if holds(&update.status, "Running") {
            let reason = format!("{kind}Suspended");
            let condition = Condition {
                kind: "Running",
                holds: false,
                reason: &reason,
                message: &message,
            };
            conditions::set(&mut update.status, self.generation, condition, view.now);
        }
        update.set("Suspended", &message);
        update.plan.event(false, format!("{kind}Suspended"), message);
    }

    fn resume(&self, view: &View, update: &mut Update<'_>) {
        let kind = self.dialect.kind_name();
        let message = format!("{kind} {} is resumed.", name(&view.object));
        let reason = format!("{kind}Resumed");
        let condition = Condition {
            kind: "Suspended",
            holds: false,
            reason: &reason,
            message: &message,
        };
        conditions::set(&mut update.status, self.generation, condition, view.now);
        section(&mut update.status, &[]).insert("startTime".to_owned(), stamp(view.now));
        update.plan.event(false, reason, message);
    }

    /// Deletes the pods that the policy gives up, and their services.
    fn delete_children(&self, view: &View, update: &mut Update<'_>) {
        let finished = is_finished(&update.status);
        let policy = update.training.clean_pod_policy.as_str();
        for pod in view.pods.iter().filter(|pod| !deleting(pod)) {
            let phase = pods::phase(pod);
            let goes = match (self.dialect, self.generation, policy) {
                (_, Generation::TrainingOperator, _) if !finished => true,
                (_, _, "None") | (Dialect::PyTorch, Generation::Old, "Running") => false,
                // A pending pod would run later, which the successor has learnt.
                (_, Generation::TrainingOperator, "Running") => matches!(phase, "Running" | "Pending"),
                (_, Generation::Old, "Running") => phase == "Running",
                _ => true,
            };
            if goes {
                update.plan.actions.push(Action::delete(Kind::Pod, pod));
                if let Some(service) = pods::named(&view.services, name(pod)).filter(|service| !deleting(service)) {
                    update.plan.actions.push(Action::delete(Kind::Service, service));
                }
            }
        }
    }

    fn pods_of<'a>(&self, view: &'a View, role: &Role) -> Vec<&'a Value> {
        let (type_label, _) = self.dialect.replica_labels(self.generation);
        let lower = role.lower();
        view.pods
            .iter()
            .map(Arc::as_ref)
            .filter(|pod| label(pod, type_label) == lower)
            .collect()
    }

    fn index_of(&self, pod: &Value) -> Option<i64> {
        let (_, index_label) = self.dialect.replica_labels(self.generation);
        label(pod, index_label).parse().ok()
    }

    fn worker_0_done(&self, view: &View, training: &Training) -> bool {
        let Some(role) = training.role("Worker") else {
            return true;
        };
        self.pods_of(view, role).into_iter().any(|pod| {
            self.index_of(pod) == Some(0)
                && pods::phase(pod) == "Succeeded"
                && pods::exit_code(pod, self.dialect.container()) == Some(0)
        })
    }

    /// Makes the pods of a role that are missing, and counts the others.
    fn replicas(&self, view: &View, making: &Making<'_>, role: &Role, update: &mut Update<'_>) {
        let old_torch = self.dialect == Dialect::PyTorch && self.generation == Generation::Old;
        if old_torch && role.name == "Worker" && !self.master_runs(view, update.training) {
            return;
        }
        section(&mut update.status, &["replicaStatuses"]).insert(role.name.clone(), self.fresh_counts(view, role));
        let found = self.pods_of(view, role);
        let mut restarts = false;
        for index in 0..role.replicas {
            if let Some(pod) = found.iter().find(|pod| self.index_of(pod) == Some(index)) {
                restarts |= self.look_at(pod, role, update);
            } else {
                if !text(&role.template, "/spec/restartPolicy").is_empty() {
                    let message =
                        "Restart policy in pod template will be overwritten by restart policy in replica spec";
                    update.plan.event(true, restart_policy_reason(self.generation), message);
                }
                update
                    .plan
                    .actions
                    .push(Action::Create(Kind::Pod, making.pod(role, index)));
            }
            let needs_service = !old_torch || role.name == "Master";
            if needs_service && pods::named(&view.services, &making.name(role, index)).is_none() {
                update
                    .plan
                    .actions
                    .push(Action::Create(Kind::Service, making.service(role, index)));
            }
        }
        for pod in found
            .into_iter()
            .filter(|pod| self.index_of(pod).is_none_or(|index| index >= role.replicas))
        {
            if !deleting(pod) {
                update.plan.actions.push(Action::delete(Kind::Pod, pod));
            }
        }
        if old_torch {
            update.old_torch(role, restarts);
        }
    }

    fn fresh_counts(&self, view: &View, role: &Role) -> Value {
        if self.dialect == Dialect::Tf || self.generation == Generation::Old {
            return json!({});
        }
        let mut labels = self.dialect.job_labels(self.generation, name(&view.object));
        labels.insert(self.dialect.replica_labels(self.generation).0.to_owned(), role.lower());
        let terms: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        json!({ "selector": terms.join(",") })
    }

    fn master_runs(&self, view: &View, training: &Training) -> bool {
        let master = training
            .role("Master")
            .map(|role| self.pods_of(view, role))
            .unwrap_or_default();
        master.iter().any(|pod| pods::phase(pod) == "Running")
    }

    /// Counts a pod, and starts it anew if its policy says so. Returns whether it does.
    fn look_at(&self, pod: &Value, role: &Role, update: &mut Update<'_>) -> bool {
        let old_torch = self.dialect == Dialect::PyTorch && self.generation == Generation::Old;
        let told = pods::exit_code(pod, self.dialect.container());
        if let Some(code) = told.filter(|_| !old_torch || role.restart_policy == "ExitCode") {
            let message = format!("Pod: {}.{} exited with code {code}", namespace(pod), name(pod));
            update.plan.event(false, "ExitedWithCode", message);
        }
        let code = told.unwrap_or(if old_torch { 0 } else { UNKNOWN_EXIT_CODE });
        let failed = pods::phase(pod) == "Failed";
        let restarts = failed
            && match role.restart_policy.as_str() {
                "ExitCode" => code >= 128,
                "OnFailure" | "Always" => self.generation == Generation::TrainingOperator,
                _ => false,
            };
        if restarts && !deleting(pod) {
            update.plan.actions.push(Action::delete(Kind::Pod, pod));
        }
        let job = name(update.job).to_owned();
        let kind = self.dialect.kind_name();
        if restarts && !old_torch {
            let subject = if self.generation == Generation::Old {
                kind
            } else {
                "job"
            };
            let message = format!("{subject} {job} is restarting because {} replica(s) failed.", role.name);
            update.plan.event(true, format!("{kind}Restarting"), &message);
            update.set("Restarting", &message);
        } else if failed && role.restart_policy == "ExitCode" && self.generation == Generation::TrainingOperator {
            let message = format!("job {job:?} is failing because {:?} replica(s) failed.", role.name);
            update.plan.event(true, format!("{kind}Failed"), &message);
            update.set("Failed", &message);
        }
        self.count(pod, role, update);
        restarts
    }

    fn count(&self, pod: &Value, role: &Role, update: &mut Update<'_>) {
        let key = match pods::phase(pod) {
            "Succeeded" => "succeeded",
            "Failed" => "failed",
            // A pod on a lost node is never seen to fail.
            "Running" if deleting(pod) && self.generation == Generation::TrainingOperator => "failed",
            "Running" => "active",
            _ => return,
        };
        let counts = section(&mut update.status, &["replicaStatuses", &role.name]);
        let count = counts.get(key).and_then(Value::as_i64).unwrap_or(0);
        counts.insert(key.to_owned(), json!(count + 1));
    }
}

#[cfg(test)]
mod tests;
