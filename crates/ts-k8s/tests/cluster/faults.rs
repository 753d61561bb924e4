//! What the tests of faults share: trials that are hurt in the middle and must lose nothing, and the manager that may die of it.

use crate::{variants::Jobs, world};
use std::{ops::Range, time::Duration};
use ts_core::{
    Clock as _, JournalCursor, LogKind, ReasonCode, SystemClock, TrialId, TrialRecord, TrialSpec, TrialStatus,
    WatchRequest,
};
use ts_testkit::conformance::{Behavior, Client, DEADLINE, Fixture as _, History, Observer, stamped_processes};

/// Faults are tried on plain jobs.
pub(crate) type World = world::World<Jobs>;

/// So many metrics, by number.
pub(crate) fn metrics(numbers: Range<usize>) -> Vec<String> {
    let metric = |n| format!(r#"{{"type": "PERIODICAL", "sequence": {n}, "value": "0.{n}"}}"#);
    numbers.map(metric).collect()
}

/// Two metrics, then a gate, then two more.
pub(crate) fn gated(code: u8) -> Behavior {
    Behavior::Gated {
        gate: "go".to_owned(),
        before: metrics(0..2),
        after: metrics(2..4),
        code,
    }
}

/// What a store knows of a trial that was read so far.
pub(crate) fn record(trial: &TrialSpec, cursor: JournalCursor) -> TrialRecord {
    TrialRecord::new(trial.clone(), true, TrialStatus::Waiting, cursor)
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let clock = SystemClock::new();
    let waited = tokio::time::timeout(DEADLINE, async {
        while !is_so() {
            clock.sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "waiting for {what}: not within {DEADLINE:?}");
}

/// Waits until nothing of the experiment runs.
pub(crate) async fn until_nothing_runs(world: &World) {
    until("the end of all processes", || {
        stamped_processes(&world.spec.id, None).is_empty()
    })
    .await;
}

/// Name of the only pod of a trial.
pub(crate) fn pod_of(world: &World, trial: &TrialId) -> String {
    let pods = world.server.objects("pods");
    let pod = pods
        .iter()
        .find(|pod| pod["metadata"]["labels"]["trialId"] == trial.as_str())
        .unwrap_or_else(|| panic!("no pod of `{trial}` among {pods:#?}"));
    pod["metadata"]["name"].as_str().expect("a name").to_owned()
}

/// Reads until a trial's reason is of this code, and gives its text.
pub(crate) async fn until_reason(watch: &mut Observer, trial: &TrialId, code: ReasonCode) -> String {
    let why = |watch: &Observer| watch.of(trial).why.filter(|why| why.code == code);
    watch
        .until(&format!("`{trial}` to say {code:?}"), |watch| why(watch).is_some())
        .await;
    why(watch).expect("just seen").message
}

fn assert_whole(end: &History, all: &[String], status: TrialStatus) {
    assert_eq!(end.bodies(), all, "the metrics, each once and in order");
    assert_eq!(end.status(), Some(status), "{end:?}");
    if status == TrialStatus::Failed {
        let why = end.why.as_ref().map(|why| why.message.as_str()).unwrap_or_default();
        assert!(why.contains('3'), "the exit code is known: {why:?}");
    }
}

/// Two trials, one good, one bad, are hurt while they run: they go on, lose nothing, say how they ended, and leave nothing.
pub(crate) async fn goes_on(world: World, fault: impl AsyncFnOnce(&World)) {
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let (good, bad) = (client.submit(&gated(0)).await, client.submit(&gated(3)).await);
    for trial in [&good, &bad] {
        watch.until_metrics(&trial.id, 2).await;
    }
    fault(&world).await;
    world.open_gate("go").await;
    let end = watch.until_end(&good.id).await;
    assert_whole(&end, &metrics(0..4), TrialStatus::Succeeded);
    let end = watch.until_end(&bad.id).await;
    assert_whole(&end, &metrics(0..4), TrialStatus::Failed);
    client.finish().await;
}

/// The same, and the manager is killed in the middle of the fault; another one takes the trials up.
pub(crate) async fn goes_on_without_its_manager(world: World, fault: impl AsyncFnOnce(&World)) {
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let (good, bad) = (client.submit(&gated(0)).await, client.submit(&gated(3)).await);
    let cursor = watch.until_metrics(&good.id, 2).await.cursor();
    let first = watch.until_metrics(&bad.id, 1).await.metrics[0].0;
    drop(watch);
    // `crash` makes the next manager, too, whose first requests meet what the fault has left.
    fault(&world).await;
    let client = client.crash().await;
    let records = [record(&good, cursor), record(&bad, first)];
    let found = client.recover(&records).await;
    assert_eq!((found.adopted.len(), found.lost.len()), (2, 0), "{found:?}");
    let request = WatchRequest::new()
        .resuming(good.id.clone(), cursor)
        .resuming(bad.id.clone(), first);
    let mut watch = client.watch_from(request);
    world.open_gate("go").await;
    let end = watch.until_end(&good.id).await;
    assert_whole(&end, &metrics(2..4), TrialStatus::Succeeded);
    let end = watch.until_end(&bad.id).await;
    assert_whole(&end, &metrics(1..4), TrialStatus::Failed);
    client.finish().await;
}

/// The manager is killed, if it is to die; the next one takes this trial up, and watches from the beginning.
pub(crate) async fn reborn<'a>(
    dies: bool,
    client: Client<'a>,
    watch: Observer,
    trial: &TrialSpec,
) -> (Client<'a>, Observer) {
    if !dies {
        return (client, watch);
    }
    drop(watch);
    let client = client.crash().await;
    let found = client.recover(&[record(trial, JournalCursor::default())]).await;
    assert_eq!(found.adopted, std::slice::from_ref(&trial.id), "{found:?}");
    let watch = client.watch();
    (client, watch)
}

/// What a trial has printed so far, as it was seen.
pub(crate) fn printed(seen: &History, kind: LogKind) -> String {
    let bytes = seen.logs.get(&kind).cloned().unwrap_or_default();
    String::from_utf8(bytes).expect("text")
}
