//! Pods and nodes to which something happens.

use crate::world::{World, eventually, never, processes, shell, state};
use serde_json::Value;

async fn running(world: &World, name: &str) -> String {
    world.create(name, never(shell("setsid sleep 600 & sleep 601"))).await;
    world.phase(name, "Running").await;
    world.reference(name).await.uid
}

#[tokio::test]
async fn containers_that_are_killed() {
    let world = World::new().await;
    running(&world, "oom").await;
    world.kubelet.oom_kill("default", "oom");
    let pod = world.phase("oom", "Failed").await;
    let ended = &state(&pod)["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&137.into(), &"OOMKilled".into())
    );
    let crashed = running(&world, "crash").await;
    world.kubelet.crash_container("default", "crash", "main", 11);
    let pod = world.phase("crash", "Failed").await;
    let ended = &state(&pod)["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&139.into(), &"Error".into()));
    assert_eq!(processes(&crashed), 0, "nothing outlives the first process");
}

#[tokio::test]
async fn pods_that_have_to_go() {
    let world = World::new().await;
    let evicted = running(&world, "evict").await;
    world
        .kubelet
        .evict("default", "evict", "The node was low on resource: memory. ");
    let pod = world.phase("evict", "Failed").await;
    assert_eq!(
        (&pod["status"]["reason"], &pod["status"]["containerStatuses"]),
        (&"Evicted".into(), &Value::Null)
    );
    eventually("its processes end", || processes(&evicted) == 0).await;
    world.event("evict", "Evicted").await;

    running(&world, "preempt").await;
    world.kubelet.preempt("default", "preempt").await.expect("pre-empted");
    let going = |pod: &Value| pod.is_null() || pod["metadata"]["deletionTimestamp"].is_string();
    let pod = world.until("preempt", "going", going).await;
    let conditions = pod["status"]["conditions"].as_array().expect("conditions");
    assert!(
        conditions
            .iter()
            .any(|one| one["type"] == "DisruptionTarget" && one["status"] == "True"),
        "{pod:#}"
    );
    world.gone("preempt").await;
}

#[tokio::test]
async fn a_node_that_is_lost() {
    let world = World::new().await;
    let uid = running(&world, "lost").await;
    world.kubelet.lose_node().await.expect("lost");
    let (code, _) = world.log("lost", &[("container", "main")]).await.expect_err("cut off");
    assert_eq!(code, 500);
    let unready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "False"))
    };
    let pod = world.until("lost", "not ready", unready).await;
    assert_eq!(pod["status"]["phase"], "Running");
    world.delete("lost", None).await;
    let pod = world
        .until("lost", "marked", |pod| pod["metadata"]["deletionTimestamp"].is_string())
        .await;
    assert!(state(&pod)["running"].is_object(), "nobody tells that it ended");
    assert!(processes(&uid) > 0, "its processes go on");
    world.kubelet.node_gone().await.expect("gone");
    world.gone("lost").await;
    assert_eq!(processes(&uid), 0);
}

#[tokio::test]
async fn the_end_of_the_node_is_that_of_its_processes() {
    let world = World::new().await;
    let uid = running(&world, "left").await;
    assert!(processes(&uid) > 0);
    let World { kubelet, server, .. } = world;
    // Whoever holds the node keeps it.
    drop(server);
    drop(kubelet);
    eventually("its processes end", || processes(&uid) == 0).await;
}

#[tokio::test]
async fn an_api_server_that_is_away_hears_of_it_later() {
    let world = World::new().await;
    let uid = running(&world, "meanwhile").await;
    world.server.pause().await;
    world.kubelet.crash_container("default", "meanwhile", "main", 11);
    eventually("its processes end", || processes(&uid) == 0).await;
    world.server.resume().await;
    let pod = world.phase("meanwhile", "Failed").await;
    assert_eq!(state(&pod)["terminated"]["exitCode"], 139);
    world.server.cut_watches();
    running(&world, "afterwards").await;
}
