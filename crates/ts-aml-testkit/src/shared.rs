//! What requests and jobs share: the setting, the state of the platform, and the news that it changed.

use crate::{setting::Setting, world::World};
use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Shared by all tasks of a server.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) setting: Setting,
    /// Base address for clients.
    pub(crate) base: String,
    /// Folder with one folder a job.
    pub(crate) sandbox: PathBuf,
    /// Marks the processes of this server's jobs.
    pub(crate) stamp: String,
    pub(crate) jobs: TaskTracker,
    /// The server ends.
    pub(crate) stop: CancellationToken,
    world: Mutex<World>,
    changed: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(setting: Setting, base: String, sandbox: PathBuf) -> Self {
        let world = Mutex::new(World::new(&setting));
        Self {
            setting,
            base,
            sandbox,
            stamp: crate::world::uuid(),
            jobs: TaskTracker::new(),
            stop: CancellationToken::new(),
            world,
            changed: watch::Sender::new(0),
        }
    }

    /// The state.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and tells those who wait.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let result = change(&mut self.world());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// Waits until the state is as asked.
    pub(crate) async fn wait<T>(&self, mut look: impl FnMut(&mut World) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let found = look(&mut self.world());
            if let Some(found) = found {
                return found;
            }
            // The sender lives as long as this.
            let _ = changed.changed().await;
        }
    }

    /// Path of the workspace in Resource Manager.
    pub(crate) fn scope(&self) -> String {
        let Setting {
            subscription,
            resource_group,
            workspace,
            ..
        } = &self.setting;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/\
             Microsoft.MachineLearningServices/workspaces/{workspace}"
        )
    }
}
