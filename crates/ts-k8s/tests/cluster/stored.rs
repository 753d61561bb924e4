//! The world with storage that pods mount, and services that see it.

use crate::faults::World;
use async_trait::async_trait;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use ts_core::{Ctx, ExperimentSpec, Secret, Support, TrainingService, TrialId};
use ts_k8s::{KubernetesConfig, KubernetesService, Storage, StorageKind};
use ts_k8s_testkit::SharedVolume;
use ts_testkit::conformance::{Behavior, DEADLINE, Fixture};

/// A world whose pods mount a network file system, or nothing.
pub(crate) struct Stored {
    pub(crate) world: World,
    pub(crate) storage: Option<StorageKind>,
    /// Pods of a trial.
    pub(crate) replicas: u32,
}

impl Stored {
    pub(crate) async fn without() -> Self {
        Self {
            world: World::fresh().await,
            storage: None,
            replicas: 1,
        }
    }

    pub(crate) fn config(&self) -> KubernetesConfig {
        let mut config = self.world.config();
        config.storage = self.storage.clone().map(Storage::new);
        config.roles[0].replicas = self.replicas;
        config
    }

    /// Another service of the same experiment.
    pub(crate) fn other(&self, ctx: &Ctx) -> KubernetesService {
        KubernetesService::new(ctx.clone(), self.config(), self.world.spec.id.clone())
    }

    /// What the experiments have on the storage.
    pub(crate) fn volume(&self) -> PathBuf {
        let volume = match &self.storage {
            Some(StorageKind::Nfs { server, path }) => SharedVolume::Nfs { server, path },
            Some(StorageKind::AzureFiles { share, .. }) => SharedVolume::AzureFile { share },
            other => panic!("{other:?}"),
        };
        self.world.kubelet.volume_dir(&volume).expect("room").join("nni")
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.world.server.client("admin"), "default")
    }

    /// Waits until so many pods of trials are in one of these phases.
    pub(crate) async fn until_pods(&self, n: usize, phases: &[&str]) {
        let wanted = ListParams::default().labels("trialId");
        eventually("phases of pods", async || {
            let pods = self.pods().list(&wanted).await.expect("an answer").items;
            let phases_of = pods.into_iter().filter_map(|pod| pod.status?.phase);
            phases_of.filter(|phase| phases.contains(&phase.as_str())).count() == n
        })
        .await;
    }

    /// Somebody removes every object and pod of the trials at once.
    pub(crate) async fn remove_trials(&self) {
        let jobs: Api<Job> = Api::namespaced(self.world.server.client("admin"), "default");
        let all = ListParams::default().labels("trialId");
        jobs.delete_collection(&DeleteParams::background(), &all)
            .await
            .expect("an answer");
        self.remove_pods().await;
    }

    /// Somebody removes every pod of the trials at once.
    pub(crate) async fn remove_pods(&self) {
        let all = ListParams::default().labels("trialId");
        let now = DeleteParams::default().grace_period(0);
        self.pods().delete_collection(&now, &all).await.expect("an answer");
        eventually("the end of the pods", async || {
            self.pods().list(&all).await.expect("an answer").items.is_empty()
        })
        .await;
    }
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let ctx = Ctx::new(".");
    let waited = tokio::time::timeout(DEADLINE, async {
        while !is_so().await {
            ctx.clock.sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waiting for {what}"));
}

#[async_trait]
impl Fixture for Stored {
    async fn fresh() -> Self {
        let storage = StorageKind::Nfs {
            server: "nfs.example.org".to_owned(),
            path: "/exports".to_owned(),
        };
        Self {
            storage: Some(storage),
            ..Self::without().await
        }
    }
    fn ctx(&self) -> Ctx {
        self.world.ctx()
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        Arc::new(self.other(ctx))
    }
    fn spec(&self) -> ExperimentSpec {
        self.world.spec()
    }
    fn command(&self, behavior: &Behavior) -> String {
        self.world.command(behavior)
    }
    async fn open_gate(&self, gate: &str) {
        self.world.open_gate(gate).await;
    }
    async fn hold_queue(&self, held: bool) -> Support {
        self.world.hold_queue(held).await
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        self.world.running(trial).await
    }
    async fn leftovers(&self) -> Vec<String> {
        let mut left = self.world.leftovers().await;
        if self.storage.is_some() {
            let files = self.volume().join(self.world.spec.id.as_str());
            left.extend(files.exists().then(|| files.display().to_string()));
        }
        let looks = self.world.path("work/looks");
        left.extend(looks.exists().then(|| looks.display().to_string()));
        left
    }
    fn secrets(&self) -> Vec<Secret> {
        self.world.secrets()
    }
}
