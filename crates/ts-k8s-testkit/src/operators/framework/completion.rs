//! Codes of completion: what they are called, what they let expect, and which one a pod gets.
//!
//! Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/completion.go`.

use super::types::{Completion, CompletionType, FrameworkCompletion, TaskCompletion};
use crate::operators::{
    pods,
    value::{list, number, text},
};
use serde_json::{Value, json};

pub(super) const SUCCEEDED: i64 = 0;
pub(super) const CONFIG_MAP_EXTERNAL_DELETED: i64 = -100;
pub(super) const POD_EXTERNAL_DELETED: i64 = -101;
pub(super) const POD_CREATION_PERMANENT_ERROR: i64 = -200;
pub(super) const STOP_FRAMEWORK_REQUESTED: i64 = -210;
pub(super) const FRAMEWORK_ATTEMPT_COMPLETION: i64 = -220;
const POD_FAILED_WITHOUT_FAILED_CONTAINER: i64 = -300;
pub(super) const POD_CREATION_UNKNOWN_ERROR: i64 = -310;

/// The name of a code, and the attributes of its type. A code without a name is an exit code that means nothing here.
fn info(code: i64) -> (&'static str, &'static [&'static str]) {
    match code {
        SUCCEEDED => ("Succeeded", &[]),
        200 => ("ContainerTransientFailed", &["Transient"]),
        201 => ("ContainerTransientConflictFailed", &["Transient", "Conflict"]),
        210 => ("ContainerPermanentFailed", &["Permanent"]),
        CONFIG_MAP_EXTERNAL_DELETED => ("ConfigMapExternalDeleted", &["Transient"]),
        POD_EXTERNAL_DELETED => ("PodExternalDeleted", &["Transient"]),
        POD_CREATION_PERMANENT_ERROR => ("PodCreationPermanentError", &["Permanent"]),
        STOP_FRAMEWORK_REQUESTED => ("StopFrameworkRequested", &["Permanent"]),
        FRAMEWORK_ATTEMPT_COMPLETION => ("FrameworkAttemptCompletion", &["Permanent"]),
        POD_FAILED_WITHOUT_FAILED_CONTAINER => ("PodFailedWithoutFailedContainer", &[]),
        POD_CREATION_UNKNOWN_ERROR => ("PodCreationUnknownError", &[]),
        _ => ("ContainerUnrecognizedFailed", &[]),
    }
}

impl Completion {
    pub(super) fn new(code: i64, diagnostics: impl Into<String>) -> Self {
        let (phrase, attributes) = info(code);
        let name = if code == SUCCEEDED { "Succeeded" } else { "Failed" };
        Self {
            code,
            phrase: phrase.to_owned(),
            kind: CompletionType {
                name: name.to_owned(),
                attributes: attributes.iter().map(|&attribute| attribute.to_owned()).collect(),
            },
            diagnostics: diagnostics.into(),
        }
    }

    pub(super) fn is(&self, attribute: &str) -> bool {
        self.kind.attributes.iter().any(|known| known == attribute)
    }

    pub(super) fn failed(&self) -> bool {
        self.kind.name == "Failed"
    }

    /// As the end of a task that has no pod to tell of.
    pub(super) fn of_task(self) -> TaskCompletion {
        TaskCompletion {
            summary: self,
            pod: None,
        }
    }

    /// As the end of a Framework that no task brought about.
    pub(super) fn of_framework(self) -> FrameworkCompletion {
        FrameworkCompletion {
            summary: self,
            trigger: None,
        }
    }
}

/// The completion of a pod that has ended.
pub(super) fn of_pod(pod: &Value) -> TaskCompletion {
    let detail = detail(pod);
    let summary = if pods::phase(pod) == "Succeeded" {
        Completion::new(SUCCEEDED, "Pod succeeded")
    } else {
        failed(pod, &detail)
    };
    TaskCompletion {
        summary,
        pod: Some(detail),
    }
}

fn failed(pod: &Value, detail: &Value) -> Completion {
    let exits = || {
        pods::containers(pod).filter_map(|container| {
            let code = number(container, "/state/terminated/exitCode").filter(|code| *code != 0)?;
            Some((code, text(container, "/state/terminated/finishedAt")))
        })
    };
    for special in [200, 201, 210] {
        if exits().any(|(code, _)| code == special) {
            let containers = list(detail, "/containers")
                .iter()
                .filter(|found| found["code"] == special);
            let matched = json!({ "containers": containers.take(1).collect::<Vec<_>>() });
            return Completion::new(special, format!("PodPattern matched: {matched}"));
        }
    }
    let unmatched = format!("PodPattern unmatched: {detail}");
    match exits().max_by_key(|(_, finished)| (*finished).to_owned()) {
        Some((code, _)) => Completion::new(code, unmatched),
        None => Completion::new(POD_FAILED_WITHOUT_FAILED_CONTAINER, unmatched),
    }
}

/// What stays of a pod: its reason and message, and those of its containers.
fn detail(pod: &Value) -> Value {
    let mut detail = json!({});
    keep(&mut detail, "reason", text(pod, "/status/reason"));
    keep(&mut detail, "message", text(pod, "/status/message"));
    let containers: Vec<Value> = pods::containers(pod)
        .map(|container| {
            let mut kept = json!({ "name": text(container, "/name") });
            keep(&mut kept, "reason", text(container, "/state/terminated/reason"));
            keep(&mut kept, "message", text(container, "/state/terminated/message"));
            if let Some(signal) = number(container, "/state/terminated/signal").filter(|signal| *signal != 0) {
                kept["signal"] = json!(signal);
            }
            kept["code"] = json!(number(container, "/state/terminated/exitCode").unwrap_or(0));
            kept
        })
        .collect();
    if !containers.is_empty() {
        detail["containers"] = json!(containers);
    }
    detail
}

fn keep(at: &mut Value, key: &str, value: &str) {
    if !value.is_empty() {
        at[key] = json!(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: &str, exits: &[(&str, i64, &str)]) -> Value {
        let containers: Vec<Value> = exits
            .iter()
            .map(|(name, code, finished)| {
                let terminated = json!({
                    "exitCode": code, "finishedAt": finished, "reason": "Error", "message": "last words",
                });
                json!({ "name": name, "state": { "terminated": terminated } })
            })
            .collect();
        json!({ "status": { "phase": phase, "containerStatuses": containers } })
    }

    #[test]
    fn codes_of_pods() {
        for (pod, code, phrase, attributes) in [
            (pod("Succeeded", &[("a", 0, "")]), 0, "Succeeded", &[][..]),
            (pod("Failed", &[("a", 3, "")]), 3, "ContainerUnrecognizedFailed", &[]),
            (
                pod("Failed", &[("a", 200, "")]),
                200,
                "ContainerTransientFailed",
                &["Transient"],
            ),
            (
                pod("Failed", &[("a", 201, "")]),
                201,
                "ContainerTransientConflictFailed",
                &["Transient", "Conflict"],
            ),
            (
                pod("Failed", &[("a", 210, "")]),
                210,
                "ContainerPermanentFailed",
                &["Permanent"],
            ),
            (
                pod("Failed", &[("a", 210, "2"), ("b", 3, "3")]),
                210,
                "ContainerPermanentFailed",
                &["Permanent"],
            ),
            (
                pod(
                    "Failed",
                    &[("a", 4, "2026-01-01T00:00:02Z"), ("b", 5, "2026-01-01T00:00:01Z")],
                ),
                4,
                "ContainerUnrecognizedFailed",
                &[],
            ),
            (
                pod("Failed", &[("a", 0, "")]),
                -300,
                "PodFailedWithoutFailedContainer",
                &[],
            ),
            (pod("Failed", &[]), -300, "PodFailedWithoutFailedContainer", &[]),
        ] {
            let completion = of_pod(&pod).summary;
            assert_eq!((completion.code, completion.phrase.as_str()), (code, phrase), "{pod}");
            assert_eq!(completion.kind.attributes, attributes, "{pod}");
        }
    }

    #[test]
    fn last_words_of_containers_are_kept() {
        let completion = of_pod(&pod("Failed", &[("main", 3, "")]));
        let containers = json!([{ "name": "main", "reason": "Error", "message": "last words", "code": 3 }]);
        assert_eq!(completion.pod.unwrap()["containers"], containers);
        assert!(
            completion
                .summary
                .diagnostics
                .starts_with("PodPattern unmatched: {\"containers\":[{\"name\":\"main\"")
        );
    }
}
