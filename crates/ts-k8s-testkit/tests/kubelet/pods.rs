//! Pods that run, fail, are started again, lack something, and are deleted.

use crate::world::{World, eventually, never, query, shell, state};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::{Value, json};
use std::fs;
use ts_k8s_testkit::Node;

const MAIN: &[(&str, &str)] = &[("container", "main")];

#[tokio::test]
async fn a_pod_runs_to_its_end() {
    let world = World::new().await;
    let mut spec = never(shell("echo out; echo err >&2; printf end"));
    spec["initContainers"] = json!([{"name": "first", "image": "i:1", "command": ["sh", "-c", "echo first"]}]);
    world.create("ok", spec).await;
    let pod = world.phase("ok", "Succeeded").await;
    assert_eq!(state(&pod)["terminated"]["exitCode"], 0);
    assert_eq!(state(&pod)["terminated"]["reason"], "Completed");
    assert_eq!(pod["status"]["conditions"].as_array().map(Vec::len), Some(4));
    assert_eq!(pod["spec"]["nodeName"], "n1");
    assert_eq!(
        world.log("ok", &[("container", "first")]).await.as_deref(),
        Ok("first\n")
    );
    let text = world.log("ok", MAIN).await.expect("a log");
    assert!(
        matches!(text.as_str(), "out\nerr\nend" | "err\nout\nend" | "out\nenderr\n"),
        "{text}"
    );
    world.event("ok", "Scheduled").await;
    world.event("ok", "Started").await;
    world.delete("ok", None).await;
    world.gone("ok").await;
    let pods = world.dir.path().join("pods");
    eventually("its folder is gone", || {
        fs::read_dir(&pods).expect("a folder").count() == 0
    })
    .await;
}

#[tokio::test]
async fn failures() {
    let world = World::new().await;
    for (name, container, code, reason) in [
        ("bad", shell("exit 3"), 3, "Error"),
        // A command has its `$$` replaced by one dollar sign.
        ("signal", shell("kill -s SEGV $$$$"), 139, "Error"),
        (
            "absent",
            json!({"name": "main", "image": "i:1", "command": ["nothere"]}),
            128,
            "StartError",
        ),
    ] {
        world.create(name, never(container)).await;
        let pod = world.phase(name, "Failed").await;
        assert_eq!(
            (
                &state(&pod)["terminated"]["exitCode"],
                &state(&pod)["terminated"]["reason"]
            ),
            (&code.into(), &reason.into())
        );
    }
    let mut spec = never(shell("true"));
    spec["initContainers"] = json!([{"name": "first", "image": "i:1", "command": ["false"]}]);
    world.create("init", spec).await;
    world.phase("init", "Failed").await;
    let why = "container \"main\" in pod \"init\" is waiting to start: PodInitializing";
    assert_eq!(world.log("init", MAIN).await, Err((400, why.to_owned())));
}

#[tokio::test]
async fn restarts() {
    let world = World::new().await;
    let mut spec = never(shell("exit 4"));
    spec["restartPolicy"] = "OnFailure".into();
    world.create("crash", spec).await;
    let pod = world.waits("crash", "CrashLoopBackOff").await;
    assert_eq!(pod["status"]["phase"], "Running");
    let often = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(2);
    world.until("crash", "restarted", often).await;
    world.event("crash", "BackOff").await;

    let mut spec = never(shell("echo $$$$; if mkdir /v/once; then exit 4; fi; sleep 600"));
    spec["restartPolicy"] = "OnFailure".into();
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    world.create("again", spec).await;
    let again =
        |pod: &Value| state(pod)["running"].is_object() && pod["status"]["containerStatuses"][0]["restartCount"] == 1;
    world.until("again", "running again", again).await;
    let previous = world
        .log("again", &[("container", "main"), ("previous", "true")])
        .await
        .expect("a log");
    // The second one writes before it sleeps.
    let mut log = world.kubelet.log(
        &world.reference("again").await,
        &query(&[("container", "main"), ("follow", "true")]),
    );
    let first = log.as_mut().expect("a log").next().await.expect("a line");
    assert_ne!(previous.as_bytes(), first);
}

