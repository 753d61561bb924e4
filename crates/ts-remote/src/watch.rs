//! What the shared engine behind `watch` asks of this platform: the mirrored files, and what makes them grow.

use crate::{core::Running, recover};
use ts_core::{LogKind, TrialId, follow::TrialFiles, launch::TrialPaths};

/// Keeps the machines served while somebody watches.
impl TrialFiles for Running {
    fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.core.mirror.paths(trial)
    }

    fn want_log(&self, trial: &TrialId, log: LogKind) {
        self.core.follow_log(trial, log);
    }

    fn log_is_complete(&self, trial: &TrialId, log: LogKind) -> bool {
        self.core.mirror.log_is_complete(trial, log)
    }

    fn look_on(&self, trial: &TrialId) {
        recover::look_on(&self.core, trial);
    }

    fn forget(&self, _trial: &TrialId) {}
}
