//! Bringing a TrainJob along. There is no condition for running: only the counts of `jobsStatus` tell.
//!
//! Source: kubeflow/trainer v2.2, `pkg/controller/trainjob_controller.go`, `pkg/runtime/framework/plugins/jobset/jobset.go`,
//! `Status`; kubernetes-sigs/jobset v0.8, `pkg/controllers/jobset_controller.go`, `calculateReplicatedJobStatuses`.

use super::runtime::{Child, children};
use crate::operators::{
    Minor,
    job::{Counts, Making, Verdict, count, failure, is_complete, missing, surplus},
    plan::{Action, Engine, Kind, Plan, View},
    pods,
    value::{deleting, elapsed, flag, label, list, list_mut, name, number, remaining, section, stamp, text, uid},
};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// The release of Kubernetes whose Jobs stand between a TrainJob and its pods; Trainer needs a recent one.
const SERVER_MINOR: u32 = 31;
/// When to look for a runtime again.
const RUNTIME_RETRY: Duration = Duration::from_secs(1);

/// Kubeflow Trainer.
#[derive(Debug)]
pub(in crate::operators) struct TrainJobs {
    pub(in crate::operators) minor: Minor,
}

/// A Job of a TrainJob, with its pods counted.
#[derive(Debug)]
struct Looked<'a> {
    child: &'a Child,
    counts: Counts<'a>,
    failed: Option<Verdict>,
    complete: bool,
}

impl Looked<'_> {
    /// All its pods are ready or done.
    fn is_ready(&self) -> bool {
        let wanted = number(&self.child.spec, "/completions").unwrap_or(1);
        self.counts.succeeded + self.counts.ready >= wanted
    }
}

impl Engine for TrainJobs {
    fn kind(&self) -> Kind {
        Kind::TrainJob
    }

    fn component(&self) -> &'static str {
        "trainjob-controller"
    }

    fn plan(&self, view: &View) -> Plan {
        let mut plan = Plan::default();
        let manager = text(&view.object, "/spec/managedBy");
        if view.deleting() || !(manager.is_empty() || manager == "trainer.kubeflow.org/trainjob-controller") {
            return plan;
        }
        let mut status = view.status().clone();
        if holds(&status, "Complete") || holds(&status, "Failed") {
            // What runs is stopped. After the deadline the JobSet is deleted, and all pods with it.
            let all = list(&status, "/conditions")
                .iter()
                .any(|entry| text(entry, "/reason") == "DeadlineExceeded");
            delete_pods(view, all, &mut plan);
            return plan;
        }
        suspend_or_resume(view, &mut status, &mut plan);
        let made = view
            .runtime
            .as_ref()
            .map(|runtime| children(self.minor, &view.object, runtime));
        match made {
            None => {
                let kind = "TrainingRuntime specified in TrainJob is not found";
                fail_to_create(&mut plan, kind);
                plan.wake(RUNTIME_RETRY);
            }
            Some(Err(why)) => fail_to_create(&mut plan, &why),
            Some(Ok(children)) => self.bring_along(view, &children, &mut status, &mut plan),
        }
        plan.status = Some(status);
        plan
    }
}

fn fail_to_create(plan: &mut Plan, why: &str) {
    let message = format!("TrainJob resources reconciliation failed: {why}");
    plan.event(true, "TrainJobResourcesCreationFailed", message);
}

fn delete_pods(view: &View, all: bool, plan: &mut Plan) {
    let going = view
        .pods
        .iter()
        .filter(|pod| !deleting(pod) && (all || !pods::is_terminal(pod)));
    plan.actions.extend(going.map(|pod| Action::delete(Kind::Pod, pod)));
}

fn suspend_or_resume(view: &View, status: &mut Value, plan: &mut Plan) {
    let (was, is) = (holds(status, "Suspended"), flag(&view.object, "/spec/suspend"));
    match (was, is) {
        (false, true) => set_condition(
            status,
            "Suspended",
            "True",
            "Suspended",
            "TrainJob is suspended",
            view.now,
        ),
        (true, false) => set_condition(status, "Suspended", "False", "Resumed", "TrainJob is resumed", view.now),
        _ => {}
    }
    if is {
        delete_pods(view, false, plan);
    }
}

impl TrainJobs {
    fn bring_along(&self, view: &View, children: &[Child], status: &mut Value, plan: &mut Plan) {
        for refusal in &view.refused {
            plan.event(true, "FailedCreate", format!("Error creating: {}", refusal.message));
        }
        let created = &view.object["metadata"]["creationTimestamp"];
        let by_role: Vec<Vec<Arc<Value>>> = children.iter().map(|child| pods_of(view, &child.role)).collect();
        let looked: Vec<Looked<'_>> = children
            .iter()
            .zip(&by_role)
            .map(|(child, pods)| {
                let counts = count(&child.spec, pods, SERVER_MINOR);
                let failed = failure(&child.spec, &counts, created, view.now);
                let complete = failed.is_none() && is_complete(&child.spec, &counts);
                Looked {
                    child,
                    counts,
                    failed,
                    complete,
                }
            })
            .collect();
        let suspended = flag(&view.object, "/spec/suspend");
        section(status, &[]).insert("jobsStatus".to_owned(), jobs_status(&looked, suspended));
        if suspended {
            return;
        }
        if let Some(first) = looked.iter().find(|looked| looked.failed.is_some()) {
            let job = &first.child.job;
            let message = format!("jobset failed due to one or more job failures (first failed job: {job})");
            set_condition(status, "Failed", "True", "FailedJobs", &message, view.now);
        } else if looked.iter().all(|looked| looked.complete) {
            set_condition(
                status,
                "Complete",
                "True",
                "AllJobsCompleted",
                "jobset completed successfully",
                view.now,
            );
        } else if !self.over_deadline(view, status, plan) {
            make(view, &looked, plan);
        }
    }

