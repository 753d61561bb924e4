//! The pod failure policy: which failed pods count, and which end the Job at once.
//!
//! Source: kubernetes v1.31, `pkg/controller/job/pod_failure_policy.go`. `FailIndex`, which needs a limit per index, is not
//! played; it counts like no rule at all.

use crate::operators::{
    pods,
    value::{list, name, namespace, number, text},
};
use serde_json::Value;

/// What the policy says about a failed pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It counts towards the limit.
    Count,
    /// It is replaced and does not count.
    Ignore,
    /// The Job has failed, with this message.
    FailJob(String),
}

/// Applies the rules of a Job to a failed pod; the first that matches decides.
pub(super) fn rule(spec: &Value, pod: &Value) -> Ruling {
    for (index, rule) in list(spec, "/podFailurePolicy/rules").iter().enumerate() {
        let Some(what) = exit_code(rule, pod).or_else(|| condition(rule, pod)) else {
            continue;
        };
        match text(rule, "/action") {
            "Ignore" => return Ruling::Ignore,
            "FailJob" => return Ruling::FailJob(format!("{what} matching FailJob rule at index {index}")),
            "Count" => return Ruling::Count,
            _ => {}
        }
    }
    Ruling::Count
}

fn exit_code(rule: &Value, pod: &Value) -> Option<String> {
    let wanted = rule.get("onExitCodes")?;
    let only = text(wanted, "/containerName");
    let values: Vec<i64> = list(wanted, "/values").iter().filter_map(Value::as_i64).collect();
    let within = text(wanted, "/operator") == "In";
    pods::containers(pod).find_map(|container| {
        let code = number(container, "/state/terminated/exitCode").filter(|code| *code != 0)?;
        let container = text(container, "/name");
        ((only.is_empty() || only == container) && values.contains(&code) == within).then(|| {
            format!(
                "Container {container} for pod {}/{} failed with exit code {code}",
                namespace(pod),
                name(pod)
            )
        })
    })
}

fn condition(rule: &Value, pod: &Value) -> Option<String> {
    list(rule, "/onPodConditions").iter().find_map(|wanted| {
        let kind = text(wanted, "/type");
        let status = match text(wanted, "/status") {
            "" => "True",
            status => status,
        };
        let found = pods::condition(pod, kind)?;
        (text(found, "/status") == status).then(|| format!("Pod {}/{} has condition {kind}", namespace(pod), name(pod)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> Value {
        json!({ "podFailurePolicy": { "rules": [
            { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget" }] },
            { "action": "FailJob", "onExitCodes": { "containerName": "main", "operator": "In", "values": [42] } },
            { "action": "Ignore", "onExitCodes": { "operator": "NotIn", "values": [1, 2, 42] } },
        ] } })
    }

    fn pod(container: &str, code: i64, disrupted: bool) -> Value {
        json!({
            "metadata": { "namespace": "n", "name": "p" },
            "status": {
                "containerStatuses": [{ "name": container, "state": { "terminated": { "exitCode": code } } }],
                "conditions": [{ "type": "DisruptionTarget", "status": if disrupted { "True" } else { "False" } }],
            },
        })
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        for (container, code, disrupted, expected) in [
            ("main", 1, false, Ruling::Count),
            ("main", 42, true, Ruling::Ignore),
            ("other", 42, false, Ruling::Count),
            ("main", 3, false, Ruling::Ignore),
            ("main", 0, false, Ruling::Count),
            (
                "main",
                42,
                false,
                Ruling::FailJob(
                    "Container main for pod n/p failed with exit code 42 matching FailJob rule at index 1".to_owned(),
                ),
            ),
        ] {
            assert_eq!(
                rule(&spec(), &pod(container, code, disrupted)),
                expected,
                "{container} {code} {disrupted}"
            );
        }
    }
}
