//! Metrics that no log can tell any more are read from the storage, each once, before the trial's end is told.

use crate::stored::Stored;
use ts_core::{TrialRecord, TrialSpec, TrialStatus, WatchRequest};
use ts_k8s_testkit::{Fault, Matcher};
use ts_testkit::conformance::{Behavior, Client, Fixture as _, History};

fn bodies(values: std::ops::Range<u32>) -> Vec<String> {
    values.map(|n| format!(r#"{{"value": {n}}}"#)).collect()
}

fn gated() -> Behavior {
    Behavior::Gated {
        gate: "g".to_owned(),
        before: bodies(0..2),
        after: bodies(2..4),
        code: 0,
    }
}

/// The manager comes back and goes on from what it had seen, to the trial's end.
async fn back(client: &Client<'_>, trial: &TrialSpec, seen: &History) -> History {
    let mut watch = client.watch_from(WatchRequest::new().resuming(trial.id.clone(), seen.cursor()));
    let record = TrialRecord::new(trial.clone(), true, TrialStatus::Running, seen.cursor());
    let recovered = client.recover(&[record]).await;
    assert_eq!(recovered.adopted, std::slice::from_ref(&trial.id));
    watch.until_end(&trial.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_was_away_for_longer_than_the_pod_lived_has_all_metrics_and_the_end() {
    let world = Stored::fresh().await;
    let client = Client::start(&world).await;
    let trial = client.submit(&gated()).await;
    let seen = client.watch().until_metrics(&trial.id, 2).await;
    let client = client.crash().await;
    world.open_gate("g").await;
    world.until_pods(1, &["Succeeded"]).await;
    world.remove_trials().await;
    let client = client.crash().await;
    let history = back(&client, &trial, &seen).await;
    assert_eq!(history.bodies(), bodies(2..4));
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{:?}", history.why);
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_dies_again_and_again_counts_nothing_twice() {
    let world = Stored::fresh().await;
    let client = Client::start(&world).await;
    let trial = client.submit(&gated()).await;
    let mut seen = client.watch().until_metrics(&trial.id, 2).await;
    let mut client = client.crash().await;
    world.open_gate("g").await;
    world.until_pods(1, &["Succeeded"]).await;
    world.remove_trials().await;
    for n in [1, 0] {
        client = client.crash().await;
        let mut watch = client.watch_from(WatchRequest::new().resuming(trial.id.clone(), seen.cursor()));
        let record = TrialRecord::new(trial.clone(), true, TrialStatus::Running, seen.cursor());
        client.recover(&[record]).await;
        if n > 0 {
            seen = watch.until_metrics(&trial.id, n).await;
            assert_eq!(seen.bodies()[..1], bodies(2..3)[..]);
            seen.metrics.truncate(1);
        } else {
            let history = watch.until_end(&trial.id).await;
            assert_eq!(history.bodies(), bodies(3..4));
        }
    }
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_log_has_told_comes_from_the_storage_when_the_pod_is_deleted() {
    let world = Stored::fresh().await;
    let unreadable = Fault::Status {
        code: 500,
        retry_after: None,
    };
    world
        .world
        .server
        .fault(Matcher::any().resource("pods/log"), unreadable, usize::MAX);
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let mut trial = client.trial(&Behavior::RunUntilCanceled { metrics: bodies(0..3) });
    let mark = world.world.path("gates/written");
    trial.command = trial.command.replace(
        "while :",
        &format!("echo loud >&2; true >'{}'; while :", mark.display()),
    );
    client.submit_spec(&trial).await;
    crate::stored::eventually("the trial's metrics", async || mark.exists()).await;
    world.remove_trials().await;
    world.world.server.clear_faults();
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), bodies(0..3));
    assert_ne!(history.status(), Some(TrialStatus::Succeeded));
    let stderr = std::fs::read_to_string(world.world.path("work/trials").join(trial.id.as_str()).join("stderr"));
    // Its shell may tell that it was ended.
    assert!(stderr.expect("a log").starts_with("loud\n"));
    // The object of a pod that is removed at once goes before its processes.
    client.until_nothing_runs(&trial.id).await;
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_for_the_storage_that_cannot_run_yet_is_waited_for() {
    let world = Stored::fresh().await;
    let client = Client::start(&world).await;
    let trial = client.submit(&gated()).await;
    let seen = client.watch().until_metrics(&trial.id, 2).await;
    let client = client.crash().await;
    world.open_gate("g").await;
    world.until_pods(1, &["Succeeded"]).await;
    world.remove_trials().await;
    let client = client.crash().await;
    world.world.kubelet.missing_image("local/busybox:1");
    let is_missing = |event: &serde_json::Value| {
        let name = event["involvedObject"]["name"].as_str().unwrap_or_default();
        event["reason"] == "Failed" && name.contains("stager")
    };
    let provided = async {
        crate::stored::eventually("a pod without its image", async || {
            world.world.server.objects("events").iter().any(is_missing)
        })
        .await;
        world.world.kubelet.provide_image("local/busybox:1");
    };
    let (history, ()) = tokio::join!(back(&client, &trial, &seen), provided);
    assert_eq!(history.bodies(), bodies(2..4));
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{:?}", history.why);
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pod_of_a_trial_has_a_journal_of_its_own() {
    let world = Stored {
        replicas: 2,
        ..Stored::fresh().await
    };
    let client = Client::start(&world).await;
    let trial = client.submit(&gated()).await;
    let seen = client.watch().until_metrics(&trial.id, 4).await;
    let client = client.crash().await;
    world.open_gate("g").await;
    world.until_pods(2, &["Succeeded"]).await;
    world.remove_trials().await;
    let client = client.crash().await;
    let history = back(&client, &trial, &seen).await;
    let mut all: Vec<&str> = history.bodies();
    all.sort_unstable();
    let expected: Vec<String> = bodies(2..4).into_iter().flat_map(|body| [body.clone(), body]).collect();
    assert_eq!(all, expected);
    client.finish().await;
}
