//! What all parts of the node have in common: the client, the folder, the settings, the pods, and the tasks that end with it.

use super::{
    events::Report,
    pod::PodRun,
    process::{self, Victim},
    settings::Settings,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, core::Status};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt, fs, io,
    path::{Component, Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The name of the only node.
pub(super) const NODE: &str = "n1";

/// How long the API server may take for an answer before it is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Numbers for addresses and containers, never given twice by this program.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Pods as the API server has them, by uid.
pub(super) type Objects = BTreeMap<String, Pod>;

/// The node.
pub(super) struct Shared {
    /// The way to the API server.
    pub(super) client: Client,
    /// Everything that the node writes is below.
    pub(super) dir: PathBuf,
    /// Where events go.
    pub(super) events: mpsc::UnboundedSender<Report>,
    /// Wakes the scheduler.
    pub(super) reschedule: Notify,
    /// Set once nobody hears from the node any more.
    pub(super) lost: watch::Sender<bool>,
    settings: Mutex<Settings>,
    pods: Mutex<HashMap<String, Arc<PodRun>>>,
    objects: Mutex<Objects>,
    live: Mutex<HashSet<Victim>>,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// A volume that several pods can have, and that outlives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedVolume<'a> {
    /// That of a PersistentVolumeClaim.
    Claim {
        /// The namespace of the claim.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A folder that an NFS server exports. One below another lies inside it.
    Nfs {
        /// The name of the server.
        server: &'a str,
        /// The folder there.
        path: &'a str,
    },
    /// A share of Azure Files.
    AzureFile {
        /// The name of the share.
        share: &'a str,
    },
}

impl Shared {
    /// A node without pods.
    pub(super) fn new(client: Client, dir: PathBuf, events: mpsc::UnboundedSender<Report>) -> Self {
        Self {
            client,
            dir,
            events,
            reschedule: Notify::new(),
            lost: watch::Sender::new(false),
            settings: Mutex::default(),
            pods: Mutex::default(),
            objects: Mutex::default(),
            live: Mutex::default(),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
        }
    }

    /// Runs a task until it ends or the node does.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.end.clone().run_until_cancelled_owned(task));
    }

    /// Ends all tasks and all processes.
    pub(super) fn shut_down(&self) {
        self.end.cancel();
        self.kill_everything();
    }

    /// Ends all processes.
    pub(super) fn kill_everything(&self) {
        let victims: Vec<Victim> = lock(&self.live).iter().cloned().collect();
        process::kill_all(&victims);
    }

    /// Nobody hears from the node any more.
    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// The settings of this moment.
    pub(super) fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// Changes settings, and lets waiting pods have another try.
    pub(super) fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.settings));
        self.reschedule.notify_one();
    }

    /// The pods that are on the node, by uid.
    pub(super) fn pods(&self) -> MutexGuard<'_, HashMap<String, Arc<PodRun>>> {
        lock(&self.pods)
    }

    /// A pod that is on the node, by name.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<Arc<PodRun>> {
        let pods = self.pods();
        let mut found = pods
            .values()
            .filter(|pod| pod.id.namespace == namespace && pod.id.name == name);
        found.find(|pod| !pod.is_gone()).cloned()
    }

    /// All pods of the cluster.
    pub(super) fn objects(&self) -> MutexGuard<'_, Objects> {
        lock(&self.objects)
    }

    /// The containers that may have processes.
    pub(super) fn live(&self) -> MutexGuard<'_, HashSet<Victim>> {
        lock(&self.live)
    }

    /// The folder of a shared volume, which is made if it is new.
    pub(super) fn volume(&self, volume: &SharedVolume<'_>) -> io::Result<PathBuf> {
        let shared = self.dir.join("shared");
        let dir = match volume {
            SharedVolume::Claim { namespace, name } => shared.join("claim").join(namespace).join(name),
            SharedVolume::Nfs { server, path } => inside(&shared.join("nfs").join(server), path),
            SharedVolume::AzureFile { share } => shared.join("azure").join(share),
        };
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

/// A number that nobody has had.
pub(super) fn next_number() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The answer to a call. Nothing: there is none so far, or it was none to rely on, and the call has to be made again.
pub(super) async fn answer<T>(call: impl Future<Output = kube::Result<T>>) -> Option<Result<T, Box<Status>>> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Some(Ok(answer)),
        Ok(Err(kube::Error::Api(status))) if (400..500).contains(&status.code) && status.code != 429 => {
            Some(Err(status))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a call went wrong");
            None
        }
        Err(_) => None,
    }
}

/// The path taken as one inside the folder, whatever it is.
pub(super) fn inside(dir: &Path, path: &str) -> PathBuf {
    let parts = Path::new(path)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    parts.fold(dir.to_owned(), |dir, part| dir.join(part))
}

/// Locks. A test that panicked meanwhile is no reason to stop the others.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
