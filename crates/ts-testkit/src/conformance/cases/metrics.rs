//! Metrics: in order, complete, byte for byte; and logs.

use super::{Behavior, Client, Fixture, gated, metrics};
use futures_util::{StreamExt, future::join_all};
use ts_core::{LogKind, Support, TrialStatus, WatchRequest};

fn exit(metrics: Vec<String>, code: u8) -> Behavior {
    Behavior::Exit { metrics, code }
}

/// Two hundred metrics of one trial; the observer checks that the cursors grow.
pub async fn metrics_arrive_in_order_with_growing_cursors(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated("go", metrics(0, 100), metrics(100, 100), 0)).await;
    watch.until_metrics(&trial.id, 100).await;
    fixture.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), metrics(0, 200));
    client.finish().await;
}

/// The payload is opaque: quotes, escapes, text beyond ASCII and values that are no JSON survive.
pub async fn metrics_arrive_byte_for_byte(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let bodies: Vec<String> = [
        r#"{"type": "PERIODICAL", "sequence": 0, "value": "{\"default\": 1, \"x\": NaN, \"k\": \"it's\"}"}"#,
        r#"{"type": "PERIODICAL", "sequence": 1, "value": "\"$HOME `id` %s \\u00e9 é 漢; exit 1\""}"#,
        r#"{"type":"FINAL","sequence":0,"value":"-Infinity"}"#,
    ]
    .map(str::to_owned)
    .into();
    let trial = client.submit(&exit(bodies.clone(), 0)).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), bodies);
    client.finish().await;
}

/// The last metric and the end come close together, and the metric first.
pub async fn a_metric_just_before_the_exit_is_not_lost(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    for _ in 0..10 {
        let trial = client.submit(&exit(metrics(0, 1), 0)).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.bodies(), metrics(0, 1));
    }
    client.finish().await;
}

/// A crash of the trial does not take its metrics along.
pub async fn metrics_of_a_failed_trial_are_not_lost(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trial = client.submit(&exit(metrics(0, 3), 1)).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Failed));
    assert_eq!(history.bodies(), metrics(0, 3));
    client.finish().await;
}

/// NNI loses 26 of 64 final metrics here; none may be lost.
pub async fn many_fast_trials_lose_nothing(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trials: Vec<_> = (0..64).map(|n| client.trial(&exit(metrics(n, 1), 0))).collect();
    join_all(trials.iter().map(|trial| client.submit_spec(trial))).await;
    for (n, trial) in trials.iter().enumerate() {
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.bodies(), metrics(n, 1), "{}", trial.id);
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{}", trial.id);
    }
    client.finish().await;
}

/// Logs are complete when asked for, or refused with the reason that the capability gives.
pub async fn logs_come_on_request_or_are_refused(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let trial = client.trial(&Behavior::Log {
        stdout: "to standard output".into(),
        stderr: "to standard error".into(),
    });
    let request = WatchRequest::new()
        .with_log(trial.id.clone(), LogKind::Stdout)
        .with_log(trial.id.clone(), LogKind::Stderr);
    match client.service.capabilities().logs {
        Support::No(reason) => {
            let mut stream = client.service.watch(request);
            let first = super::within("watch", stream.next()).await.expect("a refusal");
            super::assert_refused("watch with logs", first, reason);
            let second = super::within("watch", stream.next()).await;
            assert!(second.is_none(), "a final error ends the stream, but {second:?} came");
        }
        Support::Yes => {
            let mut watch = client.watch_from(request);
            client.submit_spec(&trial).await;
            let history = watch.until_end(&trial.id).await;
            assert_eq!(history.logs[&LogKind::Stdout], b"to standard output\n");
            assert_eq!(history.logs[&LogKind::Stderr], b"to standard error\n");
            let mut without = client.watch();
            assert!(
                without.until_end(&trial.id).await.logs.is_empty(),
                "nobody asked for logs"
            );
        }
    }
    client.finish().await;
}
