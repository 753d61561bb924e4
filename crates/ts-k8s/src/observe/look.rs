//! Looks at a trial, enters what it is, and has done what follows of its end.

use super::Observer;
use crate::{
    core::Core,
    pods::Wait,
    scene::{Finding, Object},
    submit,
};
use std::{
    io::{Read as _, Seek as _, SeekFrom},
    sync::Arc,
};
use ts_core::{LogKind, TrialId, TrialStatus, follow::STDERR_TAIL};

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
        let (now, elapsed) = (core.ctx.clock.now(), core.ctx.clock.monotonic());
        let finding = self
            .scene
            .look(trial, &known, core.config.grace_period, now, elapsed, || {
                stderr_tail(&core, trial)
            });
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
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(core.mirror.paths(trial).log(LogKind::Stderr))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(u64::from(STDERR_TAIL))))?;
        let mut bytes = Vec::new();
        file.take(u64::from(STDERR_TAIL)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}
