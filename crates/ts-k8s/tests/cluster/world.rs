//! A cluster of this process with a service that uses it, and what the conformance suite asks of both.

use async_trait::async_trait;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use ts_core::{
    CodeDirectory, Ctx, ExperimentSpec, IdSource as _, RandomIds, Secret, Support, TrainingService, TrialId,
};
use ts_k8s::{JobKind, KubernetesConfig, KubernetesService, Role};
use ts_k8s_testkit::{ApiServer, Kubelet, Operators, Options, Setting, User};
use ts_testkit::conformance::{Behavior, Fixture, stamped_processes};

/// The user of the API server that the service is.
pub(crate) const MANAGER: &str = "manager";

/// Everything of one test, in a directory that goes with it.
pub(crate) struct World {
    pub(crate) spec: ExperimentSpec,
    pub(crate) server: ApiServer,
    pub(crate) kubelet: Arc<Kubelet>,
    _operators: Operators,
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    /// A world whose API server is so.
    pub(crate) async fn with(setting: Setting) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for folder in ["code", "gates", "node"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let server = ApiServer::start(setting).await.expect("a server");
        // The service is another user than the rest of the cluster.
        server.set_user(User::admin(MANAGER));
        let kubelet = Kubelet::start(server.client("admin"), directory.path().join("node"));
        kubelet.allocatable("pods", "1000").allocatable("cpu", "1000");
        server.set_node(kubelet.clone());
        let mut options = Options::default();
        options.job = true;
        let operators = Operators::start(server.client("admin"), options);
        let code = CodeDirectory::new(directory.path().join("code"));
        let world = Self {
            spec: ExperimentSpec::new(RandomIds.experiment(), code, "exit 0"),
            server,
            kubelet,
            _operators: operators,
            directory,
        };
        world.write_kubeconfig();
        world
    }

    /// Gives the service the credentials of its user as they are now.
    pub(crate) fn write_kubeconfig(&self) {
        write(&self.path("kubeconfig"), &self.server.kubeconfig(MANAGER));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How the service sees the cluster.
    pub(crate) fn config(&self) -> KubernetesConfig {
        let mut config = KubernetesConfig::new(JobKind::Job, vec![Role::new("worker", "local/busybox:1")]);
        config.access.kubeconfig = Some(self.path("kubeconfig"));
        config.grace_period = Duration::from_secs(1);
        config
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("room");
}

#[async_trait]
impl Fixture for World {
    async fn fresh() -> Self {
        Self::with(Setting::default()).await
    }
    fn ctx(&self) -> Ctx {
        Ctx::new(self.path("work"))
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        Arc::new(KubernetesService::new(ctx.clone(), self.config(), self.spec.id.clone()))
    }
    fn spec(&self) -> ExperimentSpec {
        self.spec.clone()
    }
    fn command(&self, behavior: &Behavior) -> String {
        behavior.to_shell(&self.path("gates"))
    }
    async fn open_gate(&self, gate: &str) {
        write(&self.path("gates").join(gate), "");
    }
    async fn hold_queue(&self, held: bool) -> Support {
        self.kubelet.hold_scheduling(held);
        Support::Yes
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        stamped_processes(&self.spec.id, Some(trial))
    }
    async fn leftovers(&self) -> Vec<String> {
        let mut left = stamped_processes(&self.spec.id, None);
        for plural in ["jobs", "pods", "configmaps", "secrets"] {
            let objects = self.server.objects(plural);
            left.extend(
                objects
                    .iter()
                    .map(|object| format!("{plural} {}", object["metadata"]["name"])),
            );
        }
        if let Ok(trials) = std::fs::read_dir(self.path("work/trials")) {
            left.extend(trials.flatten().map(|entry| entry.path().display().to_string()));
        }
        left
    }
    fn secrets(&self) -> Vec<Secret> {
        vec![Secret::new("token-of-manager")]
    }
}
