//! Workers: trials one after another in one job, with the same promises as trials in jobs of their own.

use crate::world::World;
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use ts_aml::AmlConfig;
use ts_aml_testkit::{Fault, Matcher};
use ts_core::{
    CancelReason, Ctx, ExperimentSpec, JournalCursor, ReasonCode, Secret, Support, TrainingService, TrialId,
    TrialRecord, TrialStatus, Verdict,
};
use ts_testkit::conformance::{Behavior, Client, Fixture};

struct Reusing(World);

impl Reusing {
    fn config(&self) -> AmlConfig {
        let mut config = self.0.config();
        config.reuse = true;
        // Each is some processes on this machine, and a folder that is compared with the storage.
        config.most_starting = 8;
        config.grace_period = Duration::from_secs(1);
        config
    }
    fn worker(&self) -> String {
        let jobs = self.0.server.jobs();
        jobs.last().cloned().expect("a worker")
    }
}

#[async_trait]
impl Fixture for Reusing {
    async fn fresh() -> Self {
        Self(World::fresh().await)
    }
    fn ctx(&self) -> Ctx {
        self.0.ctx()
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        self.0.service_of(ctx, self.config())
    }
    fn spec(&self) -> ExperimentSpec {
        self.0.spec()
    }
    fn command(&self, behavior: &Behavior) -> String {
        self.0.command(behavior)
    }
    async fn open_gate(&self, gate: &str) {
        self.0.open_gate(gate).await;
    }
    async fn hold_queue(&self, held: bool) -> Support {
        self.0.hold_queue(held).await
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        self.0.running(trial).await
    }
    async fn leftovers(&self) -> Vec<String> {
        self.0.leftovers().await
    }
    fn secrets(&self) -> Vec<Secret> {
        self.0.secrets()
    }
}

mod suite {
    use super::Reusing;

    ts_testkit::conformance!(Reusing);
}

#[tokio::test]
async fn one_job_runs_trials_one_after_another() {
    let world = Reusing::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    for n in 0..3 {
        let trial = client.submit(&Behavior::quick()).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{n}: {history:?}");
        assert_eq!(history.bodies(), Behavior::values(0, 1));
    }
    let jobs = world.0.server.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert!(jobs[0].contains("_env_"), "{jobs:?}");
    client.finish().await;
}

#[tokio::test]
async fn a_trial_that_is_canceled_leaves_its_worker_to_the_next() {
    let world = Reusing::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    client.cancel(&trial.id, CancelReason::EarlyStop).await;
    assert_eq!(
        watch.until_end(&trial.id).await.status(),
        Some(TrialStatus::EarlyStopped)
    );
    client.until_nothing_runs(&trial.id).await;
    let next = client.submit(&Behavior::quick()).await;
    assert_eq!(watch.until_end(&next.id).await.status(), Some(TrialStatus::Succeeded));
    assert_eq!(world.0.server.jobs().len(), 1);
    client.finish().await;
}

#[tokio::test]
async fn a_worker_leaves_when_nothing_comes_and_another_is_started() {
    let world = Reusing::fresh().await;
    let mut config = world.config();
    // Time enough for the manager to see it come.
    config.idle_timeout = Duration::from_secs(8);
    let ctx = world.ctx();
    let service = world.0.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    watch.until_end(&trial.id).await;
    world.0.server.reached(&world.worker(), "Completed").await;
    let trial = client.submit(&Behavior::quick()).await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    assert_eq!(world.0.server.jobs().len(), 2);
    client.finish().await;
}

#[tokio::test]
async fn a_worker_that_is_lost_loses_its_trial_and_no_other() {
    let world = Reusing::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    for how in ["preempted", "canceled", "removed"] {
        let trial = client.submit(&Behavior::gated("never")).await;
        watch.until_metrics(&trial.id, 1).await;
        match how {
            "preempted" => world.0.server.preempt(&world.worker()),
            "canceled" => world.0.server.cancel(&world.worker()),
            _ => world.0.server.vanish(&world.worker()),
        }
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::SysCanceled), "{how}: {history:?}");
        let why = history.why.clone().expect("a reason");
        assert!(
            matches!(why.code, ReasonCode::Preempted | ReasonCode::Lost),
            "{how}: {why:?}"
        );
        assert_eq!(why.code.verdict(), Some(Verdict::Platform));
        assert_eq!(history.bodies(), Behavior::values(0, 1), "{how}");
    }
    let trial = client.submit(&Behavior::quick()).await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn a_worker_that_is_refused_ends_what_waits_for_it() {
    let world = Reusing::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let forbidden = Fault::Status {
        code: 403,
        retry_after: None,
    };
    world
        .0
        .server
        .fault(Matcher::any().method("PUT").path("/jobs/"), forbidden, 1);
    let trial = client.submit(&Behavior::quick()).await;
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartRefused, "{why:?}");
    assert!(why.unblock.expect("advice").contains("AzureML Data Scientist"));
    client.finish().await;
}

#[tokio::test]
async fn an_end_that_nobody_has_noted_yet_is_told_again() {
    let world = Reusing::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    watch.until_end(&trial.id).await;
    drop(watch);
    let told = |name: &String| name.ends_with(&format!(".{}", trial.id));
    while world.0.server.blobs("nni").iter().any(told) {
        tokio::task::yield_now().await;
    }
    let client = client.crash().await;
    let record = TrialRecord::new(trial.clone(), false, TrialStatus::Waiting, JournalCursor::default());
    client.recover(&[record]).await;
    let mut watch = client.watch();
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    assert_eq!(history.bodies(), Behavior::values(0, 1));
    client.finish().await;
}

#[tokio::test]
async fn a_new_manager_takes_over_workers_and_trials() {
    let world = Reusing::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    drop(watch);
    let client = client.crash().await;
    let record = TrialRecord::new(trial.clone(), true, TrialStatus::Running, JournalCursor::default());
    let found = client.recover(&[record]).await;
    assert_eq!(found.adopted, std::slice::from_ref(&trial.id));
    let mut watch = client.watch();
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    let next = client.submit(&Behavior::quick()).await;
    watch.until_end(&next.id).await;
    assert_eq!(world.0.server.jobs().len(), 1);
    client.finish().await;
}
