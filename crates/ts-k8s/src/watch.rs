//! The stream behind `watch`: the shared engine over the mirror.

use crate::{core::Running, recover};
use futures_util::stream::BoxStream;
use std::sync::Arc;
use ts_core::{
    Event, LogKind, Result, TrialId, WatchRequest,
    follow::{self, TrialFiles},
    launch::TrialPaths,
};

/// The mirrored files of all trials; keeps the cluster observed while somebody watches.
pub(crate) struct Files {
    running: Arc<Running>,
}

impl Files {
    pub(crate) fn new(running: Arc<Running>) -> Arc<Self> {
        Arc::new(Self { running })
    }
}

impl TrialFiles for Files {
    fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.running.core.mirror.paths(trial)
    }

    /// Logs come with the journal, wanted or not.
    fn want_log(&self, _trial: &TrialId, _log: LogKind) {}

    fn log_is_complete(&self, _trial: &TrialId, _log: LogKind) -> bool {
        true
    }

    fn forget(&self, _trial: &TrialId) {}
}

/// A stream of everything that happens to the experiment's trials. Trials of another service are looked on at if their logs are
/// wanted.
pub(crate) fn stream(files: Arc<Files>, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
    let core = Arc::clone(&files.running.core);
    for (trial, _) in &what.logs {
        if core.registry.with(trial, |_| ()).is_none() {
            recover::look_on(&core, trial);
        }
    }
    follow::watch(Arc::clone(&core.registry), files, Arc::clone(&core.ctx.clock), what)
}
