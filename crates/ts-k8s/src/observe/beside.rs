//! Containers that others have put beside the trial's, such as the proxy of a service mesh: where they never end, no operator sees an
//! end of the job either. The trial ends by its own containers then, and its object is removed.

use super::Observer;
use crate::{rest, submit, verdict};
use std::time::Duration;
use ts_core::{
    LogKind, TrialId,
    follow::{STDERR_TAIL, tail},
};

impl Observer {
    /// Ends a trial whose commands have all ended, and whose pods go on without them for too long.
    pub(super) fn end_beside(&mut self, trial: &TrialId, elapsed: Duration) {
        let core = &self.core;
        let is_ours = |known: &ts_core::follow::Known<crate::core::Place>| {
            let place = &known.extra;
            !known.status.is_terminal() && known.cancel.is_none() && place.given_up.is_none() && !place.is_looked_on
        };
        if core.registry.with(trial, is_ours) != Some(true) {
            return;
        }
        let Some((exit, since)) = self.scene.ended_beside(trial, rest::n_pods(core), elapsed) else {
            return;
        };
        if elapsed.saturating_sub(since) < core.config.start_timeout {
            return;
        }
        tracing::warn!(
            %trial,
            "the trial has ended, and other containers of its pods have not: its object is removed; where a service mesh puts them \
             there, keep it out by the annotation `sidecar.istio.io/inject: \"false\"` in `podTemplate`"
        );
        let said = tail(&core.mirror_of(trial).paths(trial).log(LogKind::Stderr), STDERR_TAIL);
        let end = verdict::of_command(exit, core.ctx.clock.now(), &said.unwrap_or_default());
        core.registry.update(trial, |known| known.extra.given_up = Some(end));
        submit::remove_later(&self.spawner, trial.clone());
    }
}
