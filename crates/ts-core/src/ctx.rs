//! What a platform may want from outside: clock, ids, secrets, tasks, a place for files.

use crate::{Clock, IdSource, NoSecrets, RandomIds, SecretSource, SystemClock};
use std::{future::Future, path::PathBuf, sync::Arc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Target of the `tracing` events that tell a person who waits how far a long step is, such as an upload.
///
/// Such an event is of level INFO and has only a message, without secrets; a step has one a second at most.
pub const PROGRESS: &str = "progress";

/// All that a platform may want from outside. Built by `main`, or by a test; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Minting of ids.
    pub ids: Arc<dyn IdSource>,
    /// Secret references.
    pub secrets: Arc<dyn SecretSource>,
    /// Background tasks.
    pub tasks: TaskScope,
    /// The experiment's directory on this machine; absolute.
    pub work_dir: PathBuf,
}

impl Ctx {
    /// The machine's clock, random ids, no secrets, and a new task scope.
    pub fn new(work_dir: impl Into<PathBuf>) -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            ids: Arc::new(RandomIds),
            secrets: Arc::new(NoSecrets),
            tasks: TaskScope::new(),
            work_dir: work_dir.into(),
        }
    }
}

/// Owns every task that is spawned on it: ending the scope ends them all.
#[derive(Debug, Clone, Default)]
pub struct TaskScope {
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl TaskScope {
    /// A scope with no task.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` until it ends or the scope is closed, whichever is first.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Runs blocking `work` on the runtime's blocking pool and gives its result.
    ///
    /// # Panics
    /// Resumes a panic of `work`.
    ///
    /// # Cancel safety
    /// Dropping the future lets the work run to its end; its result is lost.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self.tracker.spawn_blocking(work).await {
            Ok(value) => value,
            Err(e) => match e.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await, // the runtime is going down
            },
        }
    }

    /// Ends when the scope is closed; for tasks that have something to put away.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cancel.clone().cancelled_owned()
    }

    /// Ends every task and waits until they are gone.
    pub async fn close(&self) {
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn closing_a_scope_ends_its_tasks() {
        let scope = TaskScope::new();
        let probe = Arc::new(());
        let held = Arc::clone(&probe);
        scope.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        scope.close().await;
        assert_eq!(Arc::strong_count(&probe), 1);
    }
}
