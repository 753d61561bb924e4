//! Bringing a Job along: status, conditions, and the requests for its pods.
//!
//! Source: kubernetes v1.20, `pkg/controller/job/job_controller.go`, `syncJob`; conditions in between since v1.31, same file,
//! `JobPodReplacementPolicy` and `JobSuccessPolicy`.

use super::{
    count::{Counts, count, is_indexed, suspended},
    make::{Making, missing, surplus},
    verdict::{Verdict, failure, is_complete},
};
use crate::operators::value::remaining;
use crate::operators::{
    plan::{Action, Engine, Kind, Plan, View},
    value::{list, name, number, section, stamp, text, uid},
};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// The controller of Jobs as of one release of Kubernetes.
#[derive(Debug)]
pub(in crate::operators) struct Jobs {
    pub(in crate::operators) server_minor: u32,
}

impl Engine for Jobs {
    fn kind(&self) -> Kind {
        Kind::Job
    }

    fn component(&self) -> &'static str {
        "job-controller"
    }

    fn plan(&self, view: &View) -> Plan {
        let mut plan = Plan::default();
        let spec = &view.object["spec"];
        let manager = text(spec, "/managedBy");
        if view.deleting() || !(manager.is_empty() || manager == "kubernetes.io/job-controller") {
            return plan;
        }
        if let Some(ended) = ["Complete", "Failed"]
            .into_iter()
            .find_map(|kind| holding(view.status(), kind))
        {
            self.expire(view, ended, &mut plan);
            return plan;
        }
        for refusal in &view.refused {
            plan.event(true, "FailedCreate", format!("Error creating: {}", refusal.message));
        }
        let mut status = view.status().clone();
        self.suspend_or_resume(view, &mut status, &mut plan);
        let counts = count(spec, &view.pods, self.server_minor);
        match self.verdict(view, &status, &counts) {
            Some(verdict) => self.end(view, &verdict, &counts, &mut status, &mut plan),
            None => self.manage(view, &counts, &mut status, &mut plan),
        }
        plan.status = Some(status);
        plan
    }
}

impl Jobs {
    /// Deletes a Job whose time after its end is over. Since 1.21.
    fn expire(&self, view: &View, ended: &Value, plan: &mut Plan) {
        let ttl = number(&view.object, "/spec/ttlSecondsAfterFinished").and_then(|ttl| u64::try_from(ttl).ok());
        let Some(ttl) = ttl.filter(|_| self.server_minor >= 21) else {
            return;
        };
        match remaining(view.now, &ended["lastTransitionTime"], Duration::from_secs(ttl)) {
            Some(left) => plan.wake(left),
            None => plan.actions.push(Action::DeleteSelf),
        }
    }

    fn suspend_or_resume(&self, view: &View, status: &mut Value, plan: &mut Plan) {
        let was = holding(status, "Suspended").is_some();
        let is = suspended(&view.object["spec"], self.server_minor);
        if is {
            section(status, &[]).remove("startTime");
        } else if status["startTime"].is_null() {
            section(status, &[]).insert("startTime".to_owned(), stamp(view.now));
        }
        let (state, reason, message, event) = match (was, is) {
            (false, true) => ("True", "JobSuspended", "Job suspended", "Suspended"),
            (true, false) => ("False", "JobResumed", "Job resumed", "Resumed"),
            _ => return,
        };
        set_condition(status, "Suspended", state, reason, message, view.now);
        plan.event(false, event, message);
    }

    /// Whether and how the Job has ended: what was found earlier, or what its pods say.
    fn verdict(&self, view: &View, status: &Value, counts: &Counts<'_>) -> Option<Result<(), Verdict>> {
        if holding(status, "SuccessCriteriaMet").is_some() {
            return Some(Ok(()));
        }
        if let Some(found) = holding(status, "FailureTarget") {
            let (reason, message) = (text(found, "/reason").to_owned(), text(found, "/message").to_owned());
            return Some(Err(Verdict { reason, message }));
        }
        let spec = &view.object["spec"];
        if let Some(verdict) = failure(spec, counts, &status["startTime"], view.now) {
            return Some(Err(verdict));
        }
        (is_complete(spec, counts) && !suspended(spec, self.server_minor)).then_some(Ok(()))
    }

