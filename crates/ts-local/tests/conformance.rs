//! The local platform keeps every promise of a training service, with real processes.

use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};
use ts_core::{
    CodeDirectory, Ctx, ExperimentSpec, IdSource as _, RandomIds, Secret, Support, TrainingService, TrialId,
};
use ts_local::{LocalConfig, LocalService};
use ts_testkit::conformance::{Behavior, Fixture, stamped_processes};

struct Machine {
    spec: ExperimentSpec,
    directory: tempfile::TempDir,
}

impl Machine {
    fn gates(&self) -> PathBuf {
        self.directory.path().join("gates")
    }
}

#[async_trait]
impl Fixture for Machine {
    async fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for folder in ["code", "gates"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let code = CodeDirectory::new(directory.path().join("code"));
        Self {
            spec: ExperimentSpec::new(RandomIds.experiment(), code, "exit 0"),
            directory,
        }
    }
    fn ctx(&self) -> Ctx {
        Ctx::new(self.directory.path().join("work"))
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        let mut config = LocalConfig::default();
        config.grace_period = Duration::from_millis(300);
        Arc::new(LocalService::new(ctx.clone(), config))
    }
    fn spec(&self) -> ExperimentSpec {
        self.spec.clone()
    }
    fn command(&self, behavior: &Behavior) -> String {
        behavior.to_shell(&self.gates())
    }
    async fn open_gate(&self, gate: &str) {
        std::fs::write(self.gates().join(gate), "").expect("a file");
    }
    async fn hold_queue(&self, _held: bool) -> Support {
        Support::No("a trial that wishes for no GPU starts at once")
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        stamped_processes(&self.spec.id, Some(trial))
    }
    async fn leftovers(&self) -> Vec<String> {
        let mut left = stamped_processes(&self.spec.id, None);
        if let Ok(trials) = std::fs::read_dir(self.directory.path().join("work/trials")) {
            left.extend(trials.flatten().map(|entry| entry.path().display().to_string()));
        }
        left
    }
    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

ts_testkit::conformance!(Machine);
