//! Cancelling: every reason, every state of the trial, and every process of it.

use super::{Behavior, Client, Fixture, metrics};
use ts_core::{CancelReason, ReasonCode, Support, TrialId, TrialStatus, Verdict};

fn endless(n_metrics: usize) -> Behavior {
    Behavior::RunUntilCanceled {
        metrics: metrics(0, n_metrics),
    }
}

/// The reason of the request decides the status and the reason of the end.
pub async fn a_running_trial_ends_with_the_status_of_the_reason(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    for (why, status, code) in [
        (CancelReason::User, TrialStatus::UserCanceled, ReasonCode::Canceled),
        (
            CancelReason::EarlyStop,
            TrialStatus::EarlyStopped,
            ReasonCode::EarlyStopped,
        ),
        (
            CancelReason::TimeLimit,
            TrialStatus::EarlyStopped,
            ReasonCode::TimeLimit,
        ),
        (CancelReason::Shutdown, TrialStatus::UserCanceled, ReasonCode::Canceled),
    ] {
        let trial = client.submit(&endless(1)).await;
        watch.until_metrics(&trial.id, 1).await;
        client.cancel(&trial.id, why).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(status), "{why:?}");
        let reason = history.why.expect("an end on request has a reason");
        assert_eq!(reason.code, code, "{why:?}: {reason:?}");
        assert_eq!(reason.code.verdict(), Some(Verdict::Canceled));
    }
    client.finish().await;
}

/// What never ran never runs. Where trials never wait, a cancel right behind the submit still ends the trial as canceled.
pub async fn a_waiting_trial_ends_without_having_run(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let waits = fixture.hold_queue(true).await;
    for (why, status) in [
        (CancelReason::User, TrialStatus::UserCanceled),
        (CancelReason::EarlyStop, TrialStatus::EarlyStopped),
    ] {
        let trial = client.submit(&endless(1)).await;
        if waits == Support::Yes {
            let waiting = watch.until_status(&trial.id, TrialStatus::Waiting).await;
            let reason = waiting.why.expect("a trial that waits says for what");
            assert!(
                reason.code.verdict().is_none() && !reason.message.is_empty(),
                "{reason:?}"
            );
        }
        client.cancel(&trial.id, why).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(status), "{why:?}");
        if waits == Support::Yes {
            assert!(!history.statuses.contains(&TrialStatus::Running), "{history:?}");
            assert!(history.metrics.is_empty(), "{history:?}");
        }
        client.until_nothing_runs(&trial.id).await;
    }
    fixture.hold_queue(false).await;
    client.finish().await;
}

/// Asking again changes nothing.
pub async fn canceling_twice_is_canceling_once(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trial = client.submit(&endless(1)).await;
    watch.until_metrics(&trial.id, 1).await;
    client.cancel(&trial.id, CancelReason::EarlyStop).await;
    client.cancel(&trial.id, CancelReason::EarlyStop).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::EarlyStopped));
    client.cancel(&trial.id, CancelReason::User).await;
    let mut after = client.watch();
    let end = after.until_end(&trial.id).await;
    assert_eq!(
        end.status(),
        Some(TrialStatus::EarlyStopped),
        "a later request rewrote the end"
    );
    client.finish().await;
}

/// Nothing was left to stop, and that is no error.
pub async fn canceling_what_ended_or_never_was_is_fine(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let quick = Behavior::Exit {
        metrics: metrics(0, 1),
        code: 0,
    };
    let trial = client.submit(&quick).await;
    watch.until_end(&trial.id).await;
    client.cancel(&trial.id, CancelReason::User).await;
    let mut after = client.watch();
    let end = after.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "a fact was rewritten");
    let never = TrialId::new("never").expect("a legal id");
    client.cancel(&never, CancelReason::User).await;
    client.finish().await;
}

/// Ignoring the request helps for the grace only.
pub async fn a_stubborn_trial_is_ended_after_the_grace(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let stubborn = Behavior::IgnoreTerm { metrics: metrics(0, 1) };
    let trial = client.submit(&stubborn).await;
    watch.until_metrics(&trial.id, 1).await;
    client.cancel(&trial.id, CancelReason::User).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::UserCanceled));
    client.until_nothing_runs(&trial.id).await;
    client.finish().await;
}

/// A process that left session and process group is still the trial's.
pub async fn the_whole_tree_is_dead_after_a_cancel(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let detaching = Behavior::Detach { metrics: metrics(0, 1) };
    let trial = client.submit(&detaching).await;
    watch.until_metrics(&trial.id, 1).await;
    assert!(
        !client.running(&trial.id).await.is_empty(),
        "the fixture does not see what runs"
    );
    client.cancel(&trial.id, CancelReason::User).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::UserCanceled));
    client.until_nothing_runs(&trial.id).await;
    client.finish().await;
}

/// What the trial had reported counts, however it ended.
pub async fn metrics_before_a_cancel_are_not_lost(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trial = client.submit(&endless(20)).await;
    watch.until_metrics(&trial.id, 20).await;
    client.cancel(&trial.id, CancelReason::EarlyStop).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), metrics(0, 20));
    let mut after = client.watch();
    assert_eq!(after.until_end(&trial.id).await.metrics, history.metrics);
    client.finish().await;
}
