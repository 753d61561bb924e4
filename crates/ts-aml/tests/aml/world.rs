//! An Azure ML of this process with a service that uses it, and what the conformance suite asks of both.

use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};
use ts_aml::{AmlConfig, AmlService, Cloud, Credential};
use ts_aml_testkit::{AmlServer, Setting};
use ts_core::{
    CodeDirectory, Ctx, ExperimentSpec, IdSource as _, RandomIds, Secret, Support, TrainingService, TrialId,
    config::SecretRef, http::Url,
};
use ts_testkit::conformance::{Behavior, Fixture, stamped_processes};

/// Everything of one test, in a directory that goes with it.
pub(crate) struct World {
    pub(crate) spec: ExperimentSpec,
    pub(crate) server: AmlServer,
    pub(crate) directory: tempfile::TempDir,
    /// Who we are, if not the application with its secret.
    pub(crate) credential: Option<Credential>,
    /// What else is different in the configuration.
    pub(crate) tune: fn(&mut AmlConfig),
}

impl World {
    /// A server that is not as usual.
    pub(crate) async fn with(change: impl FnOnce(&mut Setting)) -> Self {
        Self::at(tempfile::tempdir().expect("a temporary directory"), change).await
    }

    /// The same in this directory.
    pub(crate) async fn at(directory: tempfile::TempDir, change: impl FnOnce(&mut Setting)) -> Self {
        for folder in ["code", "gates"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let mut setting = Setting::default();
        change(&mut setting);
        let code = CodeDirectory::new(directory.path().join("code"));
        Self {
            spec: ExperimentSpec::new(RandomIds.experiment(), code, "exit 0"),
            server: AmlServer::start(setting).await.expect("a server"),
            directory,
            credential: None,
            tune: |_| {},
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How the service sees the workspace.
    pub(crate) fn config(&self) -> AmlConfig {
        let setting = self.server.setting();
        let url = |text: &str| Url::parse(text).expect("an address");
        let mut cloud = Cloud::at(
            url(self.server.arm()),
            "https://management.azure.com",
            url(self.server.login()),
        );
        cloud.imds = Some(url(self.server.imds()));
        let mut config = AmlConfig::new(
            &setting.subscription,
            &setting.resource_group,
            &setting.workspace,
            &setting.computes[0].name,
            "python:3.12",
            cloud,
        );
        let secret = Credential::ClientSecret {
            tenant: setting.tenant.clone(),
            client: setting.client_id.clone(),
            secret: SecretRef::Literal(Secret::new(&setting.client_secret)),
        };
        config.credential = self.credential.clone().unwrap_or(secret);
        config.poll_interval = Duration::from_millis(100);
        config.pull_interval = Duration::from_millis(100);
        config.vanish_after = Duration::from_secs(2);
        (self.tune)(&mut config);
        config
    }

    pub(crate) fn service_of(&self, ctx: &Ctx, config: AmlConfig) -> Arc<dyn TrainingService> {
        Arc::new(AmlService::new(ctx.clone(), config, self.spec.id.clone()))
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
        if held {
            self.server.hold("Queued");
        } else {
            self.server.let_go("Queued");
        }
        Support::Yes
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        stamped_processes(&self.spec.id, Some(trial))
    }
    async fn leftovers(&self) -> Vec<String> {
        let mut left = stamped_processes(&self.spec.id, None);
        let is_live = |job: &String| {
            let status = self.server.status(job).unwrap_or_default();
            !["Completed", "Failed", "Canceled"].contains(&status.as_str())
        };
        left.extend(self.server.jobs().into_iter().filter(is_live));
        left.extend(self.server.blobs("nni"));
        left
    }
    fn secrets(&self) -> Vec<Secret> {
        vec![
            Secret::new(&self.server.setting().client_secret),
            Secret::new(self.server.account().1),
        ]
    }
}
