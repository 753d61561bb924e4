//! Looks at a trial, enters what it is, and has done what follows of its end.

use super::Observer;
use crate::{
    core::{Core, Place},
    pods::Wait,
    rest::{self, Wanted},
    scene::{Finding, Object, Rest},
    submit,
};
use std::sync::Arc;
use ts_core::{
    LogKind, ReasonCode, TrialId, TrialStatus,
    follow::{Known, STDERR_TAIL, tail},
};

impl Observer {
    /// Looks at a trial and enters what it is.
    pub(super) fn look(&mut self, trial: &TrialId) {
        let core = Arc::clone(&self.core);
        let Some(known) = core.registry.get(trial) else { return };
        if known.status.is_terminal() {
            self.scene.forget(trial);
            return;
        }
        if !(self.seen.has_objects && self.seen.has_pods) {
            // Half of what is there tells too little; all are looked at when both lists are read.
            return;
        }
        self.end_second_run(trial, &known);
        let Some(known) = core.registry.get(trial) else { return };
        let (now, elapsed) = (core.ctx.clock.now(), core.ctx.clock.monotonic());
        let finding = self
            .scene
            .look(trial, &known, core.config.longest_grace(), now, elapsed, || {
                stderr_tail(&core, trial)
            });
        if !matches!(finding, Finding::Over(_)) {
            self.scene.forget_rest(trial);
        } else if self.is_gone_unasked(trial, &known) {
            core.doubt_owner();
        }
        match finding {
            Finding::Unclear => {}
            Finding::Waiting(wait) => self.enter_wait(trial, wait),
            Finding::Running(at) => {
                if known.status != TrialStatus::Running {
                    core.registry.update(trial, |known| {
                        known.status = TrialStatus::Running;
                        known.at = at;
                        known.why = None;
                        known.started.get_or_insert(at);
                    });
                }
            }
            Finding::Over(_) if self.must_wait_for_rest(trial, &known) => {}
            Finding::Over(_) if self.is_unknown(trial, &known) => core.waits(
                trial,
                ReasonCode::Lost,
                "nothing of the trial is left in the cluster, and no log of it is here",
                None,
            ),
            Finding::Over(end) => {
                if let Some(at) = self.scene.running(trial) {
                    core.registry.update(trial, |known| known.started.get_or_insert(at).0);
                }
                let is_there = self
                    .scene
                    .objects
                    .get(trial)
                    .is_some_and(|object| *object != Object::Gone);
                let status = end.status;
                core.conclude(trial, end);
                self.scene.forget(trial);
                if is_there && submit::is_removed(core.config.deletion_policy, status) && !known.extra.is_looked_on {
                    submit::remove_later(&self.spawner, trial.clone());
                }
            }
        }
    }

    /// Whether what a trial left on the storage is not here yet; has it read.
    fn must_wait_for_rest(&mut self, trial: &TrialId, known: &Known<Place>) -> bool {
        let core = Arc::clone(&self.core);
        let is_apart = known.extra.is_apart;
        if core.config.storage.is_none() || !self.scene.lacks_rest(trial, known, rest::n_pods(&core)) {
            return false;
        }
        if self.scene.is_being_read(trial) {
            // Its node may be away. What comes that way and this way would be here twice.
            self.scene.stop_reading(trial);
            return true;
        }
        match self.scene.rest(trial, is_apart) {
            Some(Rest::Here(_)) => false,
            Some(Rest::Wanted(_)) => true,
            None => {
                let request = self.scene.want_rest(trial, is_apart);
                core.want_rest(Wanted {
                    trial: trial.clone(),
                    is_apart,
                    request,
                });
                true
            }
        }
    }

    /// Whether somebody else has removed the object of a trial of ours.
    fn is_gone_unasked(&self, trial: &TrialId, known: &Known<Place>) -> bool {
        let place = &known.extra;
        let is_asked = known.cancel.is_some() || place.given_up.is_some() || place.is_looked_on;
        !is_asked && self.scene.object(trial, known) == Some(&Object::Gone)
    }

    /// Whether nobody here can say anything of a trial of another service.
    fn is_unknown(&self, trial: &TrialId, known: &Known<Place>) -> bool {
        known.extra.is_looked_on
            && self.scene.object(trial, known) == Some(&Object::Gone)
            && self
                .core
                .mirror_of(trial)
                .heard(trial)
                .is_ok_and(|heard| heard == (0, [0, 0]))
    }

    fn enter_wait(&mut self, trial: &TrialId, wait: Wait) {
        self.core.registry.update(trial, |known| {
            let same = known
                .why
                .as_ref()
                .is_some_and(|why| why.code == wait.reason.code && why.message == wait.reason.message);
            if known.status != TrialStatus::Waiting && known.started.is_some() {
                // Between two pods of a job that restarts them.
                known.status = TrialStatus::Running;
                known.why = None;
                return;
            }
            known.status = TrialStatus::Waiting;
            if !same {
                known.why = Some(wait.reason);
            }
            if !wait.is_hopeless {
                known.extra.hopeless_since = None;
            }
        });
        if wait.is_hopeless {
            let now = self.core.ctx.clock.monotonic();
            self.core
                .registry
                .update(trial, |known| known.extra.hopeless_since.get_or_insert(now).as_secs());
        }
    }
}

/// The last of what a trial has written to standard error.
fn stderr_tail(core: &Core, trial: &TrialId) -> String {
    let path = core.mirror_of(trial).paths(trial).log(LogKind::Stderr);
    tail(&path, STDERR_TAIL).unwrap_or_default()
}
