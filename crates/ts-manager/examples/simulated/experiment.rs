//! An experiment on the simulated platform: what the test counts and the example measures.

use serde_json::json;
use std::{path::Path, sync::Arc, time::Duration};
use ts_core::{Clock, CodeDirectory, Ctx, ExperimentId, ExperimentSpec, Result, Warnings};
use ts_manager::{
    ExperimentDirectory, Manager, Parts, RetryRules,
    source::{self, AlgorithmSpec},
    store::{Limits, NewExperiment, Optimize, Store},
};
use ts_testkit::{
    TestClock,
    simulated::{SimulatedCluster, SimulatedService, Simulation},
};

/// A manager over 400 simulated slots on which some commands fail, machines are lost and metrics come late.
pub(crate) fn manager(
    directory: &ExperimentDirectory,
    work: &Path,
    trials: u32,
) -> Result<(Manager, SimulatedCluster)> {
    let id = ExperimentId::new("simulated")?;
    let clock = TestClock::new();
    let mut limits = Limits::new(500);
    limits.max_trials = Some(trials);
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let new = NewExperiment::new(id.clone(), clock.now(), "", limits);
    let store = Store::create(&directory.store(), &new, Arc::clone(&shared))?;

    let mut simulation = Simulation::new(11);
    simulation.slots = 400;
    simulation.failure_rate = 0.02;
    simulation.loss_rate = 0.01;
    simulation.late_rate = 0.05;
    let cluster = SimulatedCluster::new(simulation, &clock);
    let mut ctx = Ctx::new(directory.path());
    ctx.clock = shared;
    let mut spec = ExperimentSpec::new(id.clone(), CodeDirectory::new(work), "train");
    spec.concurrency = 500;
    let algorithm = AlgorithmSpec::named("tuner", "Random", 7);
    let space = json!({"x": {"_type": "uniform", "_value": [0, 1]}});
    let manager = Manager::new(Parts {
        ctx,
        spec,
        service: Arc::new(SimulatedService::new(&cluster, id)),
        source: source::build(&algorithm, &space, &mut Warnings::new())?,
        assessor: None,
        store,
        retry: RetryRules {
            platform: 5,
            ..RetryRules::default()
        },
        max_trial_duration: Some(Duration::from_hours(1)),
        optimize: Optimize::Maximize,
        requests: Vec::new(),
    });
    Ok((manager, cluster))
}
