//! Two clusters in memory behind one service.

use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};
use ts_core::{CodeDirectory, Ctx, ExperimentSpec, IdSource, RandomIds, Secret, Support, TrainingService, TrialId};
use ts_manager::hybrid::{Hybrid, Member};
use ts_testkit::{
    conformance::{Behavior, Fixture},
    faults::{FaultPlan, Faulty},
    memory::{MemoryCluster, MemoryService},
};

/// Everything of one test, in a directory that goes with it.
pub(crate) struct World {
    pub(crate) clusters: [MemoryCluster; 2],
    pub(crate) plans: [FaultPlan; 2],
    pub(crate) spec: ExperimentSpec,
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The service, with so many slots on each platform and these weights.
    pub(crate) fn hybrid(&self, ctx: &Ctx, slots: [Option<u32>; 2], weights: [Option<u32>; 2]) -> Hybrid {
        let member = |at: usize| {
            let name = ["near", "far"][at].to_owned();
            let mut own = ctx.clone();
            own.work_dir = ctx.work_dir.join(&name);
            let service = MemoryService::new(&self.clusters[at], self.spec.id.clone(), &own);
            Member {
                service: Arc::new(Faulty::new(Arc::new(service), &self.plans[at])),
                spec: self.spec.clone(),
                concurrency: slots[at],
                weight: weights[at],
                name,
            }
        };
        Hybrid::new(ctx.clone(), self.spec.clone(), vec![member(0), member(1)])
    }
}

#[async_trait]
impl Fixture for World {
    async fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let code = directory.path().join("code");
        std::fs::create_dir(&code).expect("a code directory");
        std::fs::write(code.join("train.py"), "print()\n").expect("a file of code");
        let cluster = || {
            let cluster = MemoryCluster::new(Ctx::new(directory.path()).clock);
            cluster.set_grace(Duration::from_millis(50));
            cluster
        };
        Self {
            clusters: [cluster(), cluster()],
            plans: [FaultPlan::new(), FaultPlan::new()],
            spec: ExperimentSpec::new(RandomIds.experiment(), CodeDirectory::new(code), "exit 0"),
            directory,
        }
    }

    fn ctx(&self) -> Ctx {
        Ctx::new(self.path("work"))
    }

    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        Arc::new(self.hybrid(ctx, [None, None], [Some(1), Some(1)]))
    }

    fn spec(&self) -> ExperimentSpec {
        self.spec.clone()
    }

    fn command(&self, behavior: &Behavior) -> String {
        behavior.to_script()
    }

    async fn open_gate(&self, gate: &str) {
        for cluster in &self.clusters {
            cluster.open_gate(gate);
        }
    }

    async fn hold_queue(&self, held: bool) -> Support {
        for cluster in &self.clusters {
            cluster.hold_queue(held);
        }
        Support::Yes
    }

    async fn running(&self, trial: &TrialId) -> Vec<String> {
        self.clusters
            .iter()
            .flat_map(|cluster| cluster.processes(trial))
            .collect()
    }

    async fn leftovers(&self) -> Vec<String> {
        let held = self.clusters.iter().flat_map(|cluster| cluster.holdings(&self.spec.id));
        let places = self.path("work/places");
        held.chain(places.exists().then(|| places.display().to_string()))
            .collect()
    }

    fn secrets(&self) -> Vec<Secret> {
        self.clusters.iter().map(MemoryCluster::token).collect()
    }
}
