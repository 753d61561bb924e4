//! The running side of a service: what its operations share, and tasks that end with the service.
//!
//! What the tasks do is each platform's own.

use crate::TaskScope;
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the operations of a service share, `C`, whose tasks end when this is dropped. Trials do not.
#[derive(Debug)]
pub struct Running<C> {
    /// What is shared.
    pub core: Arc<C>,
    tasks: TaskScope,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl<C> Running<C> {
    /// Over `core`; nothing runs yet. Closing `tasks` ends its tasks, too.
    pub fn new(core: C, tasks: TaskScope) -> Arc<Self> {
        let stop = CancellationToken::new();
        Arc::new(Self {
            core: Arc::new(core),
            tasks,
            _stop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Runs tasks that end with this.
    pub fn spawner(&self) -> Spawner<C> {
        Spawner {
            core: Arc::clone(&self.core),
            tasks: self.tasks.clone(),
            stop: self.stop.clone(),
        }
    }
}

/// Runs tasks until its [`Running`] is dropped or its scope is closed. Holds neither up.
#[derive(Debug)]
pub struct Spawner<C> {
    /// What is shared.
    pub core: Arc<C>,
    tasks: TaskScope,
    stop: CancellationToken,
}

impl<C> Clone for Spawner<C> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            tasks: self.tasks.clone(),
            stop: self.stop.clone(),
        }
    }
}

impl<C> Spawner<C> {
    /// Runs `task`.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stop.clone().cancelled_owned();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stopped => {}
                () = task => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_end_with_their_service_though_spawners_are_left() {
        let scope = TaskScope::new();
        let running = Running::new((), scope.clone());
        let spawner = running.spawner();
        let (held, mut ended) = tokio::sync::oneshot::channel::<()>();
        spawner.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        assert!(
            ended
                .try_recv()
                .is_err_and(|e| e == tokio::sync::oneshot::error::TryRecvError::Empty)
        );
        drop(running);
        ended.await.expect_err("dropped");
        // What is spawned late ends at once.
        let (held, ended) = tokio::sync::oneshot::channel::<()>();
        spawner.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        ended.await.expect_err("dropped");
        scope.close().await;
    }
}
