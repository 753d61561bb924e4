//! A cluster of this process with a service that uses it, and what the conformance suite asks of both.

use crate::server::{Server, Setting, TOKEN, USER};
use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};
use ts_core::{
    CodeDirectory, Ctx, ExperimentSpec, IdSource as _, RandomIds, Secret, Support, TrainingService, TrialId,
    config::SecretRef, http::Url,
};
use ts_pai::{Credential, PaiConfig, PaiService, Resources};
use ts_testkit::conformance::{Behavior, Fixture, stamped_processes};

/// Everything of one test, in a directory that goes with it.
pub(crate) struct World {
    pub(crate) spec: ExperimentSpec,
    pub(crate) server: Server,
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    /// A cluster that is not as usual.
    pub(crate) async fn with(change: impl FnOnce(&mut Setting)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for folder in ["code", "gates", "share", "node"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        // Containers see the storage at another place than we do.
        std::os::unix::fs::symlink(directory.path().join("share"), directory.path().join("mnt")).expect("a link");
        let mut setting = Setting::new(directory.path().join("node"));
        change(&mut setting);
        let code = CodeDirectory::new(directory.path().join("code"));
        Self {
            spec: ExperimentSpec::new(RandomIds.experiment(), code, "exit 0"),
            server: Server::start(setting).await,
            directory,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A trial's directory as we see it.
    pub(crate) fn trial_dir(&self, trial: &TrialId) -> PathBuf {
        self.path("share").join(self.spec.id.as_str()).join(trial.as_str())
    }

    /// How the service sees the cluster.
    pub(crate) fn config(&self) -> PaiConfig {
        let host = Url::parse(&format!("http://{}", self.server.address)).expect("an address");
        let resources = Resources {
            gpus: 0,
            cpus: 1,
            memory_mib: 512,
            image: "python:3.12".to_owned(),
        };
        let credential = Credential::Token(SecretRef::Literal(Secret::new(TOKEN)));
        let mount = self.path("mnt").display().to_string();
        let mut config = PaiConfig::new(host, USER, credential, ("nfs", self.path("share"), mount), resources);
        config.grace_period = Duration::from_secs(1);
        config.poll_interval = Duration::from_millis(100);
        config.vanish_after = Duration::from_secs(3);
        config
    }

    pub(crate) fn service_of(&self, ctx: &Ctx, config: PaiConfig) -> Arc<dyn TrainingService> {
        Arc::new(PaiService::new(ctx.clone(), config, self.spec.id.clone()))
    }
}

#[async_trait]
impl Fixture for World {
    async fn fresh() -> Self {
        Self::with(|_| {}).await
    }
    fn ctx(&self) -> Ctx {
        Ctx::new(self.path("work"))
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        self.service_of(ctx, self.config())
    }
    fn spec(&self) -> ExperimentSpec {
        self.spec.clone()
    }
    fn command(&self, behavior: &Behavior) -> String {
        behavior.to_shell(&self.path("gates"))
    }
    async fn open_gate(&self, gate: &str) {
        std::fs::write(self.path("gates").join(gate), "").expect("a file");
    }
    async fn hold_queue(&self, held: bool) -> Support {
        self.server.shared.cluster.hold(held);
        Support::Yes
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        stamped_processes(&self.spec.id, Some(trial))
    }
    async fn leftovers(&self) -> Vec<String> {
        let mut left = stamped_processes(&self.spec.id, None);
        left.extend(self.server.shared.cluster.live());
        let root = self.path("share").join(self.spec.id.as_str());
        if let Ok(entries) = std::fs::read_dir(root) {
            left.extend(entries.flatten().map(|entry| entry.path().display().to_string()));
        }
        left
    }
    fn secrets(&self) -> Vec<Secret> {
        vec![Secret::new(TOKEN)]
    }
}
