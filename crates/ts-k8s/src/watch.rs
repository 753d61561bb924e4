//! What the shared engine behind `watch` asks of this platform: the mirrored files, which grow while pods are heard.

use crate::{core::Running, recover};
use ts_core::{LogKind, TrialId, follow::TrialFiles, launch::TrialPaths};

/// Keeps the cluster observed while somebody watches.
impl TrialFiles for Running {
    fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.core.mirror_of(trial).paths(trial)
    }

    /// Logs come with the journal, wanted or not.
    fn want_log(&self, _trial: &TrialId, _log: LogKind) {}

    fn log_is_complete(&self, _trial: &TrialId, _log: LogKind) -> bool {
        true
    }

    fn look_on(&self, trial: &TrialId) {
        recover::look_on(&self.core, trial);
    }

    fn forget(&self, _trial: &TrialId) {}
}
