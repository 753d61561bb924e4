//! What a test holds of the node: it starts it, sets it up, and looks into its volumes. Breaking it is in `faults`.

use super::{
    events, exec, logs, scheduler,
    settings::Settings,
    shared::{Shared, SharedVolume},
    watch,
};
use crate::{Exec, Node, PodRef};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use kube::Client;
use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// The node `n1`: scheduler, kubelet and container runtime in one.
///
/// It binds pods to itself and runs their containers as processes of this machine, as the user who runs the test. Dropping it ends
/// every process. Containers see the machine's files, and their volumes under other names than they ask for: `mounts` says how
/// commands are changed for that. Wait times are short where those of a real kubelet are long.
#[derive(Debug)]
pub struct Kubelet {
    pub(super) shared: Arc<Shared>,
}

impl Kubelet {
    /// Starts the node. It writes below `dir` only.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(client: Client, dir: impl Into<PathBuf>) -> Arc<Self> {
        let (sender, reports) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(client, dir.into(), sender));
        shared.spawn(events::send(shared.clone(), reports));
        shared.spawn(watch::follow(shared.clone()));
        shared.spawn(scheduler::schedule(shared.clone()));
        Arc::new(Self { shared })
    }

    /// Whether pods stay `Pending` for want of a GPU. Default no.
    pub fn hold_scheduling(&self, hold: bool) -> &Self {
        self.set(|settings| settings.hold_scheduling = hold)
    }

    /// How much of a resource the node has, such as `nvidia.com/gpu` and `4`.
    ///
    /// Default: 16 `cpu`, 64Gi `memory`, 100Gi `ephemeral-storage`, 110 `pods`, and nothing of any other.
    pub fn allocatable(&self, resource: &str, quantity: &str) -> &Self {
        self.set(|settings| {
            settings
                .allocatable
                .extend([(resource.to_owned(), quantity.to_owned())]);
        })
    }

    /// A label of the node, for node selectors.
    pub fn label(&self, key: &str, value: &str) -> &Self {
        self.set(|settings| settings.labels.extend([(key.to_owned(), value.to_owned())]))
    }

    /// No registry has this image. Every other is on the node already.
    pub fn missing_image(&self, image: &str) -> &Self {
        self.set(|settings| settings.missing_images.extend([image.to_owned()]))
    }

    /// An image that was missing can be pulled from now on.
    pub fn provide_image(&self, image: &str) -> &Self {
        self.set(|settings| settings.missing_images.retain(|missing| missing != image))
    }

    /// What an image runs where the container has no `command`. Without this, `args` alone are the command.
    pub fn entrypoint(&self, image: &str, command: &[&str]) -> &Self {
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        self.set(|settings| settings.entrypoints.extend([(image.to_owned(), command)]))
    }

    /// A variable that every image brings. Default: `PATH` with the usual places.
    pub fn image_env(&self, name: &str, value: &str) -> &Self {
        self.set(|settings| settings.image_env.extend([(name.to_owned(), value.to_owned())]))
    }

    /// Images are pulled, and each pull takes so long. Default: they are there.
    pub fn pull_delay(&self, delay: Duration) -> &Self {
        self.set(|settings| settings.pull_delay = Some(delay))
    }

    /// The first wait before a container is started again or something missing is looked for again. Default 200 ms; it doubles.
    pub fn back_off(&self, first: Duration) -> &Self {
        self.set(|settings| settings.back_off = first)
    }

    /// Logs larger than so many bytes, times and marks included, are begun anew. Default never. Counts for containers that start
    /// afterwards.
    pub fn log_limit(&self, bytes: u64) -> &Self {
        self.set(|settings| settings.log_limit = Some(bytes))
    }

    /// The folder of a volume that pods share, with or without pods.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn volume_dir(&self, volume: &SharedVolume<'_>) -> std::io::Result<PathBuf> {
        self.shared.volume(volume)
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) -> &Self {
        self.shared.set(change);
        self
    }
}

impl Node for Kubelet {
    fn log(&self, pod: &PodRef, query: &HashMap<String, String>) -> Result<BoxStream<'static, Bytes>, (u16, String)> {
        logs::log(&self.shared, pod, query)
    }

    fn exec(&self, pod: &PodRef, container: &str, command: &[String]) -> Result<Exec, (u16, String)> {
        exec::exec(&self.shared, pod, container, command)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.shared.shut_down();
    }
}
