//! The manager dies at any await; the next one goes on, and nothing is lost, doubled or run twice.

use crate::world::{World, limits, within};
use std::{
    collections::HashSet,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};
use ts_core::TrialStatus;
use ts_manager::{control::Request, store::ExperimentStatus};

/// Polls the manager so often, with the rest of the runtime running in between, then drops it.
async fn run_and_crash(world: &World, polls: u32) -> bool {
    let mut run = pin!(world.manager().run());
    for _ in 0..polls {
        if let Poll::Ready(outcome) = run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            assert_eq!(outcome.unwrap().status, ExperimentStatus::Done);
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_the_manager_dies_every_trial_runs_once_and_every_metric_arrives_once() {
    const TRIALS: u32 = 12;
    let mut crashes = 0;
    for stride in [3, 17, 60, 211, 800] {
        let world = World::new("intermediate 1; intermediate 2; final 3; exit 0", limits(4, TRIALS));
        let mut polls = stride;
        while !run_and_crash(&world, polls).await {
            crashes += 1;
            polls += stride;
            assert!(polls < 1_000_000, "no progress: {:?}", world.statuses());
        }
        let trials = world.trials();
        assert_eq!(
            world.statuses(),
            [("SUCCEEDED", TRIALS as usize)].into(),
            "stride {stride}"
        );
        assert_eq!(
            trials.iter().map(|t| t.spec.sequence_id).collect::<Vec<_>>(),
            (0..TRIALS).collect::<Vec<_>>()
        );
        let parameters: HashSet<_> = trials.iter().map(|t| t.spec.parameters.text.clone()).collect();
        assert_eq!(parameters.len(), TRIALS as usize, "two trials got the same parameters");
        for trial in &trials {
            let values: Vec<_> = world
                .reader()
                .metrics(&trial.spec.id, None)
                .unwrap()
                .into_iter()
                .map(|m| m.value)
                .collect();
            assert_eq!(values, ["1", "2", "3"], "stride {stride}");
        }
        assert_eq!(
            world
                .cluster
                .holdings(&world.id)
                .iter()
                .filter(|h| h.contains("job"))
                .count(),
            TRIALS as usize
        );
    }
    assert!(crashes > 5, "only {crashes} crashes: the test does not test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_while_no_manager_is_there_is_picked_up() {
    let world = World::new("wait", limits(2, 2));
    let mut manager = Box::pin(world.manager().run());
    let running = async {
        loop {
            if world.statuses().get("RUNNING") == Some(&2) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut manager => panic!("the trials do not end by themselves"),
        () = within(running) => {}
    }
    drop(manager);
    let ids: Vec<_> = world.trials().into_iter().map(|t| t.spec.id).collect();
    world
        .cluster
        .metric(&ids[0], r#"{"type": "FINAL", "sequence": 0, "value": "5"}"#)
        .unwrap();
    world.cluster.finish(&ids[0], 0).unwrap();
    world.cluster.finish(&ids[1], 9).unwrap();
    let outcome = world.run().await;
    assert_eq!(outcome.status, ExperimentStatus::Done);
    let trials = world.trials();
    assert_eq!(trials.len(), 2);
    assert_eq!(trials[0].status, TrialStatus::Succeeded);
    assert_eq!(trials[0].final_value.as_deref(), Some("5"));
    assert_eq!(trials[1].status, TrialStatus::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_that_was_stored_is_carried_out_by_the_next_manager() {
    let world = World::new("wait", limits(1, 1));
    let manager = world.manager();
    let handle = manager.handle();
    let mut run = Box::pin(manager.run());
    tokio::select! {
        _ = &mut run => panic!("the trial does not end by itself"),
        () = async {
            let trial = world.trial_in(TrialStatus::Running).await;
            world.cluster.hold_queue(true);
            handle.ask(ts_manager::control::Request::Cancel { trials: vec![trial] }).await.unwrap();
        } => {}
    }
    drop(run);
    let outcome = world.run().await;
    assert_eq!(outcome.status, ExperimentStatus::Done);
    assert_eq!(world.statuses(), [("USER_CANCELED", 1)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_is_only_to_stop_starts_nothing_and_needs_no_code() {
    let mut world = World::new("wait", limits(2, 50));
    let mut manager = Box::pin(world.manager().run());
    tokio::select! {
        _ = &mut manager => panic!("the trials do not end by themselves"),
        _ = world.trial_in(TrialStatus::Running) => {}
    }
    drop(manager);
    let before = world.trials().len();
    std::fs::remove_dir_all(world.directory.log()).unwrap(); // the code directory of these tests
    world.requests = vec![Request::Stop];
    assert_eq!(world.run().await.status, ExperimentStatus::Stopped);
    assert_eq!(world.trials().len(), before);
    assert!(
        world.trials().iter().all(|t| t.status == TrialStatus::UserCanceled),
        "{:?}",
        world.statuses()
    );
}

#[tokio::test]
async fn a_trial_of_an_experiment_that_is_done_can_be_run_again() {
    let mut world = World::new("exit 3", limits(1, 2));
    assert_eq!(world.run().await.status, ExperimentStatus::Done);
    world.requests = vec![Request::Retry { trials: Vec::new() }];
    assert_eq!(world.run().await.status, ExperimentStatus::Done);
    let attempts: Vec<_> = world.trials().iter().map(|t| t.attempt).collect();
    assert_eq!(attempts, [1, 1, 2, 2]);
}
