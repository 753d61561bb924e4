//! The stream behind `watch`: the shared engine over the trials' own files, which the observer watches grow.

use crate::{core::Core, service::Start};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::{io, sync::Arc};
use ts_core::{
    Event, LogKind, Result, TrialId, WatchRequest,
    follow::{self, TrialFiles},
    launch::TrialPaths,
};

/// A stream of everything that happens to the trials of `start`'s experiment.
pub(crate) fn stream(start: Start, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
    let opening = async move {
        match start.core().await {
            Ok(core) => {
                let (registry, clock) = (Arc::clone(&core.registry), Arc::clone(&core.ctx.clock));
                follow::watch(registry, core, clock, what).left_stream()
            }
            Err(error) => stream::once(async { Err(error) }).right_stream(),
        }
    };
    stream::once(opening).flatten().boxed()
}

impl TrialFiles for Core {
    fn paths(&self, trial: &TrialId) -> TrialPaths {
        Self::paths(self, trial)
    }

    fn want_log(&self, trial: &TrialId, log: LogKind) {
        // Without it the log is read when the journal grows and at the end.
        if let Err(error) = self.observer.await_change(&Self::paths(self, trial).log(log), trial)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%trial, %error, "a log is not watched");
        }
    }

    fn log_is_complete(&self, _trial: &TrialId, _log: LogKind) -> bool {
        true
    }

    /// The observer finds every trial of the experiment in its directory.
    fn look_on(&self, _trial: &TrialId) {}

    fn forget(&self, trial: &TrialId) {
        self.observer.forget_files(trial);
    }
}
