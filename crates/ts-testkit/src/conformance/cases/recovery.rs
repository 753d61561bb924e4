//! The manager is killed and comes back: adoption, losses, strays, and a submit that was cut off anywhere.

use super::{Behavior, Client, Fixture, gated, metrics, record};
use ts_core::{CancelReason, JournalCursor, TrialRecord, TrialSpec, TrialStatus, WatchRequest};

/// More awaits than any submit has; a submit that goes on for longer never ends.
const MOST_AWAITS: usize = 200;

/// Trials go on without a manager, and what they report meanwhile arrives exactly once by cursor.
pub async fn running_trials_are_adopted_and_lose_nothing(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    if !client.can_recover().await {
        return client.finish().await;
    }
    let mut watch = client.watch();
    let good = client.submit(&gated("go", metrics(0, 2), metrics(2, 3), 0)).await;
    let bad = client.submit(&gated("go", metrics(0, 2), metrics(2, 3), 3)).await;
    let seen_good = watch.until_metrics(&good.id, 2).await;
    let seen_bad = watch.until_metrics(&bad.id, 1).await;
    drop(watch);
    let client = client.crash().await;
    let records = [record(&good, seen_good.cursor()), record(&bad, seen_bad.metrics[0].0)];
    let found = client.recover(&records).await;
    assert_eq!(
        (found.adopted.len(), found.lost.len(), found.strays.len()),
        (2, 0, 0),
        "{found:?}"
    );
    let request = WatchRequest::new()
        .resuming(good.id.clone(), records[0].cursor)
        .resuming(bad.id.clone(), records[1].cursor);
    let mut watch = client.watch_from(request);
    fixture.open_gate("go").await;
    let end = watch.until_end(&good.id).await;
    assert_eq!(end.bodies(), metrics(2, 3));
    assert_eq!(end.status(), Some(TrialStatus::Succeeded));
    let end = watch.until_end(&bad.id).await;
    assert_eq!(end.bodies(), metrics(1, 4));
    assert_eq!(end.status(), Some(TrialStatus::Failed));
    assert!(
        end.why.is_some_and(|why| why.message.contains('3')),
        "the exit code is known"
    );
    client.finish().await;
}

/// An end that nobody watched is a fact all the same.
pub async fn trials_that_ended_meanwhile_are_reported(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    if !client.can_recover().await {
        return client.finish().await;
    }
    let mut watch = client.watch();
    let trial = client.submit(&gated("go", metrics(0, 2), metrics(2, 2), 3)).await;
    let seen = watch.until_metrics(&trial.id, 2).await;
    drop(watch);
    fixture.open_gate("go").await;
    let client = client.crash().await;
    client.until_nothing_runs(&trial.id).await;
    let found = client.recover(&[record(&trial, seen.cursor())]).await;
    assert_eq!(found.adopted, std::slice::from_ref(&trial.id), "{found:?}");
    let mut watch = client.watch_from(WatchRequest::new().resuming(trial.id.clone(), seen.cursor()));
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.bodies(), metrics(2, 2));
    assert_eq!(end.status(), Some(TrialStatus::Failed));
    client.finish().await;
}

/// The intent was stored, then the manager died: no job, no trace, lost.
pub async fn a_trial_that_was_never_submitted_is_lost(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    if !client.can_recover().await {
        return client.finish().await;
    }
    let trial = client.trial(&Behavior::RunUntilCanceled { metrics: Vec::new() });
    let client = client.crash().await;
    let intent = TrialRecord::new(trial.clone(), false, TrialStatus::Waiting, JournalCursor::default());
    let found = client.recover(&[intent]).await;
    assert_eq!(found.lost, std::slice::from_ref(&trial.id), "{found:?}");
    assert!(found.adopted.is_empty() && found.strays.is_empty(), "{found:?}");
    assert!(client.running(&trial.id).await.is_empty());
    client.finish().await;
}

