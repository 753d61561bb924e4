//! A few connections to the store, lent to one request each; reading blocks, so it is done on threads for that.

use crate::store::StoreReader;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ts_core::{Error, ErrorKind, Result, TaskScope};

/// Reads at a time, each of which answers at once.
const SHORT: usize = 4;
/// Reads at a time whose pace the client sets.
const STREAMS: usize = 4;

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    tasks: TaskScope,
    idle: Mutex<Vec<StoreReader>>,
    short: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, tasks: TaskScope) -> Arc<Self> {
        Arc::new(Self {
            path,
            tasks,
            idle: Mutex::new(Vec::new()),
            short: Arc::new(Semaphore::new(SHORT)),
            streams: Arc::new(Semaphore::new(STREAMS)),
        })
    }

    /// Reads something and gives it.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&StoreReader) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = permit(&self.short).await?;
        let own = Arc::clone(self);
        self.tasks
            .blocking(move || {
                let _permit = permit;
                own.lend(read)
            })
            .await
    }

    /// Begins something that may take as long as its client.
    pub(super) async fn stream(
        self: &Arc<Self>,
        read: impl FnOnce(&StoreReader) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let permit = permit(&self.streams).await?;
        let (own, tasks) = (Arc::clone(self), self.tasks.clone());
        self.tasks.spawn(async move {
            tasks
                .blocking(move || {
                    let _permit = permit;
                    if let Err(error) = own.lend(read) {
                        tracing::debug!("a long reply ended early: {error}");
                    }
                })
                .await;
        });
        Ok(())
    }

    fn lend<T>(&self, read: impl FnOnce(&StoreReader) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => StoreReader::open(&self.path)?,
        };
        // One that failed is not used again.
        let value = read(&reader)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        Ok(value)
    }
}

async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    let ending = |_| Error::new(ErrorKind::Conflict, "the experiment is ending");
    Arc::clone(of).acquire_owned().await.map_err(ending)
}
