//! The stream behind `watch`: the shared engine over the trials' own files on the storage.

use crate::{core::Running, recover};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::sync::Arc;
use ts_core::{
    Event, LogKind, Result, TrialId, WatchRequest,
    follow::{self, TrialFiles},
    launch::TrialPaths,
};

/// The files of all trials; keeps the cluster observed while somebody watches.
struct Files {
    running: Arc<Running>,
}

impl TrialFiles for Files {
    fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.running.core.folders.paths(trial)
    }

    /// Logs are looked at together with the journal, wanted or not.
    fn want_log(&self, _trial: &TrialId, _log: LogKind) {}

    fn log_is_complete(&self, _trial: &TrialId, _log: LogKind) -> bool {
        true
    }

    /// Done before the stream begins.
    fn look_on(&self, _trial: &TrialId) {}

    fn forget(&self, _trial: &TrialId) {}
}

/// A stream of everything that happens to the experiment's trials. Trials of another service are looked on at if their logs are
/// wanted.
pub(crate) fn stream(running: Result<Arc<Running>>, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
    let running = match running {
        Ok(running) => running,
        Err(error) => return stream::once(async { Err(error) }).boxed(),
    };
    let core = Arc::clone(&running.core);
    // Subscribes at once: what happens from now on is seen, though the stream is polled later.
    let files = Arc::new(Files {
        running: Arc::clone(&running),
    });
    let unknown: Vec<TrialId> = what
        .logs
        .iter()
        .map(|(trial, _)| trial.clone())
        .filter(|trial| core.registry.with(trial, |_| ()).is_none())
        .collect();
    let watched = follow::watch(Arc::clone(&core.registry), files, Arc::clone(&core.ctx.clock), what);
    if unknown.is_empty() {
        return watched;
    }
    let looked_on = async move {
        for trial in &unknown {
            recover::look_on(&running, trial).await;
        }
        watched
    };
    stream::once(looked_on).flatten().boxed()
}