#[tokio::test]
async fn what_is_missing() {
    let world = World::new().await;
    world.kubelet.missing_image("gone:1");
    world
        .create(
            "image",
            never(json!({"name": "main", "image": "gone:1", "command": ["true"]})),
        )
        .await;
    world.waits("image", "ErrImagePull").await;
    world.waits("image", "ImagePullBackOff").await;
    world.event("image", "Failed").await;
    assert_eq!(world.log("image", MAIN).await.map_err(|(code, _)| code), Err(400));
    world.kubelet.provide_image("gone:1");
    world.phase("image", "Succeeded").await;
    world
        .create(
            "name",
            never(json!({"name": "main", "image": "BAD/x", "command": ["true"]})),
        )
        .await;
    world.waits("name", "InvalidImageName").await;

    let mut spec = never(shell("cat /v/k"));
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    spec["volumes"] = json!([{"name": "v", "configMap": {"name": "late"}}]);
    world.create("mount", spec).await;
    let event = world.event("mount", "FailedMount").await;
    let message = "MountVolume.SetUp failed for volume \"v\" : configmap \"late\" not found";
    assert_eq!(event.message.as_deref(), Some(message));
    assert_eq!(
        world.waits("mount", "ContainerCreating").await["status"]["phase"],
        "Pending"
    );
    world
        .put::<ConfigMap>(json!({"metadata": {"name": "late"}, "data": {"k": "1"}}))
        .await;
    world.phase("mount", "Succeeded").await;

    let mut spec = never(shell("test $S = 1"));
    spec["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "late"}}]);
    world.create("env", spec).await;
    let pod = world.waits("env", "CreateContainerConfigError").await;
    assert_eq!(state(&pod)["waiting"]["message"], "secret \"late\" not found");
    world
        .put::<Secret>(json!({"metadata": {"name": "late"}, "data": {"S": "MQ=="}}))
        .await;
    world.phase("env", "Succeeded").await;
}

#[tokio::test]
async fn deletion() {
    let world = World::new().await;
    let script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done";
    world.create("polite", never(shell(script))).await;
    world.phase("polite", "Running").await;
    let reference = world.reference("polite").await;
    let follow = query(&[("container", "main"), ("follow", "true")]);
    let mut log = world.kubelet.log(&reference, &follow).expect("a log");
    assert_eq!(log.next().await.as_deref(), Some(b"up\n".as_slice()));
    world.delete("polite", Some(60)).await;
    assert_eq!(log.next().await.as_deref(), Some(b"bye\n".as_slice()));
    assert_eq!(log.next().await, None);
    world.gone("polite").await;
    eventually("the node has forgotten it", || {
        world
            .kubelet
            .log(&reference, &follow)
            .is_err_and(|(code, _)| code == 404)
    })
    .await;

    // The first process of a container does not get a signal that it does not handle.
    world.create("deaf", never(shell("sleep 600 & sleep 601"))).await;
    world.phase("deaf", "Running").await;
    world.delete("deaf", None).await;
    let pod = world
        .until("deaf", "killed", |pod| {
            pod.is_null() || state(pod)["terminated"].is_object()
        })
        .await;
    assert!(pod.is_null() || state(&pod)["terminated"]["exitCode"] == 137, "{pod:#}");
    world.gone("deaf").await;
}

#[tokio::test]
async fn a_deadline() {
    let world = World::new().await;
    let mut spec = never(shell("sleep 600"));
    spec["activeDeadlineSeconds"] = 1.into();
    world.create("late", spec).await;
    let pod = world.phase("late", "Failed").await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    let pod = world
        .until("late", "killed", |pod| state(pod)["terminated"].is_object())
        .await;
    assert_eq!(state(&pod)["terminated"]["exitCode"], 137);
}
