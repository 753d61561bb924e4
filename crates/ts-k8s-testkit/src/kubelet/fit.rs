//! Whether a pod fits the node, and the scheduler's words where it does not. Pure; `scheduler` asks and acts.
//!
//! Messages were observed on a kube-scheduler v1.20.2. Taints, affinity between pods and pre-emption are not looked at.

use super::{quantity, settings::Settings};
use k8s_openapi::{
    api::core::v1::{Container, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec},
    apimachinery::pkg::api::resource::Quantity,
};
use std::collections::BTreeMap;

/// Amounts of resources, in billionths.
pub(super) type Amounts = BTreeMap<String, i128>;

/// What a pod asks for: its containers together or its largest init container, and one pod.
///
/// Source: kubernetes v1.20, `pkg/scheduler/framework/plugins/noderesources/fit.go`, `computePodResourceRequest`.
pub(super) fn requests(spec: &PodSpec) -> Amounts {
    let mut all = Amounts::new();
    for container in &spec.containers {
        for (name, amount) in of_container(container) {
            *all.entry(name).or_default() += amount;
        }
    }
    for container in spec.init_containers.iter().flatten() {
        for (name, amount) in of_container(container) {
            let entry = all.entry(name).or_default();
            *entry = amount.max(*entry);
        }
    }
    for (name, Quantity(amount)) in spec.overhead.iter().flatten() {
        *all.entry(name.clone()).or_default() += quantity::parse(amount).unwrap_or_default();
    }
    all.insert("pods".to_owned(), 1_000_000_000);
    all
}

/// Requests, and limits where there is no request.
fn of_container(container: &Container) -> Amounts {
    let resources = container.resources.iter();
    let pairs = resources.flat_map(|all| all.limits.iter().flatten().chain(all.requests.iter().flatten()));
    pairs
        .map(|(name, Quantity(text))| (name.clone(), quantity::parse(text).unwrap_or_default()))
        .collect()
}

/// Why the pod cannot run on the node, or nothing if it can.
pub(super) fn refusal(pod: &Pod, node: &Settings, used: &Amounts) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    if node.hold_scheduling {
        return Some(message(&["Insufficient nvidia.com/gpu".to_owned()]));
    }
    if !selected(spec, &node.labels) {
        return Some(message(&["node(s) didn't match Pod's node affinity".to_owned()]));
    }
    let mut reasons: Vec<String> = requests(spec)
        .into_iter()
        .filter(|(name, wanted)| {
            let all = node
                .allocatable
                .get(name)
                .and_then(|text| quantity::parse(text))
                .unwrap_or_default();
            *wanted > 0 && used.get(name).copied().unwrap_or_default() + wanted > all
        })
        .map(|(name, _)| match name.as_str() {
            "pods" => "Too many pods".to_owned(),
            _ => format!("Insufficient {name}"),
        })
        .collect();
    reasons.sort();
    (!reasons.is_empty()).then(|| message(&reasons))
}

/// Source: kubernetes v1.20, `pkg/scheduler/framework/types.go`, `FitError.Error`.
pub(super) fn message(reasons: &[String]) -> String {
    let reasons: Vec<String> = reasons.iter().map(|reason| format!("1 {reason}")).collect();
    format!("0/1 nodes are available: {}.", reasons.join(", "))
}

fn selected(spec: &PodSpec, labels: &BTreeMap<String, String>) -> bool {
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    spec.node_selector
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| term_fits(term, labels)))
}

/// A term without expressions fits nothing.
fn term_fits(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    !expressions.is_empty() && term.match_fields.is_none() && expressions.iter().all(|one| expression_fits(one, labels))
}

fn expression_fits(expression: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let label = labels.get(&expression.key);
    let listed = label.is_some_and(|label| expression.values.iter().flatten().any(|value| value == label));
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
    let compared = number(label).zip(number(expression.values.iter().flatten().next()));
    match expression.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        "Gt" => compared.is_some_and(|(label, value)| label > value),
        "Lt" => compared.is_some_and(|(label, value)| label < value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Amounts, Settings, refusal, requests};
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).expect("a pod")
    }

    fn said(spec: &Value, used: &Amounts) -> String {
        refusal(&pod(spec), &Settings::default(), used).unwrap_or_default()
    }

    #[test]
    fn resources() {
        let gpu = json!({"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": 1}}}]});
        assert_eq!(
            said(&gpu, &Amounts::new()),
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
        );
        let big = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "17", "memory": "1Ti"}}}]});
        assert_eq!(
            said(&big, &Amounts::new()),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
        );
        let half = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "8001m"}}}]});
        assert_eq!(said(&half, &Amounts::new()), "");
        let used = requests(pod(&half).spec.as_ref().expect("a spec"));
        assert_eq!(said(&half, &used), "0/1 nodes are available: 1 Insufficient cpu.");
        let init = json!({"containers": [{"name": "c"}],
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": 17}}}]});
        assert_eq!(
            said(&init, &Amounts::new()),
            "0/1 nodes are available: 1 Insufficient cpu."
        );
        let full = Amounts::from([("pods".to_owned(), 110_000_000_000)]);
        assert_eq!(
            said(&json!({"containers": []}), &full),
            "0/1 nodes are available: 1 Too many pods."
        );
    }

    #[test]
    fn selectors() {
        let refused = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity.";
        let with = |key: &str, value: &str| json!({"containers": [], "nodeSelector": {key: value}});
        assert_eq!(said(&with("a", "b"), &Amounts::new()), refused);
        assert_eq!(said(&with("kubernetes.io/os", "linux"), &Amounts::new()), "");
        for (operator, values, fits) in [
            ("In", json!(["linux"]), true),
            ("NotIn", json!(["linux"]), false),
            ("Exists", json!([]), true),
            ("DoesNotExist", json!([]), false),
            ("Gt", json!(["1"]), false),
        ] {
            let spec = json!({"containers": [], "affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/os", "operator": operator, "values": values}]}]}}}});
            assert_eq!(said(&spec, &Amounts::new()).is_empty(), fits, "{operator}");
        }
    }
}
