//! Faults happen as planned, and what the platform holds afterwards is what the fault says.

use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;
use ts_core::{
    CleanupScope, CodeDirectory, Ctx, Error, ErrorKind, Event, ExperimentSpec, IdSource, Parameters, Prepared, Result,
    Retry, TrainingService, TrialSpec, WatchRequest,
};
use ts_testkit::{
    SeededIds, TestClock,
    faults::{Fault, FaultPlan, Faulty, Step, WatchFault},
    memory::{MemoryCluster, MemoryService},
};

struct World {
    cluster: MemoryCluster,
    service: Faulty,
    code: Prepared,
    trial: TrialSpec,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new(plan: &FaultPlan) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let cluster = MemoryCluster::new(Arc::new(TestClock::new()));
        let ids = SeededIds::new(1);
        let spec = ExperimentSpec::new(ids.experiment(), CodeDirectory::new(directory.path()), "wait");
        let memory = Arc::new(MemoryService::new(
            &cluster,
            spec.id.clone(),
            &Ctx::new(directory.path()),
        ));
        let code = memory.prepare(&spec.code).await.expect("prepare");
        let trial = TrialSpec::new(&spec, ids.trial(), 0, Parameters::new("{}"));
        Self {
            cluster,
            service: Faulty::new(memory, plan),
            code,
            trial,
            _directory: directory,
        }
    }

    async fn submit(&self) -> Result<()> {
        self.service.submit(&self.code, &self.trial).await.map(|_| ())
    }

    fn has_job(&self) -> bool {
        !self.cluster.processes(&self.trial.id).is_empty()
    }
}

#[tokio::test]
async fn an_error_says_truly_whether_the_request_may_have_arrived() {
    let not_applied = Retry::NotApplied { after: None };
    let maybe = Retry::MaybeApplied { after: None };
    for (fault, retry, applied) in [
        (Fault::Refused, not_applied, false),
        (Fault::ResetBefore, maybe, false),
        (Fault::ResetAfter, maybe, true),
        (Fault::Final, Retry::Never, false),
    ] {
        let plan = FaultPlan::new().on(Step::Submit, 1, fault);
        let world = World::new(&plan).await;
        let error = world.submit().await.expect_err("a planned fault");
        assert_eq!((error.retry(), world.has_job()), (retry, applied), "{fault:?}");
        world.submit().await.expect("only the first was planned to fail");
        assert!(world.has_job(), "{fault:?}");
        assert_eq!(plan.injected(), [(Step::Submit, 1, fault)]);
        assert_eq!(plan.n_calls(Step::Submit), 2);
    }
}

#[tokio::test]
async fn a_request_that_hangs_can_be_dropped() {
    let plan = FaultPlan::new().on(Step::Submit, 1, Fault::Hang);
    let world = World::new(&plan).await;
    assert!(world.submit().now_or_never().is_none());
    assert!(!world.has_job());
    world.submit().await.expect("the second is fine");
}

#[tokio::test]
async fn a_crash_cuts_the_request_where_it_was_told_to() {
    let mut outcomes = Vec::new();
    for polls in 0..4 {
        let plan = FaultPlan::new().on(Step::Submit, 1, Fault::Crash { polls });
        let world = World::new(&plan).await;
        tokio::select! {
            outcome = world.submit() => panic!("a dead manager got an answer: {outcome:?}"),
            () = plan.until_crash() => {}
        }
        outcomes.push(world.has_job());
    }
    assert_eq!(
        outcomes,
        [false, false, true, true],
        "the memory platform applies a submit at its second poll"
    );
}

#[tokio::test]
async fn every_step_fails_when_it_is_told_to() {
    for step in Step::ALL {
        let plan = FaultPlan::new().on(step, 1, Fault::Final);
        let world = World::new(&plan).await;
        let (service, trial) = (&world.service, &world.trial.id);
        let code = CodeDirectory::new("/nonexistent");
        let spec = ExperimentSpec::new(world.trial.experiment.clone(), code, "wait");
        let error = match step {
            Step::Validate => service.validate(&spec).await.err(),
            Step::Prepare => service.prepare(&spec.code).await.err(),
            Step::Submit => world.submit().await.err(),
            Step::SendParameters => service.send_parameters(trial, &Parameters::new("{}")).await.err(),
            Step::Cancel => service.cancel(trial, ts_core::CancelReason::User).await.err(),
            Step::Recover => service.recover(&[]).await.err(),
            Step::Cleanup => service
                .cleanup(&CleanupScope::Experiment)
                .await
                .failures
                .pop()
                .map(|(_, e)| e),
            other => panic!("{other:?} has no test"),
        };
        let kind = error.as_ref().map(Error::kind);
        assert_eq!(kind, Some(ErrorKind::Rejected), "{step:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_watch_heals_or_ends_as_planned() {
    let plan = FaultPlan::new()
        .on_watch(1, WatchFault::Retryable)
        .on_watch(2, WatchFault::Final);
    let world = World::new(&plan).await;
    world.submit().await.expect("submit");
    let items: Vec<_> = world.service.watch(WatchRequest::new()).collect().await;
    assert!(matches!(items[0], Ok(Event::Status { .. })), "{items:?}");
    assert!(items[1].as_ref().is_err_and(Error::is_retryable), "{items:?}");
    assert!(matches!(items[2], Ok(Event::Synced)), "{items:?}");
    assert!(items[3].as_ref().is_err_and(|error| !error.is_retryable()), "{items:?}");
    assert_eq!(items.len(), 4, "{items:?}");
}

#[tokio::test]
async fn a_seed_gives_the_same_faults_again() {
    let mut runs = Vec::new();
    for seed in [3, 3, 4] {
        let plan = FaultPlan::seeded(seed, 0.5);
        let world = World::new(&plan).await;
        for _ in 0..50 {
            let _outcome = world.submit().await;
        }
        runs.push(plan.injected());
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    assert!((10..40).contains(&runs[0].len()), "about half of 50: {}", runs[0].len());
}
