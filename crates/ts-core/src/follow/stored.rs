//! Files of trials that lie whole where they can be read, such as on storage that jobs mount.

use super::{Registry, TrialFiles, watch};
use crate::{Clock, Event, LogKind, Result, TrialId, WatchRequest, launch::TrialPaths};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::{fmt, sync::Arc};

/// Files that need not be fetched: what a trial has written is there, at its paths.
///
/// Logs are looked at together with the journal, wanted or not, and trials of other services are taken up by who makes this.
pub struct StoredFiles<F> {
    paths: F,
}

impl<F: Fn(&TrialId) -> TrialPaths> StoredFiles<F> {
    /// Those at `paths`; whatever that holds lives as long as somebody watches.
    pub const fn new(paths: F) -> Self {
        Self { paths }
    }
}

impl<F> fmt::Debug for StoredFiles<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFiles").finish_non_exhaustive()
    }
}

impl<F: Fn(&TrialId) -> TrialPaths + Send + Sync + 'static> TrialFiles for StoredFiles<F> {
    fn paths(&self, trial: &TrialId) -> TrialPaths {
        (self.paths)(trial)
    }
    fn want_log(&self, _: &TrialId, _: LogKind) {}
    fn log_is_complete(&self, _: &TrialId, _: LogKind) -> bool {
        true
    }
    fn look_on(&self, _: &TrialId) {}
    fn forget(&self, _: &TrialId) {}
}

/// As [`watch`], and before its stream begins `look_on` takes up the trials that are unknown here and whose logs are wanted.
///
/// Subscribes at once: what happens from now on is seen, though the stream is polled later.
pub fn watch_looking_on<X: Clone + Send + 'static, L: Future<Output = ()> + Send + 'static>(
    registry: Arc<Registry<X>>,
    files: Arc<impl TrialFiles>,
    clock: Arc<dyn Clock>,
    what: WatchRequest,
    look_on: impl FnOnce(Vec<TrialId>) -> L,
) -> BoxStream<'static, Result<Event>> {
    let wanted = what.logs.iter().map(|(trial, _)| trial.clone());
    let unknown: Vec<TrialId> = wanted.filter(|trial| registry.with(trial, |_| ()).is_none()).collect();
    let watched = watch(registry, files, clock, what);
    if unknown.is_empty() {
        return watched;
    }
    let looked_on = look_on(unknown);
    stream::once(async move {
        looked_on.await;
        watched
    })
    .flatten()
    .boxed()
}
