//! Takes the wish to end a trial: stored here, then on its machine, which ends the whole tree by itself.
//!
//! How a tree is ended is `worker`'s business; the end arrives with the other reports.

use crate::{core::Core, link::Link, worker};
use ts_core::{CancelReason, Result, TrialId, TrialStatus, follow::of_canceled};

/// Takes the request to end `trial`; the end itself arrives on `watch`.
pub(crate) async fn cancel(core: &Core, trial: &TrialId, why: CancelReason) -> Result<()> {
    let Some(known) = core.registry.get(trial).filter(|known| !known.status.is_terminal()) else {
        return Ok(());
    };
    if known.cancel.is_some() {
        return Ok(());
    }
    // The intent goes to disk first: should we die now, `recover` completes it.
    if let Err(error) = ts_core::follow::save_cancel(&core.mirror.paths(trial), why) {
        tracing::warn!(%trial, %error, "the request to cancel is not on disk; it is carried out all the same");
    }
    let place = core.registry.update(trial, |known| {
        known.cancel.get_or_insert(why);
        (known.status, known.extra.machine)
    });
    let Some((status, machine)) = place else { return Ok(()) };
    let Some(machine) = machine else {
        core.board().withdraw(trial);
        core.conclude(trial, of_canceled(why, &[], core.ctx.clock.now()));
        return Ok(());
    };
    if status == TrialStatus::Waiting && core.machines[machine].withdraw(trial) {
        core.conclude(trial, of_canceled(why, &[], core.ctx.clock.now()));
        return Ok(());
    }
    // Without a link it is carried out by the next one.
    if let Some(link) = core.machines[machine].link()
        && let Err(error) = carry_out(core, &link, trial, why).await
    {
        tracing::info!(%trial, machine = core.machines[machine].name(), %error, "the trial is canceled when the machine is back");
    }
    Ok(())
}

/// Has the machine end a trial that was given to it.
pub(crate) async fn carry_out(core: &Core, link: &Link, trial: &TrialId, why: CancelReason) -> Result<()> {
    let snippet = worker::cancel_snippet(trial, why, core.config.cancel_signal, core.config.grace_period);
    let reply = link.shell.run(snippet).await?;
    if worker::parse_canceled(&reply)? == worker::CancelAnswer::HadEnded {
        // It ended by itself first: that end counts.
        let own_end = core.registry.update(trial, |known| {
            known.cancel = None;
            known.extra.own_end.take()
        });
        if let Some(Some(end)) = own_end {
            core.conclude(trial, end);
        }
    }
    Ok(())
}
