//! Pods that find no place, until there is one.

use crate::world::{World, never, shell};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};

/// Waits until the pod is refused, with those words.
async fn refused(world: &World, name: &str, reason: &str) {
    let unschedulable = |pod: &Value| pod["status"]["conditions"][0]["reason"] == "Unschedulable";
    let pod = world.until(name, "refused", unschedulable).await;
    let message = format!("0/1 nodes are available: 1 {reason}.");
    assert_eq!(pod["status"]["conditions"][0]["message"], message.as_str());
}

#[tokio::test]
async fn resources() {
    let world = World::new().await;
    let mut spec = never(shell("sleep 600"));
    spec["containers"][0]["resources"] = json!({"limits": {"nvidia.com/gpu": 1}});
    world.create("one", spec.clone()).await;
    refused(&world, "one", "Insufficient nvidia.com/gpu").await;
    assert!(world.event("one", "FailedScheduling").await.event_time.is_some());
    world.kubelet.allocatable("nvidia.com/gpu", "1");
    world.phase("one", "Running").await;
    world.create("two", spec).await;
    refused(&world, "two", "Insufficient nvidia.com/gpu").await;
    world.delete("one", Some(0)).await;
    world.phase("two", "Running").await;
}

#[tokio::test]
async fn labels_claims_and_an_order_to_wait() {
    let world = World::new().await;
    let mut spec = never(shell("true"));
    spec["nodeSelector"] = json!({"disk": "fast"});
    world.create("selects", spec).await;
    refused(&world, "selects", "node(s) didn't match Pod's node affinity").await;
    world.kubelet.label("disk", "fast");
    world.phase("selects", "Succeeded").await;

    let mut spec = never(shell("true"));
    spec["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}]);
    world.create("claims", spec).await;
    refused(&world, "claims", "persistentvolumeclaim \"claim\" not found").await;
    let size = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}});
    world
        .put::<PersistentVolumeClaim>(json!({"metadata": {"name": "claim"}, "spec": size}))
        .await;
    world.kubelet.hold_scheduling(true);
    world.create("held", never(shell("true"))).await;
    refused(&world, "held", "Insufficient nvidia.com/gpu").await;
    world.kubelet.hold_scheduling(false);
    world.phase("claims", "Succeeded").await;
    world.phase("held", "Succeeded").await;
}
