//! The stream behind `watch`: the shared engine over the trials' own files on the storage.

use crate::{core::Running, recover};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::sync::Arc;
use ts_core::{
    Event, Result, TrialId, WatchRequest,
    follow::{StoredFiles, watch_looking_on},
};

/// A stream of everything that happens to the experiment's trials. Trials of another service are looked on at if their logs are
/// wanted. The cluster is observed while somebody watches.
pub(crate) fn stream(running: Result<Arc<Running>>, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
    let running = match running {
        Ok(running) => running,
        Err(error) => return stream::once(async { Err(error) }).boxed(),
    };
    let core = Arc::clone(&running.core);
    let watched = Arc::clone(&running);
    let files = StoredFiles::new(move |trial: &TrialId| watched.core.folders.paths(trial));
    let look_on = |unknown: Vec<TrialId>| async move {
        for trial in &unknown {
            recover::look_on(&running, trial).await;
        }
    };
    let (registry, clock) = (Arc::clone(&core.registry), Arc::clone(&core.ctx.clock));
    watch_looking_on(registry, Arc::new(files), clock, what, look_on)
}
