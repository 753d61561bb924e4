//! What the counts of pods mean for a job: running, succeeded, failed, restarting. The operators agree on the idea and differ
//! in the details.
//!
//! Source: kubeflow/training-operator `release-1.9`, `UpdateJobStatus` in `pkg/controller.v1/tensorflow/tfjob_controller.go`
//! and `pkg/controller.v1/pytorch/pytorchjob_controller.go`; tf-operator 1.0 the like in `pkg/controller.v1/tensorflow/status.go`;
//! kubeflow/pytorch-operator, `pkg/controller.v1/pytorch/status.go`, `updateStatusSingle`.

use super::{
    conditions::{self, Condition},
    dialect::Dialect,
    spec::{Role, Training},
};
use crate::operators::{
    Generation,
    plan::Plan,
    value::{list, name, namespace, number, section, stamp, text},
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// A status on its way from counts to conditions.
#[derive(Debug)]
pub(super) struct Update<'a> {
    pub(super) dialect: Dialect,
    pub(super) generation: Generation,
    pub(super) job: &'a Value,
    pub(super) training: &'a Training,
    pub(super) now: Timestamp,
    pub(super) status: Value,
    pub(super) plan: Plan,
}

/// Pods of one role.
#[derive(Debug, Clone, Copy)]
struct Counts {
    /// Still to succeed.
    expected: i64,
    running: i64,
    succeeded: i64,
    failed: i64,
}

impl Update<'_> {
    /// Sets a condition that holds, with the reason that its kind has.
    pub(super) fn set(&mut self, kind: &str, message: &str) {
        let reason = format!("{}{kind}", self.dialect.kind_name());
        let condition = Condition {
            kind,
            holds: true,
            reason: &reason,
            message,
        };
        conditions::set(&mut self.status, self.generation, condition, self.now);
    }

    pub(super) fn start(&mut self) {
        if self.status["startTime"].is_null() {
            section(&mut self.status, &[]).insert("startTime".to_owned(), stamp(self.now));
        }
    }

    pub(super) fn complete(&mut self) {
        if self.status["completionTime"].is_null() {
            section(&mut self.status, &[]).insert("completionTime".to_owned(), stamp(self.now));
        }
    }

    fn counts(&self, role: &Role) -> Counts {
        let count = |key: &str| number(&self.status, &format!("/replicaStatuses/{}/{key}", role.name)).unwrap_or(0);
        let succeeded = count("succeeded");
        Counts {
            expected: role.replicas - succeeded,
            running: count("active"),
            succeeded,
            failed: count("failed"),
        }
    }

    fn running(&mut self, subject: &str) {
        self.set(
            "Running",
            &format!("{} {subject} is running.", self.dialect.kind_name()),
        );
    }

    fn succeeded(&mut self, message: &str) {
        let reason = format!("{}Succeeded", self.dialect.kind_name());
        self.plan.event(false, reason, message);
        self.complete();
        self.set("Succeeded", message);
    }

    fn failed(&mut self, message: &str) {
        let reason = format!("{}Failed", self.dialect.kind_name());
        self.plan.event(false, reason, message);
        self.complete();
        self.set("Failed", message);
    }

    /// TFJob: the chief decides; without one the workers do.
    pub(super) fn tf(&mut self, worker_0_done: bool) {
        self.start();
        let subject = format!("{}/{}", namespace(self.job), name(self.job));
        // The successor remembers a restart that `Running` is about to remove.
        let restarting = list(&self.status, "/conditions")
            .iter()
            .find(|entry| text(entry, "/type") == "Restarting")
            .cloned();
        let training = self.training;
        let chief = training.chief().map(|role| role.name.as_str());
        for role in &training.roles {
            let Counts {
                expected,
                running,
                failed,
                ..
            } = self.counts(role);
            let success = format!("TFJob {subject} successfully completed.");
            match chief {
                Some(chief) if chief == role.name => {
                    if running > 0 {
                        self.running(&subject);
                    }
                    if expected == 0 {
                        self.succeeded(&success);
                    }
                }
                None if role.name == "Worker" => {
                    if expected == 0 || (worker_0_done && !training.all_workers) {
                        self.succeeded(&success);
                    } else if running > 0 {
                        self.running(&subject);
                    }
                }
                _ => {}
            }
            if failed > 0 {
                self.tf_failed(role, failed, &subject, restarting.as_ref());
            }
        }
    }

    fn tf_failed(&mut self, role: &Role, failed: i64, subject: &str, restarting: Option<&Value>) {
        let restarts = match self.generation {
            Generation::TrainingOperator => restarting.is_some(),
            Generation::Old => list(&self.status, "/conditions")
                .iter()
                .any(|entry| text(entry, "/type") == "Restarting"),
        };
        if restarts {
            if let Some(known) = restarting.filter(|_| self.generation == Generation::TrainingOperator) {
                self.set("Restarting", text(known, "/message"));
            }
            return;
        }
        let dynamic = self.generation == Generation::TrainingOperator && self.training.dynamic_worker;
        if !(dynamic && role.name == "Worker") {
            let message = format!(
                "TFJob {subject} has failed because {failed} {} replica(s) failed.",
                role.name
            );
            self.failed(&message);
        }
    }

    /// PyTorchJob of the successor: the master decides; without one all workers do.
    pub(super) fn torch(&mut self) {
        self.start();
        let job = name(self.job).to_owned();
        let training = self.training;
        let has_master = training.role("Master").is_some();
        for role in &training.roles {
            let counts = self.counts(role);
            if role.name == "Master" {
                if counts.running > 0 {
                    self.running(&job);
                }
                if counts.expected == 0 {
                    self.succeeded(&format!("PyTorchJob {job} is successfully completed."));
                    return;
                }
            } else if !has_master {
                let subject = format!("{}/{job}", namespace(self.job));
                if counts.expected == 0 {
                    self.succeeded(&format!("PyTorchJob {subject} successfully completed."));
                } else if counts.running > 0 {
                    self.running(&subject);
                }
            }
            if counts.failed > 0 && role.replicas > counts.succeeded + counts.running {
                self.torch_failed(role, counts.failed, role.restart_policy != "Never");
            }
        }
    }

    /// PyTorchJob of the old operator, one role after the other.
    pub(super) fn old_torch(&mut self, role: &Role, restarts: bool) {
        self.start();
        let counts = self.counts(role);
        let job = name(self.job).to_owned();
        if role.name == "Master" {
            if counts.running > 0 {
                self.running(&job);
            }
            if counts.expected == 0 {
                self.succeeded(&format!("PyTorchJob {job} is successfully completed."));
            }
        }
        if counts.failed > 0 {
            self.torch_failed(role, counts.failed, restarts);
        }
    }

    fn torch_failed(&mut self, role: &Role, failed: i64, restarts: bool) {
        let job = name(self.job);
        let what = if restarts { "restarting" } else { "failed" };
        let message = format!(
            "PyTorchJob {job} is {what} because {failed} {} replica(s) failed.",
            role.name
        );
        if restarts {
            self.plan.event(true, "PyTorchJobRestarting", &message);
            self.set("Restarting", &message);
        } else {
            self.failed(&message);
        }
    }
}