    fn end(
        &self,
        view: &View,
        verdict: &Result<(), Verdict>,
        counts: &Counts<'_>,
        status: &mut Value,
        plan: &mut Plan,
    ) {
        plan.actions
            .extend(counts.active.iter().map(|pod| Action::delete(Kind::Pod, pod)));
        let stopped = i64::try_from(counts.active.len()).unwrap_or(i64::MAX);
        let in_between = self.server_minor >= 31;
        let failed = counts.failed + if verdict.is_err() && !in_between { stopped } else { 0 };
        self.set_counts(view, status, counts, 0, failed);
        let (interim, last, reason, message) = match verdict {
            Ok(()) if in_between => (
                "SuccessCriteriaMet",
                "Complete",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            ),
            Ok(()) => ("", "Complete", "", ""),
            Err(verdict) => (
                "FailureTarget",
                "Failed",
                verdict.reason.as_str(),
                verdict.message.as_str(),
            ),
        };
        if in_between {
            set_condition(status, interim, "True", reason, message, view.now);
            if stopped + counts.terminating > 0 {
                return;
            }
        }
        set_condition(status, last, "True", reason, message, view.now);
        if verdict.is_ok() {
            section(status, &[]).insert("completionTime".to_owned(), stamp(view.now));
            plan.event(false, "Completed", "Job completed");
        } else {
            plan.event(true, reason, message);
        }
    }

    fn manage(&self, view: &View, counts: &Counts<'_>, status: &mut Value, plan: &mut Plan) {
        let spec = &view.object["spec"];
        if suspended(spec, self.server_minor) {
            plan.actions
                .extend(counts.active.iter().map(|pod| Action::delete(Kind::Pod, pod)));
            self.set_counts(view, status, counts, 0, counts.failed);
            return;
        }
        let mut active = counts.active.len();
        for pod in surplus(spec, counts) {
            active -= 1;
            plan.actions.push(Action::delete(Kind::Pod, pod));
        }
        match missing(spec, counts, self.server_minor, view.now) {
            Ok(indexes) => {
                let making = Making {
                    job: name(&view.object),
                    uid: uid(&view.object),
                    owner: &view.object,
                    template: &spec["template"],
                    server_minor: self.server_minor,
                };
                // Those that the server refused last time are not counted before they are there.
                active += if view.refused.is_empty() { indexes.len() } else { 0 };
                plan.actions.extend(
                    indexes
                        .into_iter()
                        .map(|index| Action::Create(Kind::Pod, making.pod(index))),
                );
            }
            Err(pause) => plan.wake(pause),
        }
        if let Some(seconds) = number(spec, "/activeDeadlineSeconds").and_then(|seconds| u64::try_from(seconds).ok())
            && let Some(left) = remaining(view.now, &status["startTime"], Duration::from_secs(seconds))
        {
            plan.wake(left);
        }
        self.set_counts(view, status, counts, active, counts.failed);
    }

    fn set_counts(&self, view: &View, status: &mut Value, counts: &Counts<'_>, active: usize, failed: i64) {
        // What a newer controller has counted stays counted when the pod is gone.
        let failed = if self.server_minor >= 26 {
            failed.max(number(status, "/failed").unwrap_or(0))
        } else {
            failed
        };
        let fields = section(status, &[]);
        let mut set = |key: &str, value: Value, present: bool| {
            if present {
                fields.insert(key.to_owned(), value);
            } else {
                fields.remove(key);
            }
        };
        set("active", json!(active), active > 0);
        set("succeeded", json!(counts.succeeded), counts.succeeded > 0);
        set("failed", json!(failed), failed > 0);
        set("ready", json!(counts.ready), self.server_minor >= 24);
        set("terminating", json!(counts.terminating), self.server_minor >= 31);
        set("uncountedTerminatedPods", json!({}), self.server_minor >= 26);
        let done = counts.completed_indexes();
        let indexed = is_indexed(&view.object["spec"], self.server_minor);
        set("completedIndexes", json!(done), indexed && !done.is_empty());
    }
}

/// A condition that holds.
fn holding<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    list(status, "/conditions")
        .iter()
        .find(|entry| text(entry, "/type") == kind && text(entry, "/status") == "True")
}

fn set_condition(status: &mut Value, kind: &str, state: &str, reason: &str, message: &str, now: Timestamp) {
    let conditions = crate::operators::value::list_mut(status, "conditions");
    let mut condition = json!({
        "type": kind,
        "status": state,
        "lastProbeTime": stamp(now),
        "lastTransitionTime": stamp(now),
    });
    if !reason.is_empty() {
        condition["reason"] = json!(reason);
        condition["message"] = json!(message);
    }
    match conditions.iter_mut().find(|known| text(known, "/type") == kind) {
        Some(known) if text(known, "/status") == state => {}
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests;
