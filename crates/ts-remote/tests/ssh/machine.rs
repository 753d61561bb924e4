//! A machine behind a server of this process, and a service that uses it.

use crate::server::{Server, Setting, USER};
use async_trait::async_trait;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use ts_core::{
    CodeDirectory, Ctx, ExperimentSpec, IdSource as _, RandomIds, Secret, Support, TrainingService, TrialId,
    config::SecretRef,
};
use ts_remote::{HostKeyPolicy, MachineConfig, RemoteConfig, RemoteService};
use ts_testkit::conformance::{Behavior, Fixture, stamped_processes};

pub(crate) const PASSWORD: &str = "correct horse";

/// One server, its home, and what the manager keeps, in a directory that goes with it.
pub(crate) struct Machine {
    pub(crate) spec: ExperimentSpec,
    pub(crate) server: Server,
    pub(crate) directory: tempfile::TempDir,
}

impl Machine {
    /// A machine that is not as usual.
    pub(crate) async fn with(change: impl FnOnce(&mut Setting, &Path)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for folder in ["code", "gates", "home"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let code = CodeDirectory::new(directory.path().join("code"));
        let mut setting = Setting::new(directory.path().join("home"));
        setting.password = Some(PASSWORD.to_owned());
        change(&mut setting, directory.path());
        Self {
            spec: ExperimentSpec::new(RandomIds.experiment(), code, "exit 0"),
            server: Server::start(setting).await,
            directory,
        }
    }

    /// How to reach it by password, whatever its host key.
    pub(crate) fn config(&self) -> MachineConfig {
        let mut machine = MachineConfig::new(self.server.address.ip().to_string());
        machine.port = Some(self.server.address.port());
        machine.user = Some(USER.to_owned());
        machine.password = Some(SecretRef::Literal(Secret::new(PASSWORD)));
        machine.host_key_policy = Some(HostKeyPolicy::Off);
        machine
    }

    /// A service for machines reached in these ways; OpenSSH's configuration is `ssh_config` of the directory.
    pub(crate) fn service_of(&self, ctx: &Ctx, machines: Vec<MachineConfig>) -> Arc<dyn TrainingService> {
        let mut config = RemoteConfig::new(machines);
        config.grace_period = Duration::from_millis(300);
        config.ssh_config = Some(self.path("ssh_config"));
        Arc::new(RemoteService::new(ctx.clone(), config, self.spec.id.clone()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A trial's directory on the machine.
    pub(crate) fn trial_dir(&self, trial: &TrialId) -> PathBuf {
        self.path("home/nni-experiments")
            .join(self.spec.id.as_str())
            .join("trials")
            .join(trial.as_str())
    }

    fn gates(&self) -> PathBuf {
        self.directory.path().join("gates")
    }
}

#[async_trait]
impl Fixture for Machine {
    async fn fresh() -> Self {
        Self::with(|_, _| {}).await
    }
    fn ctx(&self) -> Ctx {
        Ctx::new(self.directory.path().join("work"))
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        self.service_of(ctx, vec![self.config()])
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
        for trials in [
            self.directory.path().join("work/trials"),
            self.directory
                .path()
                .join("home/nni-experiments")
                .join(self.spec.id.as_str())
                .join("trials"),
        ] {
            if let Ok(trials) = std::fs::read_dir(trials) {
                left.extend(trials.flatten().map(|entry| entry.path().display().to_string()));
            }
        }
        left
    }
    fn secrets(&self) -> Vec<Secret> {
        vec![Secret::new(PASSWORD)]
    }
}
