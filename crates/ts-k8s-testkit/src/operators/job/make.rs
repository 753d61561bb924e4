//! Which pods a Job lacks or has too many of, and what they look like.
//!
//! Source: kubernetes v1.20, `pkg/controller/job/job_controller.go`, `manageJob`; for indexes v1.31,
//! `pkg/controller/job/indexed_job_utils.go`.

use super::count::{Counts, INDEX, is_indexed, parallelism_and_completions};
use crate::operators::{
    pods,
    value::{random_suffix, section},
};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// Pause before a failed pod is replaced, doubled for each further one. The real one begins at 10 s; only patience would
/// depend on it.
const REPLACEMENT: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_REPLACEMENT: Duration = Duration::from_mins(1);

/// How many pods are to be at work.
fn wanted(spec: &Value, counts: &Counts<'_>) -> usize {
    let wanted = match parallelism_and_completions(spec) {
        (parallelism, None) if counts.succeeded == 0 => parallelism,
        // A work queue that has begun to succeed drains.
        (parallelism, None) => parallelism.min(i64::try_from(counts.active.len()).unwrap_or(i64::MAX)),
        (parallelism, Some(completions)) => parallelism.min(completions - counts.succeeded),
    };
    usize::try_from(wanted).unwrap_or_default()
}

/// Indexes of the pods to make, `None` for pods without an index; or how long to wait before any is made.
pub(in crate::operators) fn missing(
    spec: &Value,
    counts: &Counts<'_>,
    server_minor: u32,
    now: Timestamp,
) -> Result<Vec<Option<i64>>, Duration> {
    let lacking = wanted(spec, counts).saturating_sub(counts.active.len());
    if lacking == 0 {
        return Ok(Vec::new());
    }
    let doublings = u32::try_from(counts.failures.len())
        .unwrap_or(u32::MAX)
        .saturating_sub(1)
        .min(10);
    let pause = REPLACEMENT.saturating_mul(1 << doublings).min(LONGEST_REPLACEMENT);
    if let Some(last) = counts.failures.iter().filter_map(|pod| pods::finished_at(pod)).max() {
        let since = Duration::try_from(now.duration_since(last)).unwrap_or_default();
        if since < pause {
            return Err(pause.saturating_sub(since));
        }
    }
    if !is_indexed(spec, server_minor) {
        return Ok(vec![None; lacking]);
    }
    let live = counts.live();
    let (_, completions) = parallelism_and_completions(spec);
    let free = (0..completions.unwrap_or(1)).filter(|index| !live.contains(index) && !counts.completed.contains(index));
    Ok(free.take(lacking).map(Some).collect())
}

/// Pods that are too many.
pub(in crate::operators) fn surplus<'a>(spec: &Value, counts: &Counts<'a>) -> Vec<&'a Value> {
    counts.active.iter().skip(wanted(spec, counts)).copied().collect()
}

/// How the pods of a Job are made.
#[derive(Debug)]
pub(in crate::operators) struct Making<'a> {
    /// Name of the Job.
    pub(in crate::operators) job: &'a str,
    /// Its uid.
    pub(in crate::operators) uid: &'a str,
    /// The object in the pods' owner reference.
    pub(in crate::operators) owner: &'a Value,
    /// The pod template.
    pub(in crate::operators) template: &'a Value,
    pub(in crate::operators) server_minor: u32,
}

