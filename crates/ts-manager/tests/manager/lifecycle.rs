//! Runs without a crash.

use crate::world::{World, limits, within};
use std::{collections::HashSet, sync::Arc, time::Duration};
use ts_core::{Clock as _, ReasonCode, TrialStatus};
use ts_manager::{
    RetryRules,
    control::Request,
    store::{ExperimentStatus, Limits},
};
use ts_testkit::TestClock;

#[tokio::test]
async fn every_trial_runs_once_with_its_own_parameters_and_the_best_is_known() {
    let world = World::new("intermediate 0.1; final 0.5; exit 0", limits(3, 10));
    let outcome = world.run().await;
    assert_eq!(outcome.status, ExperimentStatus::Done, "{:?}", outcome.message);
    assert_eq!(
        (
            outcome.snapshot.succeeded,
            outcome.snapshot.ended(),
            outcome.snapshot.created
        ),
        (10, 10, 10)
    );
    assert_eq!(outcome.snapshot.best.map(|(value, _)| value), Some(0.5));
    let trials = world.trials();
    assert_eq!(
        trials.iter().map(|t| t.spec.sequence_id).collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    );
    let texts: HashSet<_> = trials.iter().map(|t| t.spec.parameters.text.clone()).collect();
    assert_eq!(texts.len(), 10);
    for trial in &trials {
        assert!(trial.submitted && trial.ended_at.is_some());
        assert_eq!(trial.final_value.as_deref(), Some("0.5"));
        let metrics = world.reader().metrics(&trial.spec.id, None).unwrap();
        assert_eq!(metrics.len(), 2, "{metrics:?}");
    }
}

#[tokio::test]
async fn a_failing_trial_does_not_end_the_experiment_and_a_hopeless_command_does() {
    let world = World::new("exit 3", limits(2, 8));
    assert_eq!(world.run().await.status, ExperimentStatus::Done);
    assert_eq!(world.statuses(), [("FAILED", 8)].into());
    let reason = world.trials()[0].reason.clone().unwrap();
    assert_eq!(reason.code, ReasonCode::ExitCode);

    let world = World::new("no-such-command", limits(2, 100));
    let outcome = world.run().await;
    assert_eq!(outcome.status, ExperimentStatus::Error);
    assert!(outcome.message.unwrap().contains("could not run"));
    assert!(world.trials().len() < 10, "{:?}", world.statuses());
    assert!(world.trials().iter().all(|t| t.status.is_terminal()));
}

#[tokio::test]
async fn a_lost_trial_runs_again_and_the_user_can_ask_for_more_attempts() {
    let mut world = World::new("wait", limits(1, 1));
    world.retry = RetryRules {
        platform: 1,
        ..RetryRules::default()
    };
    let manager = world.manager();
    let test = async {
        let first = world.trial_in(TrialStatus::Running).await;
        world.cluster.lose(&first).unwrap();
        world.trial_in(TrialStatus::SysCanceled).await;
        let second = world.trial_in(TrialStatus::Running).await;
        assert_ne!(first, second);
        world.cluster.finish(&second, 0).unwrap();
    };
    let (outcome, ()) = within(async { tokio::join!(manager.run(), test) }).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.status, outcome.snapshot.created), (ExperimentStatus::Done, 1));
    let trials = world.trials();
    assert_eq!(trials.len(), 2);
    assert_eq!(trials[1].retry_of.as_ref(), Some(&trials[0].spec.id));
    assert_eq!(trials[1].attempt, 2);
    assert_eq!(trials[0].spec.parameters, trials[1].spec.parameters);
}

