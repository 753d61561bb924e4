//! The array of conditions, whose order and content follow rules that readers stumble over.
//!
//! Source: kubeflow/training-operator `release-1.9`, `pkg/util/status.go`, `setCondition`, `filterOutCondition`; for the old
//! operators kubeflow/pytorch-operator, `pkg/controller.v1/pytorch/status.go`.

use crate::operators::{
    Generation,
    value::{list, list_mut, stamp, text},
};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// Whether a condition holds.
pub(super) fn holds(status: &Value, kind: &str) -> bool {
    list(status, "/conditions")
        .iter()
        .any(|entry| text(entry, "/type") == kind && text(entry, "/status") == "True")
}

/// Whether the job has ended.
pub(super) fn is_finished(status: &Value) -> bool {
    holds(status, "Succeeded") || holds(status, "Failed")
}

/// A condition to be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition<'a> {
    pub(super) kind: &'a str,
    pub(super) holds: bool,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

/// Sets a condition, by the rules of a generation.
pub(super) fn set(status: &mut Value, generation: Generation, condition: Condition<'_>, now: Timestamp) {
    // The successor lets `Failed` follow `Succeeded`.
    let closed = match generation {
        Generation::Old => is_finished(status),
        Generation::TrainingOperator => holds(status, "Failed"),
    };
    if closed {
        return;
    }
    let Condition {
        kind,
        holds,
        reason,
        message,
    } = condition;
    let state = if holds { "True" } else { "False" };
    let known = list(status, "/conditions")
        .iter()
        .find(|entry| text(entry, "/type") == kind);
    let mut transition = stamp(now);
    if let Some(known) = known.filter(|known| text(known, "/status") == state) {
        if text(known, "/reason") == reason {
            return;
        }
        transition = known["lastTransitionTime"].clone();
    }
    let conditions = list_mut(status, "conditions");
    conditions.retain(|entry| {
        let other = text(entry, "/type");
        other != kind && !matches!((kind, other), ("Restarting", "Running") | ("Running", "Restarting"))
    });
    if matches!(kind, "Failed" | "Succeeded") {
        for running in conditions.iter_mut().filter(|entry| text(entry, "/type") == "Running") {
            running["status"] = json!("False");
        }
    }
    conditions.push(json!({
        "type": kind,
        "status": state,
        "reason": reason,
        "message": message,
        "lastUpdateTime": stamp(now),
        "lastTransitionTime": transition,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets conditions one after the other, a second apart, and shows the array.
    fn after(generation: Generation, kinds: &[(&str, &str)]) -> Vec<String> {
        let mut status = json!({});
        let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (kind, reason) in kinds {
            set(
                &mut status,
                generation,
                Condition {
                    kind,
                    holds: true,
                    reason,
                    message: "",
                },
                now,
            );
            now += std::time::Duration::from_secs(1);
        }
        let shown = list(&status, "/conditions").iter().map(|entry| {
            let seconds = |key: &str| text(entry, key).get(17..19).unwrap().to_owned();
            let (kind, state) = (text(entry, "/type"), text(entry, "/status"));
            format!(
                "{kind} {state} {}/{}",
                seconds("/lastTransitionTime"),
                seconds("/lastUpdateTime")
            )
        });
        shown.collect()
    }

    #[test]
    fn rules_of_the_array() {
        use Generation::{Old, TrainingOperator as New};
        let (created, running, restarting) = (("Created", "c"), ("Running", "r"), ("Restarting", "x"));
        let (succeeded, failed) = (("Succeeded", "s"), ("Failed", "f"));
        for (generation, kinds, expected) in [
            // The same again leaves the entry where it is, so that the last one is not the latest.
            (
                New,
                &[created, running, created][..],
                &["Created True 00/00", "Running True 01/01"][..],
            ),
            // Another reason moves the entry to the end, but it has not changed over.
            (
                New,
                &[running, created, ("Running", "q")],
                &["Created True 01/01", "Running True 00/02"],
            ),
            // Running and Restarting remove each other.
            (
                New,
                &[created, running, restarting],
                &["Created True 00/00", "Restarting True 02/02"],
            ),
            (New, &[restarting, running], &["Running True 01/01"]),
            // The end turns Running off where it stands.
            (
                New,
                &[running, created, failed],
                &["Running False 00/00", "Created True 01/01", "Failed True 02/02"],
            ),
            // Nothing after Failed. After Succeeded only the successor goes on.
            (New, &[failed, running, succeeded], &["Failed True 00/00"]),
            (
                New,
                &[succeeded, failed],
                &["Succeeded True 00/00", "Failed True 01/01"],
            ),
            (Old, &[succeeded, failed], &["Succeeded True 00/00"]),
        ] {
            assert_eq!(after(generation, kinds), expected, "{generation:?} {kinds:?}");
        }
    }

    #[test]
    fn a_condition_that_ends_holds_no_more() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut status = json!({});
        for holds in [true, false] {
            let condition = Condition {
                kind: "Suspended",
                holds,
                reason: "r",
                message: "",
            };
            set(&mut status, Generation::TrainingOperator, condition, now);
        }
        assert!(!holds(&status, "Suspended"));
        assert_eq!(list(&status, "/conditions").len(), 1);
    }
}
