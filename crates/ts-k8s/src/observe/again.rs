//! A pod in the place of one that had begun: the trial would run, and report, a second time. It ends instead.
//!
//! Jobs before Kubernetes 1.26 and Kubeflow's operators make one for a pod that was deleted or evicted. Of a trial with several
//! pods it is left alone: the others go on with it. A Framework has a retry policy of its own.

use super::Observer;
use crate::{JobKind, core::Place, rest, submit, verdict};
use std::sync::Arc;
use ts_core::{
    LogKind, TrialId,
    follow::{Known, STDERR_TAIL, tail},
};

impl Observer {
    /// Ends a trial that would run again, once all is here that its pod has said.
    pub(super) fn end_second_run(&mut self, trial: &TrialId, known: &Known<Place>) {
        let core = Arc::clone(&self.core);
        let place = &known.extra;
        let has_an_end = place.given_up.is_some() || known.cancel.is_some();
        if place.is_looked_on || has_an_end || !self.marks_second_run(trial) {
            return;
        }
        let first = self.scene.first_run(trial);
        if first.is_some_and(|pod| !pod.is_done()) {
            return;
        }
        let now = core.ctx.clock.now();
        let said = tail(&core.mirror_of(trial).paths(trial).log(LogKind::Stderr), STDERR_TAIL);
        let end = verdict::replaced(first, now, &said.unwrap_or_default());
        core.registry.update(trial, |known| known.extra.given_up = Some(end));
        // Whoever has removed the pod may have removed what all belongs to.
        core.doubt_owner();
        submit::remove_later(&self.spawner, trial.clone());
    }

    /// Marks a pod in the place of one that had begun; whether there is one.
    pub(super) fn marks_second_run(&mut self, trial: &TrialId) -> bool {
        let core = &self.core;
        if core.kind() == JobKind::Framework || rest::n_pods(core) != 1 {
            return false;
        }
        let heard = core.mirror_of(trial).pods_heard(trial);
        self.scene.mark_second_run(trial, &heard.unwrap_or_default())
    }
}