#[tokio::test]
async fn cancel_stop_retry_and_update_do_what_they_say() {
    let world = World::new("wait", limits(2, 4));
    let manager = world.manager();
    let handle = manager.handle();
    let test = async {
        let first = world.trial_in(TrialStatus::Running).await;
        let nobody = ts_core::TrialId::new("nobody").unwrap();
        let asked = handle
            .ask(Request::Cancel {
                trials: vec![first.clone(), nobody],
            })
            .await
            .unwrap();
        assert_eq!(asked.done, std::slice::from_ref(&first));
        assert_eq!(asked.problems.len(), 1);
        assert_eq!(world.trial_in(TrialStatus::UserCanceled).await, first);
        let asked = handle
            .ask(Request::Retry {
                trials: vec![first.clone()],
            })
            .await
            .unwrap();
        assert_eq!(asked.done, std::slice::from_ref(&first));
        let update = Request::Update { limits: limits(1, 3) };
        assert!(handle.ask(update).await.unwrap().problems.is_empty());
        assert_eq!(handle.ask(Request::Stop).await.unwrap().problems, Vec::<String>::new());
    };
    let (outcome, ()) = within(async { tokio::join!(manager.run(), test) }).await;
    assert_eq!(outcome.unwrap().status, ExperimentStatus::Stopped);
    assert!(
        world.trials().iter().all(|t| t.status == TrialStatus::UserCanceled),
        "{:?}",
        world.statuses()
    );
    assert!(world.trials().iter().any(|t| t.attempt == 2));
    assert_eq!(world.reader().experiment().unwrap().limits, limits(1, 3));
    assert!(handle.ask(Request::Stop).await.is_err());
}

#[tokio::test]
async fn the_time_of_a_trial_and_of_the_experiment_is_limited() {
    let clock = TestClock::new();
    let mut few = Limits::new(1);
    few.max_duration_ms = Some(100_000);
    let mut world = World::with_clock("wait", few, Arc::new(clock.clone()));
    world.max_trial_duration = Some(Duration::from_secs(40));
    let manager = world.manager();
    let time = async {
        for n in 1..=3 {
            world.trial_in(TrialStatus::Running).await;
            clock.advance(Duration::from_secs(40));
            within(async {
                while world.statuses().get("EARLY_STOPPED") != Some(&n) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    };
    let (outcome, ()) = within(async { tokio::join!(manager.run(), time) }).await;
    assert_eq!(outcome.unwrap().status, ExperimentStatus::Done);
    assert_eq!(world.statuses(), [("EARLY_STOPPED", 3)].into());
    assert!(world.reader().experiment().unwrap().duration >= Duration::from_secs(100));
}

#[tokio::test]
async fn for_how_long_it_has_run_is_known_between_two_times_that_it_is_stored() {
    let clock = TestClock::new();
    let world = World::with_clock("wait", limits(1, 1), Arc::new(clock.clone()));
    let manager = world.manager();
    let handle = manager.handle();
    let look = async {
        world.trial_in(TrialStatus::Running).await;
        let revision = world.reader().revision().unwrap();
        clock.advance(Duration::from_secs(7));
        let row = world.reader().experiment().unwrap();
        assert_eq!(row.revision, revision, "nothing was stored for it");
        assert_eq!(row.duration_at(clock.now(), true), Duration::from_secs(7));
        let snapshot = handle.snapshot().borrow().clone();
        assert_eq!(snapshot.elapsed_at(clock.monotonic()), Duration::from_secs(7));
        handle.ask(Request::Stop).await.unwrap();
    };
    let (outcome, ()) = within(async { tokio::join!(manager.run(), look) }).await;
    let snapshot = outcome.unwrap().snapshot;
    let ended = world.reader().experiment().unwrap();
    clock.advance(Duration::from_secs(7));
    assert_eq!(ended.duration_at(clock.now(), true), Duration::from_secs(7));
    assert_eq!(snapshot.elapsed_at(clock.monotonic()), Duration::from_secs(7));
}

#[tokio::test]
async fn a_malformed_metric_is_noted_and_nothing_more() {
    let world = World::new(
        "metric not json; metric {\"type\": \"FINAL\", \"value\": NaN}; final 1; exit 0",
        limits(1, 2),
    );
    let outcome = world.run().await;
    assert_eq!(
        (outcome.status, outcome.snapshot.succeeded),
        (ExperimentStatus::Done, 2)
    );
    for trial in world.trials() {
        assert_eq!(trial.final_value.as_deref(), Some("1"));
        let events = world.reader().events(Some(&trial.spec.id)).unwrap();
        assert!(
            events.iter().any(|e| e.data.to_string().contains("not JSON")),
            "{events:?}"
        );
    }
}
