//! Long-running jobs that take one trial after another: the whole suite again, and what is special.

use crate::{faults::stays_away, server::Fault, world::World};
use async_trait::async_trait;
use axum::http::Method;
use std::{path::PathBuf, sync::Arc, sync::atomic::Ordering, time::Duration};
use ts_core::{
    Ctx, ExperimentSpec, JournalCursor, LogKind, Reason, ReasonCode, Secret, Support, TrainingService, TrialId,
    TrialRecord, TrialSpec, TrialStatus, Verdict, WatchRequest,
};
use ts_pai::PaiConfig;
use ts_testkit::conformance::{Behavior, Client, Fixture};

/// A cluster whose jobs take several trials.
struct Reusing(World);

impl Reusing {
    fn config(&self) -> PaiConfig {
        let mut config = self.0.config();
        config.reuse = true;
        config.idle_timeout = Duration::from_mins(1);
        config
    }

    fn jobs(&self) -> Vec<String> {
        let jobs = self.0.server.shared.cluster.jobs.lock().expect("no panic");
        jobs.keys().cloned().collect()
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
    async fn hold_queue(&self, _held: bool) -> Support {
        Support::No("a worker that is idle takes a trial at once")
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
    for n in 0..4 {
        let trial = client.submit(&Behavior::quick()).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{n}: {history:?}");
        assert_eq!(history.bodies(), Behavior::values(0, 1));
    }
    let jobs = world.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert!(jobs[0].contains("_env_"), "{jobs:?}");
    client.finish().await;
}

#[tokio::test]
async fn a_worker_leaves_when_nothing_comes_and_another_is_started() {
    let world = Reusing::fresh().await;
    let mut config = world.config();
    config.idle_timeout = Duration::from_secs(1);
    let ctx = world.ctx();
    let service = world.0.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    watch.until_end(&trial.id).await;
    while !world.0.server.shared.cluster.live().is_empty() {
        tokio::task::yield_now().await;
    }
    let trial = client.submit(&Behavior::quick()).await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    assert_eq!(world.jobs().len(), 2);
    client.finish().await;
}

#[tokio::test]
async fn a_worker_that_is_lost_loses_its_trial_and_no_other() {
    let world = Reusing::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    for is_repeated in [true, false] {
        let trial = client.submit(&Behavior::gated("never")).await;
        watch.until_metrics(&trial.id, 1).await;
        let cluster = &world.0.server.shared.cluster;
        let worker = cluster.live().first().cloned().expect("a worker");
        let job = cluster.job(&worker).expect("known");
        if is_repeated {
            *job.accident.lock().expect("no panic") = Some(-1000);
        } else {
            job.is_stopped.store(true, Ordering::SeqCst);
        }
        job.bell.notify_waiters();
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::SysCanceled), "{history:?}");
        let why = history.why.clone().expect("a reason");
        assert!(matches!(why.code, ReasonCode::Preempted | ReasonCode::Lost), "{why:?}");
        assert_eq!(why.code.verdict(), Some(Verdict::Platform));
        assert_eq!(history.bodies(), Behavior::values(0, 1));
    }
    let trial = client.submit(&Behavior::quick()).await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn a_worker_that_the_cluster_refuses_ends_what_waits_for_it() {
    let world = Reusing::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let none = (Vec::new(), vec!["default".to_owned()]);
    world
        .0
        .server
        .shared
        .cluster
        .grants
        .lock()
        .expect("no panic")
        .insert("alice".to_owned(), none);
    let trial = client.submit(&Behavior::quick()).await;
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartRefused);
    assert!(why.message.contains("Storage nfs is not found"), "{why:?}");
    client.finish().await;
}

#[tokio::test]
async fn a_cluster_that_stays_away_is_told_and_ends_no_trial() {
    let world = Reusing::fresh().await;
    stays_away(&world, &world.0.server).await;
}

#[tokio::test]
async fn a_worker_that_cannot_be_sent_is_told_until_it_can() {
    let world = Reusing::fresh().await;
    let server = &world.0.server;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    server.fail(Method::POST, "/api/v2/jobs", Fault::Unauthorized, u32::MAX);
    let trial = client.submit(&Behavior::quick()).await;
    let id = trial.id.clone();
    let is_told = |why: Option<Reason>| why.is_some_and(|why| why.code == ReasonCode::Unreachable);
    watch.until("a reason", |seen| is_told(seen.of(&id).why)).await;
    // Meanwhile the storage is looked at, where the trial waits for the worker.
    let before = server.count("GET", "/api/v2/jobs?");
    while server.count("GET", "/api/v2/jobs?") < before + 5 {
        tokio::task::yield_now().await;
    }
    let history = client.watch().until_status(&id, TrialStatus::Waiting).await;
    assert!(is_told(history.why.clone()), "{history:?}");
    server.heal();
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn who_looks_on_starts_no_worker() {
    let world = Reusing::fresh().await;
    let cluster = &world.0.server.shared.cluster;
    let client = Client::start(&world).await;
    cluster.hold(true);
    let mut trials = Vec::new();
    for _ in 0..2 {
        trials.push(client.submit(&Behavior::quick()).await);
    }
    let client = client.crash().await;
    let home = world.0.path("share").join(world.0.spec.id.as_str()).join("envs");
    let workers = || {
        let names = std::fs::read_dir(&home).expect("a folder").flatten();
        names
            .map(|entry| entry.path())
            .filter(|path| !path.ends_with("inbox"))
            .collect::<Vec<_>>()
    };
    for worker in workers() {
        std::fs::remove_dir_all(worker).expect("a folder");
    }
    // Each is told in a look of its own: what follows from the first has happened before the second.
    for trial in &trials {
        let mut request = WatchRequest::new();
        request.logs.push((trial.id.clone(), LogKind::Stdout));
        let is_told = |why: Option<Reason>| why.is_some_and(|why| why.message == "waits for a worker");
        let mut watch = client.watch_from(request);
        watch.until("a reason", |seen| is_told(seen.of(&trial.id).why)).await;
    }
    assert_eq!(workers(), Vec::<PathBuf>::new());
    cluster.hold(false);
    while !cluster.live().is_empty() {
        tokio::task::yield_now().await;
    }
    let record =
        |trial: &TrialSpec| TrialRecord::new(trial.clone(), false, TrialStatus::Waiting, JournalCursor::default());
    client.recover(&[record(&trials[0]), record(&trials[1])]).await;
    let mut watch = client.watch();
    for trial in &trials {
        assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    }
    client.finish().await;
}
