//! Why jobs wait for a node: what the compute target says of its nodes, its limit and its quota.
//!
//! Source: azure-rest-api-specs, `stable/2024-10-01/machineLearningServices.json`, `AmlComputeProperties`.

use crate::validate;
use serde_json::Value as Json;
use ts_core::ReasonCode;

/// Most characters of an error of the compute target that are told.
const MOST_TOLD: usize = 400;

/// Why a job waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) code: ReasonCode,
    pub(crate) message: String,
    pub(crate) unblock: &'static str,
}

/// What keeps jobs from getting a node of this compute target; `None` if nothing does that it tells.
pub(crate) fn shortage(name: &str, compute: &Json) -> Option<Shortage> {
    let cluster = &compute["properties"]["properties"];
    if let Some(error) = first_error(cluster).or_else(|| first_error(&compute["properties"])) {
        let is_quota = error.to_ascii_lowercase().contains("quota");
        let (code, unblock) = if is_quota {
            let unblock = "ask for more quota of this kind of machine: the workspace's page `Quota` in the studio; or wait for others";
            (ReasonCode::Quota, unblock)
        } else {
            (
                ReasonCode::Queued,
                "look at the compute target in the studio of Azure ML",
            )
        };
        let message = format!("the compute target `{name}` gets no nodes: {error}");
        return Some(Shortage { code, message, unblock });
    }
    if let Some(message) = validate::trouble_of(name, compute) {
        let unblock = "look at the compute target in the studio of Azure ML";
        return Some(Shortage {
            code: ReasonCode::Queued,
            message,
            unblock,
        });
    }
    let count = |kind: &str| cluster["nodeStateCounts"][kind].as_u64().unwrap_or(0);
    let most = cluster["scaleSettings"]["maxNodeCount"].as_u64()?;
    let (running, preparing) = (count("runningNodeCount"), count("preparingNodeCount"));
    let mut used = format!("{running} running, {preparing} being prepared");
    for (kind, word) in [
        ("unusableNodeCount", "unusable"),
        ("leavingNodeCount", "leaving"),
        ("preemptedNodeCount", "taken away"),
    ] {
        if count(kind) > 0 {
            used = format!("{used}, {} {word}", count(kind));
        }
    }
    if running >= most {
        return Some(Shortage {
            code: ReasonCode::Quota,
            message: format!("all {most} nodes that the compute target `{name}` may have are in use: {used}"),
            unblock: "wait for others, or raise the greatest number of nodes of the compute target",
        });
    }
    let (current, target) = (
        cluster["currentNodeCount"].as_u64(),
        cluster["targetNodeCount"].as_u64(),
    );
    (cluster["allocationState"] == "Resizing").then(|| Shortage {
        code: ReasonCode::Queued,
        message: format!(
            "the compute target `{name}` is being resized: {} of {} nodes, {used}",
            current.unwrap_or(0),
            target.unwrap_or(0)
        ),
        unblock: "nodes come by themselves; where they do not, there is no capacity of this kind of machine in the region",
    })
}

fn first_error(properties: &Json) -> Option<String> {
    let list = ["errors", "provisioningErrors"]
        .iter()
        .find_map(|key| properties[*key].as_array()?.first())?;
    let error = if list["error"].is_object() {
        &list["error"]
    } else {
        list
    };
    let code = error["code"].as_str().unwrap_or_default();
    let message = error["message"].as_str().unwrap_or_default();
    let text = format!("{code}: {message}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    Some(text.chars().take(MOST_TOLD).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compute(errors: &Json, state: &str, running: u64) -> Json {
        json!({"properties": {"provisioningState": "Succeeded", "properties": {
            "scaleSettings": {"maxNodeCount": 2}, "allocationState": state, "currentNodeCount": running, "targetNodeCount": 2,
            "nodeStateCounts": {"runningNodeCount": running, "preparingNodeCount": 1, "preemptedNodeCount": 1}, "errors": errors,
        }}})
    }

    #[test]
    fn every_shortage_says_what_is_short() {
        let quota = json!([{"error": {"code": "ClusterCoreQuotaReached", "message": "The cores\nare used up."}}]);
        let other = json!([{"code": "SubnetFull", "message": "No address."}]);
        for (compute, code, text) in [
            (
                compute(&quota, "Steady", 0),
                ReasonCode::Quota,
                "ClusterCoreQuotaReached: The cores are",
            ),
            (
                compute(&other, "Steady", 0),
                ReasonCode::Queued,
                "SubnetFull: No address.",
            ),
            (compute(&Json::Null, "Steady", 2), ReasonCode::Quota, "all 2 nodes"),
            (
                compute(&Json::Null, "Resizing", 1),
                ReasonCode::Queued,
                "1 of 2 nodes, 1 running, 1 being prepared, 1 taken away",
            ),
            (
                json!({"properties": {"provisioningState": "Failed"}}),
                ReasonCode::Queued,
                "not ready: Failed",
            ),
        ] {
            let found = shortage("gpu", &compute).unwrap();
            assert_eq!(found.code, code, "{found:?}");
            assert!(found.message.contains(text), "{found:?}");
        }
        assert_eq!(shortage("gpu", &compute(&Json::Null, "Steady", 1)), None);
        // A Kubernetes cluster has no nodes of ours.
        assert_eq!(
            shortage("gpu", &json!({"properties": {"provisioningState": "Succeeded"}})),
            None
        );
    }
}
