//! Counting the pods of a Job.
//!
//! Source: kubernetes v1.20, `pkg/controller/job/job_controller.go`, `getStatus`; for what is newer, v1.31 of the same file.

use super::policy::{Ruling, rule};
use crate::operators::{
    pods,
    value::{annotation, deleting, number, text},
};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// The annotation that tells a pod of an indexed Job its index.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The pods of a Job by their state.
#[derive(Debug, Default)]
pub(in crate::operators) struct Counts<'a> {
    /// Neither ended nor about to go.
    pub(in crate::operators) active: Vec<&'a Value>,
    pub(in crate::operators) ready: i64,
    pub(in crate::operators) succeeded: i64,
    pub(in crate::operators) failed: i64,
    /// On their way out.
    pub(in crate::operators) terminating: i64,
    /// Indexes that are done, for an indexed Job.
    pub(in crate::operators) completed: BTreeSet<i64>,
    /// Failed pods that are not replaced yet, or were: those by which the next waits.
    pub(in crate::operators) failures: Vec<&'a Value>,
    /// Why the pod failure policy ends the Job.
    pub(in crate::operators) fail_job: Option<String>,
}

/// Whether each pod has an index. Since 1.21.
pub(super) fn is_indexed(spec: &Value, server_minor: u32) -> bool {
    server_minor >= 21 && text(spec, "/completionMode") == "Indexed"
}

/// Index of a pod.
pub(super) fn index(pod: &Value) -> Option<i64> {
    annotation(pod, INDEX).parse().ok()
}

/// How many pods at a time, and how many in all; both 1 if neither is given.
pub(in crate::operators) fn parallelism_and_completions(spec: &Value) -> (i64, Option<i64>) {
    match (number(spec, "/parallelism"), number(spec, "/completions")) {
        (None, None) => (1, Some(1)),
        (parallelism, completions) => (parallelism.unwrap_or(1), completions),
    }
}

/// Counts the pods of a Job with this spec.
pub(in crate::operators) fn count<'a>(spec: &Value, pods: &'a [Arc<Value>], server_minor: u32) -> Counts<'a> {
    let mut counts = Counts::default();
    let indexed = is_indexed(spec, server_minor);
    let (_, completions) = parallelism_and_completions(spec);
    // Since pods are tracked by a finalizer, a pod that is deleted by others has failed. Before, it had never been.
    let deletion_fails = server_minor >= 26;
    for pod in pods.iter().map(AsRef::as_ref) {
        match pods::phase(pod) {
            "Succeeded" if indexed => {
                counts
                    .completed
                    .extend(index(pod).filter(|index| completions.is_none_or(|end| *index < end)));
            }
            "Succeeded" => counts.succeeded += 1,
            "Failed" => counts.add_failure(spec, pod, server_minor),
            _ if deleting(pod) => {
                counts.terminating += 1;
                if deletion_fails && !suspended(spec, server_minor) {
                    counts.add_failure(spec, pod, server_minor);
                }
            }
            _ => {
                counts.active.push(pod);
                counts.ready += i64::from(pods::is_ready(pod));
            }
        }
    }
    if indexed {
        counts.succeeded = i64::try_from(counts.completed.len()).unwrap_or(i64::MAX);
    }
    counts
}

/// Whether the Job is to have no pods for now. Since 1.21.
pub(super) fn suspended(spec: &Value, server_minor: u32) -> bool {
    server_minor >= 21 && crate::operators::value::flag(spec, "/suspend")
}

impl<'a> Counts<'a> {
    fn add_failure(&mut self, spec: &Value, pod: &'a Value, server_minor: u32) {
        let ruling = if server_minor >= 26 {
            rule(spec, pod)
        } else {
            Ruling::Count
        };
        match ruling {
            Ruling::Ignore => {}
            Ruling::Count => {
                self.failed += 1;
                self.failures.push(pod);
            }
            Ruling::FailJob(message) => {
                self.failed += 1;
                self.failures.push(pod);
                self.fail_job.get_or_insert(message);
            }
        }
    }

    /// Indexes for which a pod is at work.
    pub(super) fn live(&self) -> BTreeSet<i64> {
        self.active.iter().filter_map(|pod| index(pod)).collect()
    }

    /// The done indexes as the status has them: `0,2-4`.
    pub(super) fn completed_indexes(&self) -> String {
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for index in &self.completed {
            match ranges.last_mut() {
                Some((_, end)) if *end + 1 == *index => *end = *index,
                _ => ranges.push((*index, *index)),
            }
        }
        let texts: Vec<String> = ranges
            .into_iter()
            .map(|(start, end)| match end - start {
                0 => start.to_string(),
                1 => format!("{start},{end}"),
                _ => format!("{start}-{end}"),
            })
            .collect();
        texts.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(phase: &str, index: i64, deleted: bool) -> Arc<Value> {
        let mut pod = json!({
            "metadata": { "annotations": { INDEX: index.to_string() } },
            "status": { "phase": phase, "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        if deleted {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Arc::new(pod)
    }

    #[test]
    fn pods_are_told_apart() {
        let pods = [
            pod("Running", 0, false),
            pod("Succeeded", 1, false),
            pod("Failed", 2, false),
            pod("Running", 3, true),
        ];
        let counts = count(&json!({}), &pods, 20);
        assert_eq!((counts.active.len(), counts.ready, counts.succeeded), (1, 1, 1));
        assert_eq!((counts.failed, counts.terminating), (1, 1));
        // A newer controller takes the deleted one for failed, unless it deleted it itself to suspend the Job.
        assert_eq!(count(&json!({}), &pods, 26).failed, 2);
        assert_eq!(count(&json!({ "suspend": true }), &pods, 26).failed, 1);
    }

    #[test]
    fn an_index_is_done_once() {
        let spec = json!({ "completionMode": "Indexed", "completions": 6, "parallelism": 6 });
        let pods: Vec<_> = [0, 2, 3, 4, 4, 9]
            .iter()
            .map(|index| pod("Succeeded", *index, false))
            .collect();
        let counts = count(&spec, &pods, 31);
        assert_eq!((counts.succeeded, counts.completed_indexes().as_str()), (4, "0,2-4"));
        // An older server knows no indexes.
        assert_eq!(count(&spec, &pods, 20).succeeded, 6);
    }

    #[test]
    fn a_job_without_numbers_has_one_pod() {
        assert_eq!(parallelism_and_completions(&json!({})), (1, Some(1)));
        assert_eq!(parallelism_and_completions(&json!({ "parallelism": 3 })), (3, None));
        assert_eq!(parallelism_and_completions(&json!({ "completions": 3 })), (1, Some(3)));
    }
}
