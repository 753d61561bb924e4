//! The way to the platform fails at every step and in every manner; the world is the same in the end.

use crate::world::{World, limits, within};
use std::{sync::Arc, time::Duration};
use ts_core::TrialStatus;
use ts_manager::{control::Request, store::ExperimentStatus};
use ts_testkit::{
    TestClock,
    faults::{Fault, FaultPlan, Step, WatchFault},
};

const TRIALS: u32 = 6;

fn assert_nothing_is_lost_or_doubled(world: &World, context: &str) {
    assert_eq!(world.statuses(), [("SUCCEEDED", TRIALS as usize)].into(), "{context}");
    for trial in world.trials() {
        let metrics = world.reader().metrics(&trial.spec.id, None).unwrap();
        let values: Vec<_> = metrics.into_iter().map(|m| m.value).collect();
        assert_eq!(values, ["1", "2"], "{context}");
    }
    let jobs = world
        .cluster
        .holdings(&world.id)
        .iter()
        .filter(|h| h.starts_with("job"))
        .count();
    assert_eq!(jobs, TRIALS as usize, "{context}: one job per trial");
}

/// Lets the clock jump to the next sleeper for ever, so that waits before a new try cost no time.
async fn hurry(clock: TestClock) {
    loop {
        clock.until_sleepers(1).await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_millis(100));
    }
}

#[tokio::test]
async fn every_step_may_fail_in_every_way_that_heals() {
    for step in [Step::Prepare, Step::Submit, Step::Recover] {
        for fault in [Fault::Refused, Fault::ResetBefore, Fault::ResetAfter] {
            for nth in 1..=2 {
                let clock = TestClock::new();
                let mut world = World::with_clock(
                    "intermediate 1; final 2; exit 0",
                    limits(2, TRIALS),
                    Arc::new(clock.clone()),
                );
                world.faults = FaultPlan::new().on(step, nth, fault);
                let context = format!("{step:?} {nth} {fault:?}");
                let outcome = tokio::select! {
                    outcome = world.run() => outcome,
                    () = hurry(clock) => unreachable!("hurries for ever"),
                };
                assert_eq!(
                    outcome.status,
                    ExperimentStatus::Done,
                    "{context}: {:?}",
                    outcome.message
                );
                assert_nothing_is_lost_or_doubled(&world, &context);
            }
        }
    }
}

#[tokio::test]
async fn the_manager_may_die_inside_every_request() {
    let mut died = 0;
    for step in [Step::Prepare, Step::Submit, Step::Recover] {
        for nth in [1, 3] {
            for polls in 0..4 {
                let mut world = World::new("intermediate 1; final 2; exit 0", limits(2, TRIALS));
                world.faults = FaultPlan::new().on(step, nth, Fault::Crash { polls });
                let context = format!("{step:?} {nth} dies after {polls} polls");
                let crashed = within(async {
                    tokio::select! {
                        outcome = world.run() => {
                            assert_eq!(outcome.status, ExperimentStatus::Done, "{context}");
                            false
                        }
                        () = world.faults.until_crash() => true,
                    }
                })
                .await;
                if crashed {
                    died += 1;
                    world.faults = FaultPlan::new();
                    assert_eq!(world.run().await.status, ExperimentStatus::Done, "{context}");
                }
                assert_nothing_is_lost_or_doubled(&world, &context);
            }
        }
    }
    assert!(died >= 8, "only {died} crashes: the test does not test");
}

#[tokio::test]
async fn a_request_without_an_answer_is_made_again() {
    let clock = TestClock::new();
    let mut world = World::with_clock(
        "intermediate 1; final 2; exit 0",
        limits(2, TRIALS),
        Arc::new(clock.clone()),
    );
    world.faults = FaultPlan::new().on(Step::Submit, 2, Fault::Hang);
    let outcome = tokio::select! {
        outcome = world.run() => outcome,
        () = hurry(clock) => unreachable!("hurries for ever"),
    };
    assert_eq!(outcome.status, ExperimentStatus::Done);
    assert_nothing_is_lost_or_doubled(&world, "hang");
}

#[tokio::test]
async fn a_watch_that_breaks_is_begun_anew_where_it_ended() {
    for fault in [WatchFault::Retryable, WatchFault::Final] {
        for after in [0, 1, 4, 9] {
            let clock = TestClock::new();
            let mut world = World::with_clock(
                "intermediate 1; final 2; exit 0",
                limits(2, TRIALS),
                Arc::new(clock.clone()),
            );
            world.faults = FaultPlan::new().on_watch(after, fault);
            let context = format!("{fault:?} after {after}");
            let outcome = tokio::select! {
                outcome = world.run() => outcome,
                () = hurry(clock) => unreachable!("hurries for ever"),
            };
            assert_eq!(
                outcome.status,
                ExperimentStatus::Done,
                "{context}: {:?}",
                outcome.message
            );
            assert_nothing_is_lost_or_doubled(&world, &context);
        }
    }
}

#[tokio::test]
async fn a_submit_that_is_refused_for_good_fails_the_trial_with_a_reason() {
    let mut world = World::new("final 2; exit 0", limits(1, 3));
    world.retry.platform = 0;
    world.faults = FaultPlan::new().on(Step::Submit, 2, Fault::Final);
    assert_eq!(world.run().await.status, ExperimentStatus::Done);
    assert_eq!(world.statuses(), [("FAILED", 1), ("SUCCEEDED", 2)].into());
    let failed = world
        .trials()
        .into_iter()
        .find(|t| t.status == TrialStatus::Failed)
        .unwrap();
    assert_eq!(failed.reason.unwrap().code, ts_core::ReasonCode::StartFailed);
}

#[tokio::test]
async fn a_cancellation_that_does_not_get_through_is_made_again() {
    let clock = TestClock::new();
    let mut world = World::with_clock("wait", limits(1, 1), Arc::new(clock.clone()));
    world.faults = FaultPlan::new()
        .on(Step::Cancel, 1, Fault::ResetBefore)
        .on(Step::Cancel, 2, Fault::Refused);
    let manager = world.manager();
    let handle = manager.handle();
    let stop = async {
        world.trial_in(TrialStatus::Running).await;
        handle.ask(Request::Stop).await.unwrap();
        hurry(clock).await;
    };
    let outcome = within(async {
        tokio::select! {
            outcome = manager.run() => outcome.unwrap(),
            () = stop => unreachable!("hurries for ever"),
        }
    })
    .await;
    assert_eq!(outcome.status, ExperimentStatus::Stopped);
    assert_eq!(world.statuses(), [("USER_CANCELED", 1)].into());
    assert_eq!(world.faults.n_calls(Step::Cancel), 3);
}
