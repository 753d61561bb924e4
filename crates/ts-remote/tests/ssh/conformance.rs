//! The remote platform keeps every promise of a training service, with real processes behind a real SSH connection.

use crate::server::{Server, Setting, USER};
use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};
use ts_core::{
    CodeDirectory, Ctx, ExperimentSpec, IdSource as _, RandomIds, Secret, Support, TrainingService, TrialId,
    config::SecretRef,
};
use ts_remote::{HostKeyPolicy, MachineConfig, RemoteConfig, RemoteService};
use ts_testkit::conformance::{Behavior, Fixture, stamped_processes};

const PASSWORD: &str = "correct horse";

struct Machine {
    spec: ExperimentSpec,
    server: Server,
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
        for folder in ["code", "gates", "home"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let code = CodeDirectory::new(directory.path().join("code"));
        let mut setting = Setting::new(directory.path().join("home"));
        setting.password = Some(PASSWORD.to_owned());
        Self {
            spec: ExperimentSpec::new(RandomIds.experiment(), code, "exit 0"),
            server: Server::start(setting).await,
            directory,
        }
    }
    fn ctx(&self) -> Ctx {
        Ctx::new(self.directory.path().join("work"))
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        let mut machine = MachineConfig::new(self.server.address.ip().to_string());
        machine.port = Some(self.server.address.port());
        machine.user = Some(USER.to_owned());
        machine.password = Some(SecretRef::Literal(Secret::new(PASSWORD)));
        machine.host_key_policy = Some(HostKeyPolicy::Off);
        let mut config = RemoteConfig::new(vec![machine]);
        config.grace_period = Duration::from_millis(300);
        config.ssh_config = Some(self.directory.path().join("ssh_config"));
        Arc::new(RemoteService::new(ctx.clone(), config, self.spec.id.clone()))
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

ts_testkit::conformance!(Machine);
