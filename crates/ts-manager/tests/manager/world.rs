//! A platform, an experiment directory and the manager over them, made anew as often as a test crashes it.

use crate::listening::{Listening, Told};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use ts_core::{Clock, CodeDirectory, Ctx, ExperimentId, ExperimentSpec, SystemClock, TrialId, TrialStatus, Warnings};
use ts_manager::{
    ExperimentDirectory, Manager, Outcome, Parts, RetryRules,
    control::Request,
    source::{self, AlgorithmSpec, ParameterSource},
    store::{Limits, NewExperiment, Optimize, Store, StoreReader, TrialFilter, TrialRow},
};
use ts_testkit::{
    faults::{FaultPlan, Faulty},
    memory::{MemoryCluster, MemoryService},
};

/// Longest time that a test waits for anything.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct World {
    pub(crate) cluster: MemoryCluster,
    pub(crate) directory: ExperimentDirectory,
    pub(crate) id: ExperimentId,
    pub(crate) command: String,
    pub(crate) retry: RetryRules,
    pub(crate) max_trial_duration: Option<Duration>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) requests: Vec<Request>,
    /// What goes wrong between manager and platform.
    pub(crate) faults: FaultPlan,
    /// Whether trials may ask for further parameters.
    pub(crate) multi_phase: bool,
    /// Whether the source leaves running trials without an answer.
    pub(crate) mute: bool,
    /// The results that sources were told, those of earlier runs included.
    pub(crate) told: Told,
    /// Points of the search space, none for a tuner that never ends.
    pub(crate) points: Option<u32>,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(command: &str, limits: Limits) -> Self {
        Self::with_clock(command, limits, Arc::new(SystemClock::new()))
    }

    pub(crate) fn with_clock(command: &str, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let id = ExperimentId::new("exp").unwrap();
        let directory = ExperimentDirectory::new(dir.path(), &id);
        directory.create().unwrap();
        let new = NewExperiment::new(id.clone(), clock.now(), "", limits);
        Store::create(&directory.store(), &new, Arc::clone(&clock)).unwrap();
        Self {
            cluster: MemoryCluster::new(Arc::clone(&clock)),
            directory,
            id,
            command: command.into(),
            retry: RetryRules::default(),
            max_trial_duration: None,
            clock,
            requests: Vec::new(),
            faults: FaultPlan::new(),
            multi_phase: false,
            mute: false,
            told: Told::default(),
            points: None,
            _dir: dir,
        }
    }

    /// A new manager over the same platform and store, as after a crash.
    pub(crate) fn manager(&self) -> Manager {
        let mut ctx = Ctx::new(self.directory.path());
        ctx.clock = Arc::clone(&self.clock);
        let mut spec = ExperimentSpec::new(self.id.clone(), CodeDirectory::new(self.directory.log()), &self.command);
        spec.concurrency = 1;
        spec.multi_phase = self.multi_phase;
        Manager::new(Parts {
            service: Arc::new(Faulty::new(
                Arc::new(MemoryService::new(&self.cluster, self.id.clone(), &ctx)),
                &self.faults,
            )),
            ctx,
            spec,
            source: self.source(),
            assessor: None,
            store: Store::open(&self.directory.store(), Arc::clone(&self.clock)).unwrap(),
            retry: self.retry,
            max_trial_duration: self.max_trial_duration,
            optimize: Optimize::Maximize,
            requests: self.requests.clone(),
        })
    }

    pub(crate) fn source(&self) -> Box<dyn ParameterSource> {
        let (name, space) = match self.points {
            None => ("Random", json!({"x": {"_type": "uniform", "_value": [0, 1]}})),
            Some(n) => ("GridSearch", json!({"x": {"_type": "quniform", "_value": [1, n, 1]}})),
        };
        let source = source::build(&AlgorithmSpec::named("tuner", name, 7), &space, &mut Warnings::new()).unwrap();
        Box::new(Listening {
            inner: source,
            mute: self.mute,
            told: Arc::clone(&self.told),
        })
    }

    pub(crate) async fn run(&self) -> Outcome {
        within(Box::pin(self.manager().run())).await.unwrap()
    }

    pub(crate) fn reader(&self) -> StoreReader {
        StoreReader::open(&self.directory.store()).unwrap()
    }

    pub(crate) fn trials(&self) -> Vec<TrialRow> {
        self.reader().trials(&TrialFilter::all()).unwrap()
    }

    pub(crate) fn statuses(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for trial in self.trials() {
            *counts.entry(trial.status.as_str()).or_default() += 1;
        }
        counts
    }

    /// Waits until a trial has this status and gives its id.
    pub(crate) async fn trial_in(&self, status: TrialStatus) -> TrialId {
        within(async {
            loop {
                if let Some(trial) = self.trials().into_iter().find(|t| t.status == status) {
                    return trial.spec.id;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes too long")
}

pub(crate) fn limits(concurrency: u32, max: u32) -> Limits {
    let mut limits = Limits::new(concurrency);
    limits.max_trials = Some(max);
    limits
}