impl Making<'_> {
    /// A pod, with an index or without.
    pub(in crate::operators) fn pod(&self, index: Option<i64>) -> Value {
        let name = match index {
            None => format!("{}-{}", self.job, random_suffix()),
            Some(index) => format!("{}-{index}-{}", self.job, random_suffix()),
        };
        let mut pod = pods::from_template(self.template, self.owner, &name);
        pods::set_labels(
            &mut pod,
            [
                ("controller-uid", self.uid.to_owned()),
                ("job-name", self.job.to_owned()),
            ],
        );
        if self.server_minor >= 27 {
            let labels = ["controller-uid", "job-name"].map(|key| format!("batch.kubernetes.io/{key}"));
            let values = [self.uid, self.job].map(str::to_owned);
            pods::set_labels(&mut pod, labels.iter().map(String::as_str).zip(values));
        }
        if let Some(index) = index {
            self.set_index(&mut pod, index);
        }
        pod
    }

    fn set_index(&self, pod: &mut Value, index: i64) {
        pods::set_annotations(pod, [(INDEX, index.to_string())]);
        if self.server_minor >= 28 {
            pods::set_labels(pod, [(INDEX, index.to_string())]);
        }
        section(pod, &["spec"]).insert("hostname".to_owned(), json!(format!("{}-{index}", self.job)));
        for container in pods::containers_mut(pod) {
            let source = json!({ "fieldRef": { "fieldPath": format!("metadata.annotations['{INDEX}']") } });
            pods::set_env(
                container,
                json!({ "name": "JOB_COMPLETION_INDEX", "valueFrom": source }),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::count::count, *};
    use std::sync::Arc;

    fn now() -> Timestamp {
        "2026-01-01T00:01:00Z".parse().unwrap()
    }

    fn pod(phase: &str, index: i64, finished: &str) -> Arc<Value> {
        Arc::new(json!({
            "metadata": { "annotations": { INDEX: index.to_string() } },
            "status": {
                "phase": phase,
                "containerStatuses": [{ "state": { "terminated": { "finishedAt": finished } } }],
            },
        }))
    }

    #[test]
    fn as_many_pods_as_are_still_to_be_done() {
        let spec = json!({ "parallelism": 3, "completions": 4 });
        let pods = [pod("Succeeded", 0, ""), pod("Succeeded", 0, ""), pod("Running", 0, "")];
        assert_eq!(missing(&spec, &count(&spec, &pods, 20), 20, now()), Ok(vec![None]));
        let spec = json!({ "parallelism": 1, "completions": 4 });
        assert_eq!(missing(&spec, &count(&spec, &pods, 20), 20, now()), Ok(vec![]));
        let running = [pod("Running", 0, ""), pod("Running", 0, "")];
        assert_eq!(surplus(&spec, &count(&spec, &running, 20)).len(), 1);
    }

    #[test]
    fn a_failed_pod_is_replaced_after_a_pause_that_doubles() {
        let spec = json!({});
        let one = [pod("Failed", 0, "2026-01-01T00:00:59.5Z")];
        assert_eq!(
            missing(&spec, &count(&spec, &one, 20), 20, now()),
            Err(Duration::from_millis(500))
        );
        let two = [
            pod("Failed", 0, "2026-01-01T00:00:58Z"),
            pod("Failed", 0, "2026-01-01T00:00:59Z"),
        ];
        assert_eq!(
            missing(&spec, &count(&spec, &two, 20), 20, now()),
            Err(Duration::from_secs(1))
        );
        let long_ago = [pod("Failed", 0, "2026-01-01T00:00:00Z")];
        assert_eq!(missing(&spec, &count(&spec, &long_ago, 20), 20, now()), Ok(vec![None]));
    }

    #[test]
    fn only_free_indexes_are_filled() {
        let spec = json!({ "parallelism": 4, "completions": 4, "completionMode": "Indexed" });
        let pods = [pod("Succeeded", 0, ""), pod("Running", 2, "")];
        assert_eq!(
            missing(&spec, &count(&spec, &pods, 31), 31, now()),
            Ok(vec![Some(1), Some(3)])
        );
    }

    #[test]
    fn a_pod_of_an_indexed_job_knows_its_index() {
        let owner = json!({ "metadata": { "name": "j", "namespace": "n", "uid": "u" } });
        let template = json!({ "spec": { "containers": [{ "name": "a" }], "initContainers": [{ "name": "b" }] } });
        let making = Making {
            job: "j",
            uid: "u",
            owner: &owner,
            template: &template,
            server_minor: 31,
        };
        let pod = making.pod(Some(3));
        let name = crate::operators::value::name(&pod);
        assert!(name.starts_with("j-3-") && name.len() == "j-3-".len() + 5, "{name}");
        assert_eq!(pod["metadata"]["labels"]["job-name"], "j");
        assert_eq!(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"], "j");
        assert_eq!(pod["metadata"]["annotations"][INDEX], "3");
        assert_eq!(pod["spec"]["hostname"], "j-3");
        for container in ["containers", "initContainers"] {
            assert_eq!(pod["spec"][container][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
        }
        let old = Making {
            server_minor: 20,
            ..making
        }
        .pod(None);
        assert_eq!(
            old["metadata"]["labels"],
            json!({ "controller-uid": "u", "job-name": "j" })
        );
    }
}
