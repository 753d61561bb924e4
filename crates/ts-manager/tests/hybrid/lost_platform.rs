//! A platform that is full, that does not answer, or whose stream breaks costs no trial.

use crate::world::World;
use std::sync::Arc;
use ts_core::{ErrorKind, Retry, TrialId, TrialRecord, TrialSpec, TrialStatus};
use ts_testkit::{
    conformance::{Behavior, Client, Fixture as _},
    faults::{Fault, FaultPlan, Step, WatchFault},
};

const FREE: [Option<u32>; 2] = [None, None];

async fn client(world: &World, slots: [Option<u32>; 2], weights: [Option<u32>; 2]) -> Client<'_> {
    let ctx = world.ctx();
    let hybrid = world.hybrid(&ctx, slots, weights);
    Client::with(world, ctx, Arc::new(hybrid)).await
}

fn endless() -> Behavior {
    Behavior::Detach {
        metrics: vec!["1".into()],
    }
}

fn record(trial: &TrialSpec) -> TrialRecord {
    TrialRecord::new(
        trial.clone(),
        true,
        TrialStatus::Running,
        ts_core::JournalCursor::default(),
    )
}

fn is_on(world: &World, at: usize, trial: &TrialId) -> bool {
    let held = world.clusters[at].holdings(&world.spec.id);
    held.iter().any(|one| one.contains(trial.as_str()))
}

#[tokio::test]
async fn trials_go_to_the_platform_that_answers() {
    let mut world = World::fresh().await;
    world.plans[0] = (1..40).fold(FaultPlan::new(), |plan, nth| plan.on(Step::Submit, nth, Fault::Refused));
    let client = client(&world, FREE, FREE).await;
    let mut seen = client.watch();
    let mut trials = Vec::new();
    for _ in 0..4 {
        trials.push(
            client
                .submit(&Behavior::Exit {
                    metrics: vec!["1".into()],
                    code: 0,
                })
                .await,
        );
    }
    for trial in &trials {
        assert_eq!(seen.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
        assert!(is_on(&world, 1, &trial.id));
    }
    let n_asked = world.plans[0].n_calls(Step::Submit);
    assert!(n_asked < 4, "it was asked {n_asked} times although it did not answer");
    client.finish().await;
}

#[tokio::test]
async fn the_first_with_room_gets_it_and_a_full_house_says_so() {
    let world = World::fresh().await;
    let client = client(&world, [Some(1), Some(1)], FREE).await;
    let mut seen = client.watch();
    let (first, second) = (client.submit(&endless()).await, client.submit(&endless()).await);
    assert!(is_on(&world, 0, &first.id) && is_on(&world, 1, &second.id));
    let third = client.trial(&endless());
    let error = client.service.submit(&client.code, &third).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::NoCapacity);
    assert!(matches!(error.retry(), Retry::NotApplied { .. }));
    seen.until_metrics(&first.id, 1).await;
    client.cancel(&first.id, ts_core::CancelReason::User).await;
    seen.until_end(&first.id).await;
    client.submit_spec(&third).await;
    assert!(is_on(&world, 0, &third.id));
    client.finish().await;
}

#[tokio::test]
async fn weights_share_the_trials_out() {
    let world = World::fresh().await;
    let client = client(&world, FREE, [Some(3), Some(1)]).await;
    let mut n_near = 0;
    for _ in 0..8 {
        n_near += u32::from(is_on(&world, 0, &client.submit(&endless()).await.id));
    }
    assert_eq!(n_near, 6);
    client.finish().await;
}

#[tokio::test]
async fn a_submit_whose_fate_is_unknown_stays_with_its_platform() {
    let mut world = World::fresh().await;
    world.plans[0] = FaultPlan::new().on(Step::Submit, 1, Fault::ResetAfter);
    let client = client(&world, FREE, FREE).await;
    let trial = client.trial(&endless());
    let error = client.service.submit(&client.code, &trial).await.expect_err("cut off");
    assert!(matches!(error.retry(), Retry::MaybeApplied { .. }));
    client.submit_spec(&trial).await;
    assert!(is_on(&world, 0, &trial.id) && !is_on(&world, 1, &trial.id));
    client.finish().await;
}

#[tokio::test]
async fn trials_of_a_platform_that_is_away_after_a_crash_are_found_when_it_is_back() {
    let mut world = World::fresh().await;
    let first = client(&world, FREE, [Some(1), Some(1)]).await;
    let trials = [first.submit(&endless()).await, first.submit(&endless()).await];
    assert!(is_on(&world, 0, &trials[0].id) && is_on(&world, 1, &trials[1].id));
    let spec = first.spec.clone();
    drop(first);
    world.plans[1] = FaultPlan::new().on(Step::Recover, 1, Fault::Refused);
    let second = client(&world, FREE, [Some(1), Some(1)]).await;
    assert_eq!(second.spec.id, spec.id);
    let mut adopted = second.recover(&trials.each_ref().map(record)).await.adopted;
    adopted.sort();
    let mut ids = trials.each_ref().map(|trial| trial.id.clone());
    ids.sort();
    assert_eq!(adopted, ids);
    let mut seen = second.watch();
    seen.until_synced().await;
    for trial in &trials {
        seen.until_metrics(&trial.id, 1).await;
    }
    second.finish().await;
}

#[tokio::test]
async fn a_stream_that_breaks_is_watched_again() {
    let mut world = World::fresh().await;
    world.plans[1] = FaultPlan::new().on_watch(2, WatchFault::Final);
    let client = client(&world, FREE, [Some(1), Some(1)]).await;
    let mut seen = client.watch();
    for _ in 0..4 {
        let trial = client
            .submit(&Behavior::Exit {
                metrics: vec!["1".into()],
                code: 0,
            })
            .await;
        let history = seen.until_end(&trial.id).await;
        assert_eq!(
            (history.bodies().len(), history.status()),
            (1, Some(TrialStatus::Succeeded))
        );
    }
    client.finish().await;
}
