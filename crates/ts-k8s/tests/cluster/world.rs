//! A cluster of this process with a service that uses it, and what the conformance suite asks of both.
//!
//! What a trial becomes there and where its files are is a [`Variant`]; those of the suite are in `variants`.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, PostParams};
use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use ts_core::{
    CodeDirectory, Ctx, ExperimentSpec, IdSource as _, RandomIds, Secret, Support, TrainingService, TrialId,
};
use ts_k8s::{KubernetesConfig, KubernetesService};
use ts_k8s_testkit::{ApiServer, Kubelet, Operators, Options, Setting, SharedVolume, User, install_crds};
use ts_testkit::conformance::{Behavior, DEADLINE, Fixture, stamped_processes};

/// The user of the API server that the service is.
pub(crate) const MANAGER: &str = "manager";
/// Image of the init container in which the tasks of a Framework wait for each other.
const BARRIER: &str = "frameworkcontroller/frameworkbarrier";
/// What trials of the suite wait for.
const GPU: &str = "nvidia.com/gpu";
const PLENTY: &str = "1000";
/// Everything that a trial or its operators may make.
const PLURALS: [&str; 10] = [
    "jobs",
    "tfjobs",
    "pytorchjobs",
    "trainjobs",
    "trainingruntimes",
    "frameworks",
    "pods",
    "services",
    "configmaps",
    "secrets",
];

/// What a trial becomes in the cluster, and where its files are.
pub(crate) trait Variant: Send + Sync + 'static {
    /// The settings, but for those of the test's own cluster.
    fn config() -> KubernetesConfig;

    /// The operators that the cluster has beside that of plain jobs.
    fn operators(_: &mut Options) {}

    /// The storage that the pods mount.
    fn storage() -> Option<SharedVolume<'static>> {
        None
    }
}

/// Everything of one test, in a directory that goes with it.
pub(crate) struct World<V> {
    pub(crate) spec: ExperimentSpec,
    pub(crate) server: ApiServer,
    pub(crate) kubelet: Arc<Kubelet>,
    _operators: Operators,
    pub(crate) directory: tempfile::TempDir,
    _variant: PhantomData<V>,
}

impl<V: Variant> World<V> {
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
        for resource in ["pods", "cpu", GPU] {
            kubelet.allocatable(resource, PLENTY);
        }
        kubelet.entrypoint(BARRIER, &["/bin/sh", "-c", "true >/mnt/frameworkbarrier/injector.sh"]);
        server.set_node(kubelet.clone());
        let mut options = Options::default();
        options.job = true;
        V::operators(&mut options);
        install_crds(&server.client("admin"), &options)
            .await
            .expect("kinds that fit");
        let operators = Operators::start(server.client("admin"), options);
        if let Some(SharedVolume::Claim { namespace, name }) = V::storage() {
            make_claim(&server, namespace, name).await;
        }
        let code = CodeDirectory::new(directory.path().join("code"));
        let world = Self {
            spec: ExperimentSpec::new(RandomIds.experiment(), code, "exit 0"),
            server,
            kubelet,
            _operators: operators,
            directory,
            _variant: PhantomData,
        };
        world.write_kubeconfig();
        world
    }

    /// Gives the service the credentials of its user as they are now.
    pub(crate) fn write_kubeconfig(&self) {
        write(&self.path("kubeconfig"), &self.server.kubeconfig(MANAGER));
    }

    /// What is there at this moment.
    fn left_now(&self) -> Vec<String> {
        let mut left = stamped_processes(&self.spec.id, None);
        for plural in PLURALS {
            left.extend(self.names(plural).iter().map(|name| format!("{plural} {name}")));
        }
        left.extend(entries(&self.path("work/trials")));
        if let Some(storage) = V::storage() {
            let folder = self.kubelet.volume_dir(&storage).expect("a folder");
            left.extend(entries(&folder.join("nni")));
        }
        left
    }

    /// Whether the cluster is at removing something: what was deleted, or what has lost its owner.
    fn is_removing(&self) -> bool {
        let objects: Vec<_> = PLURALS.iter().flat_map(|plural| self.server.objects(plural)).collect();
        let is_there = |uid: &serde_json::Value| objects.iter().any(|object| object["metadata"]["uid"] == *uid);
        objects.iter().map(|object| &object["metadata"]).any(|metadata| {
            let mut owners = metadata["ownerReferences"].as_array().into_iter().flatten();
            metadata["deletionTimestamp"].is_string() || owners.any(|owner| !is_there(&owner["uid"]))
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How the service sees the cluster.
    pub(crate) fn config(&self) -> KubernetesConfig {
        let mut config = V::config();
        config.access.kubeconfig = Some(self.path("kubeconfig"));
        config.grace_period = Duration::from_secs(1);
        for role in &mut config.roles {
            role.gpus = 1;
        }
        config
    }

    /// Names of the objects of this plural.
    pub(crate) fn names(&self, plural: &str) -> Vec<String> {
        let objects = self.server.objects(plural);
        let name = |object: &serde_json::Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        objects.iter().map(name).collect()
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("room");
}

/// Whether a process, as `pid: command`, is of a task role that only serves the others of its Framework. Such roles run until the
/// Framework is over, and that waits until somebody has heard its pods; `roles` looks after them.
fn only_serves(process: &str) -> bool {
    let pid = process.split(':').next().unwrap_or_default();
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|entry| entry == b"FC_TASKROLE_NAME=ps")
}

async fn make_claim(server: &ApiServer, namespace: &str, name: &str) {
    let claim = serde_json::json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let claim: PersistentVolumeClaim = serde_json::from_value(claim).expect("a claim");
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(server.client("admin"), namespace);
    claims.create(&PostParams::default(), &claim).await.expect("room");
}

/// Entries of a folder, which need not exist.
fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .collect()
}

#[async_trait]
impl<V: Variant> Fixture for World<V> {
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
        // Not a halt of all scheduling: pods that bring code or remove files need no GPU, and no queue holds them.
        self.kubelet.allocatable(GPU, if held { "0" } else { PLENTY });
        Support::Yes
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        let processes = stamped_processes(&self.spec.id, Some(trial));
        processes.into_iter().filter(|process| !only_serves(process)).collect()
    }
    /// An operator may make a pod for a job that is just gone; the cluster's garbage collector removes it then.
    async fn leftovers(&self) -> Vec<String> {
        let ctx = self.ctx();
        let gone = async {
            let mut n_quiet = 0;
            while n_quiet < 40 && !self.left_now().is_empty() {
                ctx.clock.sleep(Duration::from_millis(250)).await;
                n_quiet = if self.is_removing() { 0 } else { n_quiet + 1 };
            }
        };
        // What is there at the end is told.
        let _ = tokio::time::timeout(DEADLINE, gone).await;
        self.left_now()
    }
    fn secrets(&self) -> Vec<Secret> {
        vec![Secret::new("token-of-manager")]
    }
}