    /// Since 2.2.
    fn over_deadline(&self, view: &View, status: &mut Value, plan: &mut Plan) -> bool {
        let seconds =
            number(&view.object, "/spec/activeDeadlineSeconds").and_then(|seconds| u64::try_from(seconds).ok());
        let Some(seconds) = seconds.filter(|seconds| *seconds > 0 && self.minor >= Minor::V2_2) else {
            return false;
        };
        let allowed = Duration::from_secs(seconds);
        let resumed = list(status, "/conditions")
            .iter()
            .find(|entry| text(entry, "/type") == "Suspended");
        let since = resumed
            .map_or(
                &view.object["metadata"]["creationTimestamp"],
                |entry| &entry["lastTransitionTime"],
            )
            .clone();
        if let Some(left) = remaining(view.now, &since, allowed) {
            plan.wake(left);
            return false;
        }
        if elapsed(view.now, &since).is_none() {
            return false;
        }
        let message = "TrainJob exceeded its active deadline";
        set_condition(status, "Failed", "True", "DeadlineExceeded", message, view.now);
        true
    }
}

/// Makes the pods that are missing, and the service by which they find each other.
fn make(view: &View, looked: &[Looked<'_>], plan: &mut Plan) {
    if pods::named(&view.services, name(&view.object)).is_none() {
        let selector = json!({ "jobset.sigs.k8s.io/jobset-name": name(&view.object) });
        let mut service = pods::headless_service(&view.object, name(&view.object), &selector, &selector);
        service["spec"]["publishNotReadyAddresses"] = json!(true);
        plan.actions.push(Action::Create(Kind::Service, service));
    }
    for Looked {
        child,
        counts,
        complete,
        ..
    } in looked
    {
        let waits = child.depends_on.iter().any(|(role, state)| {
            let other = looked.iter().find(|other| other.child.role == *role);
            !other.is_some_and(|other| {
                if state == "Ready" {
                    other.is_ready()
                } else {
                    other.complete
                }
            })
        });
        if waits || *complete {
            continue;
        }
        plan.actions.extend(
            surplus(&child.spec, counts)
                .into_iter()
                .map(|pod| Action::delete(Kind::Pod, pod)),
        );
        match missing(&child.spec, counts, SERVER_MINOR, view.now) {
            Ok(indexes) => {
                let making = Making {
                    job: &child.job,
                    uid: uid(&view.object),
                    owner: &view.object,
                    template: &child.spec["template"],
                    server_minor: SERVER_MINOR,
                };
                plan.actions.extend(
                    indexes
                        .into_iter()
                        .map(|index| Action::Create(Kind::Pod, making.pod(index))),
                );
            }
            Err(pause) => plan.wake(pause),
        }
    }
}

fn pods_of(view: &View, role: &str) -> Vec<Arc<Value>> {
    let of = |pod: &&Arc<Value>| label(pod, "jobset.sigs.k8s.io/replicatedjob-name") == role;
    view.pods.iter().filter(of).cloned().collect()
}

/// Counts of Jobs, not of pods.
fn jobs_status(looked: &[Looked<'_>], suspended: bool) -> Value {
    let entries = looked.iter().map(|looked| {
        let at_work = looked.failed.is_none() && !looked.complete && !suspended;
        json!({
            "name": looked.child.role,
            "ready": u8::from(at_work && looked.is_ready()),
            "succeeded": u8::from(looked.complete),
            "failed": u8::from(looked.failed.is_some()),
            "active": u8::from(at_work && !looked.counts.active.is_empty()),
            "suspended": u8::from(suspended && looked.failed.is_none() && !looked.complete),
        })
    });
    entries.collect()
}

fn holds(status: &Value, kind: &str) -> bool {
    list(status, "/conditions")
        .iter()
        .any(|entry| text(entry, "/type") == kind && text(entry, "/status") == "True")
}

/// Sets a condition; its time changes only when its status does.
///
/// Source: kubernetes v1.31, `staging/src/k8s.io/apimachinery/pkg/api/meta/conditions.go`, `SetStatusCondition`.
fn set_condition(status: &mut Value, kind: &str, state: &str, reason: &str, message: &str, now: Timestamp) {
    let conditions = list_mut(status, "conditions");
    let mut condition = json!({
        "type": kind, "status": state, "reason": reason, "message": message, "lastTransitionTime": stamp(now),
    });
    match conditions.iter_mut().find(|known| text(known, "/type") == kind) {
        Some(known) => {
            if text(known, "/status") == state {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests;