/// A job of the experiment that the store does not know is somebody's work: it is named, and it goes on.
pub async fn strays_are_reported_and_left_alone(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    if !client.can_recover().await {
        return client.finish().await;
    }
    let mut watch = client.watch();
    let trial = client.submit(&gated("go", metrics(0, 1), metrics(1, 1), 0)).await;
    watch.until_metrics(&trial.id, 1).await;
    drop(watch);
    let client = client.crash().await;
    let found = client.recover(&[]).await;
    assert_eq!(found.strays, std::slice::from_ref(&trial.id), "{found:?}");
    assert!(found.adopted.is_empty() && found.lost.is_empty(), "{found:?}");
    assert!(!client.running(&trial.id).await.is_empty(), "a stray was ended unasked");
    let client = client.crash().await;
    let found = client.recover(&[record(&trial, JournalCursor::default())]).await;
    assert_eq!(found.adopted, std::slice::from_ref(&trial.id), "{found:?}");
    let mut watch = client.watch();
    fixture.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.bodies(), metrics(0, 2));
    client.finish().await;
}

/// Looking changes nothing.
pub async fn recovering_twice_finds_the_same(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    if !client.can_recover().await {
        return client.finish().await;
    }
    let mut watch = client.watch();
    let trial = client.submit(&gated("go", metrics(0, 1), metrics(1, 1), 0)).await;
    watch.until_metrics(&trial.id, 1).await;
    drop(watch);
    let client = client.crash().await;
    let known = [record(&trial, JournalCursor::default())];
    let first = client.recover(&known).await;
    assert_eq!(client.recover(&known).await, first);
    let client = client.crash().await;
    assert_eq!(client.recover(&known).await, first);
    let mut watch = client.watch();
    fixture.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.bodies(), metrics(0, 2));
    client.finish().await;
}

/// Adoption is more than looking: the new manager can end what the old one started.
pub async fn an_adopted_trial_can_be_canceled(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    if !client.can_recover().await {
        return client.finish().await;
    }
    let mut watch = client.watch();
    let endless = Behavior::Detach { metrics: metrics(0, 1) };
    let trial = client.submit(&endless).await;
    let seen = watch.until_metrics(&trial.id, 1).await;
    drop(watch);
    let client = client.crash().await;
    client.recover(&[record(&trial, seen.cursor())]).await;
    client.cancel(&trial.id, CancelReason::EarlyStop).await;
    let mut watch = client.watch();
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::EarlyStopped));
    client.until_nothing_runs(&trial.id).await;
    client.finish().await;
}

/// The request is dropped at its first, second, … await, then sent again: one job.
pub async fn a_submit_dropped_anywhere_and_repeated_makes_one_job(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    for n in 0.. {
        assert!(n < MOST_AWAITS, "a submit did not end after {n} awaits");
        let (trial, gate) = reporting(&client, n);
        let ended = client.submit_dropped_at(&trial, n).await;
        client.submit_spec(&trial).await;
        watch.until_metrics(&trial.id, 1).await;
        fixture.open_gate(&gate).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.bodies(), metrics(n, 2), "dropped at await {n}");
        if ended {
            break;
        }
    }
    client.finish().await;
}

/// The manager dies at the submit's first, second, … await: the trial is found, or it is lost and submitted again.
pub async fn a_submit_dropped_by_a_crash_is_found_or_lost_never_doubled(fixture: &dyn Fixture) {
    let mut client = Client::start(fixture).await;
    if !client.can_recover().await {
        return client.finish().await;
    }
    let mut known: Vec<TrialRecord> = Vec::new();
    for n in 0.. {
        assert!(n < MOST_AWAITS, "a submit did not end after {n} awaits");
        let (trial, gate) = reporting(&client, n);
        let ended = client.submit_dropped_at(&trial, n).await;
        client = client.crash().await;
        known.push(TrialRecord::new(
            trial.clone(),
            false,
            TrialStatus::Waiting,
            JournalCursor::default(),
        ));
        let found = client.recover(&known).await;
        let adopted = found.adopted.contains(&trial.id);
        assert_ne!(adopted, found.lost.contains(&trial.id), "adopted or lost: {found:?}");
        assert!(adopted || !ended, "a submitted trial was lost");
        if !adopted {
            client.submit_spec(&trial).await;
        }
        let mut watch = client.watch();
        watch.until_metrics(&trial.id, 1).await;
        fixture.open_gate(&gate).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.bodies(), metrics(n, 2), "crashed at await {n}");
        if ended {
            break;
        }
    }
    client.finish().await;
}

/// A trial that reports once at its start, so that a second job would show, and once behind its own gate.
fn reporting(client: &Client<'_>, n: usize) -> (TrialSpec, String) {
    let gate = format!("go{n}");
    let trial = client.trial(&gated(&gate, metrics(n, 1), metrics(n + 1, 1), 0));
    (trial, gate)
}
