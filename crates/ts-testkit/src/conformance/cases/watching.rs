//! The stream: many watchers, resuming, synchronization, dropping.

use super::{Behavior, Client, Fixture, gated, metrics};
use ts_core::{Event, TrialStatus, WatchRequest};

/// Watching takes nothing away from another watcher.
pub async fn two_watchers_see_the_same(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let (mut one, mut other) = (client.watch(), client.watch());
    let trial = client.submit(&gated("go", metrics(0, 2), metrics(2, 2), 3)).await;
    one.until_metrics(&trial.id, 2).await;
    other.until_metrics(&trial.id, 2).await;
    fixture.open_gate("go").await;
    let (first, second) = (one.until_end(&trial.id).await, other.until_end(&trial.id).await);
    assert_eq!(first.metrics, second.metrics);
    assert_eq!(first.bodies(), metrics(0, 4));
    assert_eq!(first.status(), second.status());
    assert_eq!(first.why, second.why);
    client.finish().await;
}

/// A watch that goes on at a cursor yields exactly what is behind it.
pub async fn a_resumed_watch_repeats_nothing_before_its_cursor(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated("go", metrics(0, 3), metrics(3, 2), 0)).await;
    let cursor = watch.until_metrics(&trial.id, 2).await.metrics[1].0;
    let mut resumed = client.watch_from(WatchRequest::new().resuming(trial.id.clone(), cursor));
    assert_eq!(resumed.until_metrics(&trial.id, 1).await.bodies()[0], metrics(2, 1)[0]);
    fixture.open_gate("go").await;
    let all = watch.until_end(&trial.id).await;
    let rest = resumed.until_end(&trial.id).await;
    assert_eq!(all.bodies(), metrics(0, 5));
    assert_eq!(rest.metrics, all.metrics[2..]);
    let mut late = client.watch_from(WatchRequest::new().resuming(trial.id.clone(), all.cursor()));
    let end = late.until_end(&trial.id).await;
    assert_eq!((end.metrics.len(), end.status()), (0, Some(TrialStatus::Succeeded)));
    client.finish().await;
}

/// A metric has the same cursor whenever it is read, also after the end.
pub async fn a_watch_from_zero_repeats_all_with_the_same_cursors(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated("go", metrics(0, 3), metrics(3, 1), 0)).await;
    watch.until_metrics(&trial.id, 3).await;
    let mut during = client.watch();
    let repeated = during.until_metrics(&trial.id, 3).await;
    assert_eq!(repeated.metrics, watch.of(&trial.id).metrics);
    fixture.open_gate("go").await;
    let all = watch.until_end(&trial.id).await;
    assert_eq!(during.until_end(&trial.id).await.metrics, all.metrics);
    let mut after = client.watch();
    let again = after.until_end(&trial.id).await;
    assert_eq!((&again.metrics, again.status()), (&all.metrics, all.status()));
    client.finish().await;
}

/// A watcher learns of every live trial before `Synced`, which then does not come again while nothing goes wrong.
pub async fn synced_comes_once_and_after_the_live_trials(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    watch.until_synced().await;
    assert_eq!(watch.events(), [Event::Synced], "nothing has happened yet");
    let first = client.submit(&gated("go", metrics(0, 1), Vec::new(), 0)).await;
    let second = client.submit(&gated("go", metrics(0, 1), Vec::new(), 0)).await;
    for trial in [&first, &second] {
        watch.until_status(&trial.id, TrialStatus::Running).await;
    }
    let mut late = client.watch();
    late.until_synced().await;
    for trial in [&first, &second] {
        assert!(
            late.of(&trial.id).status().is_some(),
            "`Synced` came before `{}`",
            trial.id
        );
    }
    fixture.open_gate("go").await;
    for watch in [&mut watch, &mut late] {
        watch.until_end(&first.id).await;
        watch.until_end(&second.id).await;
        assert_eq!(watch.n_synced(), 1);
    }
    client.finish().await;
}

/// Whoever stops watching stops watching, and nothing else stops.
pub async fn a_dropped_watch_does_no_harm(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let trial = client.submit(&gated("go", metrics(0, 1), metrics(1, 1), 0)).await;
    drop(client.watch());
    for n in 1..4 {
        let mut brief = client.watch();
        brief
            .until(&format!("{n} events"), |seen| seen.events().len() >= n)
            .await;
    }
    let mut watch = client.watch();
    watch.until_metrics(&trial.id, 1).await;
    drop(watch);
    fixture.open_gate("go").await;
    let other = Behavior::Exit {
        metrics: metrics(5, 1),
        code: 0,
    };
    let other = client.submit(&other).await;
    let mut watch = client.watch();
    assert_eq!(watch.until_end(&trial.id).await.bodies(), metrics(0, 2));
    assert_eq!(watch.until_end(&other.id).await.bodies(), metrics(5, 1));
    client.finish().await;
}
