//! The stream behind `watch`: the shared engine over the mirror.

use crate::{
    core::{Core, Running},
    recover,
};
use futures_util::stream::BoxStream;
use std::sync::Arc;
use ts_core::{
    Event, LogKind, Result, TrialId, WatchRequest,
    follow::{self, TrialFiles},
    launch::TrialPaths,
};

/// The mirrored files of all trials; keeps the machines served while somebody watches.
pub(crate) struct Files {
    running: Arc<Running>,
}

impl Files {
    pub(crate) fn new(running: Arc<Running>) -> Arc<Self> {
        Arc::new(Self { running })
    }

    fn core(&self) -> &Arc<Core> {
        &self.running.core
    }
}

impl TrialFiles for Files {
    fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.core().mirror.paths(trial)
    }

    fn want_log(&self, trial: &TrialId, log: LogKind) {
        self.core().follow_log(trial, log);
    }

    fn log_is_complete(&self, trial: &TrialId, log: LogKind) -> bool {
        self.core().mirror.log_is_complete(trial, log)
    }

    fn forget(&self, _trial: &TrialId) {}
}

/// A stream of everything that happens to the experiment's trials. Trials of another service are looked on at if their logs are
/// wanted.
pub(crate) fn stream(files: Arc<Files>, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
    let core = Arc::clone(files.core());
    for (trial, _) in &what.logs {
        if core.registry.get(trial).is_none() {
            recover::look_on(&core, trial);
        }
    }
    follow::watch(Arc::clone(&core.registry), files, Arc::clone(&core.ctx.clock), what)
}
