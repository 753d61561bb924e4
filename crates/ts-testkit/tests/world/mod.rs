//! The reference platform's fixture, able to do everything or refusing what may be refused. Shared by the tests of the
//! platform and of the suite.

use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use ts_core::{CodeDirectory, Ctx, ExperimentSpec, IdSource, RandomIds, Secret, Support, TrainingService, TrialId};
use ts_testkit::{
    conformance::{Behavior, Fixture},
    memory::{MemoryCluster, MemoryService},
};

/// A world with its own cluster, experiment and directory.
pub(crate) struct World<const REFUSING: bool> {
    cluster: MemoryCluster,
    spec: ExperimentSpec,
    directory: tempfile::TempDir,
}

#[async_trait]
impl<const REFUSING: bool> Fixture for World<REFUSING> {
    async fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let code = directory.path().join("code");
        std::fs::create_dir(&code).expect("a code directory");
        std::fs::write(code.join("train.py"), "print()\n").expect("a file of code");
        let cluster = MemoryCluster::new(Ctx::new(directory.path()).clock);
        cluster.set_grace(Duration::from_millis(50));
        Self {
            cluster,
            spec: ExperimentSpec::new(RandomIds.experiment(), CodeDirectory::new(code), "exit 0"),
            directory,
        }
    }

    fn ctx(&self) -> Ctx {
        Ctx::new(self.directory.path())
    }

    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        let make = if REFUSING {
            MemoryService::refusing
        } else {
            MemoryService::new
        };
        Arc::new(make(&self.cluster, self.spec.id.clone(), ctx))
    }

    fn spec(&self) -> ExperimentSpec {
        self.spec.clone()
    }

    fn command(&self, behavior: &Behavior) -> String {
        behavior.to_script()
    }

    async fn open_gate(&self, gate: &str) {
        self.cluster.open_gate(gate);
    }

    async fn hold_queue(&self, held: bool) -> Support {
        self.cluster.hold_queue(held);
        Support::Yes
    }

    async fn running(&self, trial: &TrialId) -> Vec<String> {
        self.cluster.processes(trial)
    }

    async fn leftovers(&self) -> Vec<String> {
        self.cluster.holdings(&self.spec.id)
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.cluster.token()]
    }
}
