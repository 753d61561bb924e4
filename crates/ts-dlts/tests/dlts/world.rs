//! A dashboard of this process with a service that uses it, and what the conformance suite asks of both.

use crate::server::{CLUSTER, EMAIL, Server, TEAM, token};
use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};
use ts_core::{
    CodeDirectory, Ctx, ExperimentSpec, IdSource as _, RandomIds, Secret, Support, TrainingService, TrialId,
    config::SecretRef, http::Url,
};
use ts_dlts::{DltsConfig, DltsService};
use ts_testkit::conformance::{Behavior, Fixture, stamped_processes};

/// Everything of one test, in a directory that goes with it.
pub(crate) struct World {
    pub(crate) spec: ExperimentSpec,
    pub(crate) server: Server,
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How the service sees the cluster.
    pub(crate) fn config(&self) -> DltsConfig {
        let dashboard = Url::parse(&format!("http://{}", self.server.address)).expect("an address");
        let password = SecretRef::Literal(Secret::new(token()));
        let mount = self.path("mnt").display().to_string();
        let mut config = DltsConfig::new(dashboard, password, "python:3.12", (self.path("share"), mount));
        (config.team, config.email) = (Some(TEAM.to_owned()), Some(EMAIL.to_owned()));
        CLUSTER.clone_into(&mut config.cluster);
        config.grace_period = Duration::from_secs(1);
        config.poll_interval = Duration::from_millis(100);
        config.vanish_after = Duration::from_secs(3);
        config
    }

    pub(crate) fn service_of(&self, ctx: &Ctx, config: DltsConfig) -> Arc<dyn TrainingService> {
        Arc::new(DltsService::new(ctx.clone(), config, self.spec.id.clone()))
    }
}

#[async_trait]
impl Fixture for World {
    async fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for folder in ["code", "gates", "share", "node"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        // Jobs see the shared folder at another place than we do.
        std::os::unix::fs::symlink(directory.path().join("share"), directory.path().join("mnt")).expect("a link");
        let code = CodeDirectory::new(directory.path().join("code"));
        Self {
            spec: ExperimentSpec::new(RandomIds.experiment(), code, "exit 0"),
            server: Server::start(directory.path().join("node")).await,
            directory,
        }
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
        let cluster = &self.server.shared.cluster;
        cluster.set(&cluster.is_held, held);
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
        vec![Secret::new(token())]
    }
}
