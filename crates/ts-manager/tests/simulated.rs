//! An experiment of 100,000 trials on the simulated platform: everything that can be counted is right.

use serde_json::json;
use std::{sync::Arc, time::Duration};
use ts_core::{Clock, CodeDirectory, Ctx, ExperimentId, ExperimentSpec, TrialStatus, Warnings};
use ts_manager::{
    ExperimentDirectory, Manager, Parts, RetryRules,
    source::{self, AlgorithmSpec},
    store::{ExperimentStatus, Limits, NewExperiment, Optimize, Store, StoreReader},
};
use ts_testkit::{
    TestClock,
    simulated::{SimulatedCluster, SimulatedService, Simulation},
};

const TRIALS: u32 = 100_000;

#[tokio::test]
async fn a_hundred_thousand_trials_with_failures_lost_machines_and_late_metrics() {
    let tmp = tempfile::tempdir().unwrap();
    let id = ExperimentId::new("simulated").unwrap();
    let directory = ExperimentDirectory::new(tmp.path(), &id);
    directory.create().unwrap();
    let clock = TestClock::new();
    let mut limits = Limits::new(500);
    limits.max_trials = Some(TRIALS);
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let new = NewExperiment::new(id.clone(), clock.now(), "", limits);
    let store = Store::create(&directory.store(), &new, Arc::clone(&shared)).unwrap();

    let mut simulation = Simulation::new(11);
    simulation.slots = 400;
    simulation.failure_rate = 0.02;
    simulation.loss_rate = 0.01;
    simulation.late_rate = 0.05;
    let cluster = SimulatedCluster::new(simulation, &clock);
    let mut ctx = Ctx::new(directory.path());
    ctx.clock = shared;
    let mut spec = ExperimentSpec::new(id.clone(), CodeDirectory::new(tmp.path()), "train");
    spec.concurrency = 500;
    let algorithm = AlgorithmSpec::named("tuner", "Random", 7);
    let space = json!({"x": {"_type": "uniform", "_value": [0, 1]}});
    let manager = Manager::new(Parts {
        ctx,
        spec,
        service: Arc::new(SimulatedService::new(&cluster, id)),
        source: source::build(&algorithm, &space, &mut Warnings::new()).unwrap(),
        assessor: None,
        store,
        retry: RetryRules {
            platform: 5,
            ..RetryRules::default()
        },
        max_trial_duration: Some(Duration::from_hours(1)),
        optimize: Optimize::Maximize,
    });
    let outcome = manager.run().await.unwrap();
    assert_eq!(outcome.status, ExperimentStatus::Done, "{:?}", outcome.message);
    assert_eq!(outcome.snapshot.created, u64::from(TRIALS));

    let reader = StoreReader::open(&directory.store()).unwrap();
    let counts = reader.counts_by_status().unwrap();
    let lost = counts.of(TrialStatus::SysCanceled);
    assert_eq!(counts.ended(), counts.total());
    assert_eq!(
        counts.total(),
        u64::from(TRIALS) + lost,
        "every lost trial, and no other, ran again"
    );
    assert_eq!(
        counts.of(TrialStatus::Succeeded) + counts.of(TrialStatus::Failed),
        u64::from(TRIALS)
    );
    assert!((500..2_000).contains(&lost), "{lost}");
    assert_eq!(
        reader.latest_metrics().unwrap().len() as u64,
        counts.of(TrialStatus::Succeeded)
    );
    assert_eq!(cluster.n_live(), 0);
}
