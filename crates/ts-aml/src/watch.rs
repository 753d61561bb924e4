//! The stream behind `watch`: the shared engine over our copies of what trials have written.

use crate::{core::Running, pull, recover};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::sync::Arc;
use ts_core::{
    Event, LogKind, Result, TrialId, WatchRequest,
    follow::{TrialFiles, watch_looking_on},
    launch::TrialPaths,
};

/// The files of all trials; keeps the workspace observed while somebody watches.
struct Files {
    running: Arc<Running>,
}

impl TrialFiles for Files {
    fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.running.core.folders.paths(trial)
    }

    fn want_log(&self, trial: &TrialId, log: LogKind) {
        pull::want(&self.running.core, trial, log);
    }

    /// A trial's end is entered once all of it is here.
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
    let files = Arc::new(Files {
        running: Arc::clone(&running),
    });
    let look_on = |unknown: Vec<TrialId>| async move {
        for trial in &unknown {
            recover::look_on(&running, trial).await;
        }
    };
    let (registry, clock) = (Arc::clone(&core.registry), Arc::clone(&core.ctx.clock));
    watch_looking_on(registry, files, clock, what, look_on)
}
