//! Reads one link's stream of reports and enters what they say: the mirror first, then the trial's status.
//!
//! A report that cannot be entered ends the stream; the next link asks again from where the mirror is, so nothing is lost.

use crate::{
    core::Core,
    ssh::{Output, Process},
    worker::{GoneWhat, WatchEvent, WatchParser},
};
use ts_core::{
    Error, ErrorKind, Reason, ReasonCode, Result, Retry, Timestamp, TrialStatus,
    follow::{End, of_canceled, of_exit},
};

/// Enters reports until the stream ends, and says why it ended.
pub(crate) async fn observe(core: &Core, index: usize, mut watch: Process) -> Error {
    let mut parser = WatchParser::new();
    let mut events = Vec::new();
    let ended = loop {
        match watch.output.recv().await {
            Some(Output::Stdout(bytes)) => {
                let entered = parser.push(&bytes, &mut events);
                let entered = events.drain(..).try_for_each(|event| enter(core, event)).and(entered);
                if let Err(error) = entered {
                    break error;
                }
            }
            Some(Output::Stderr(bytes)) => {
                tracing::debug!(machine = core.machines[index].name(), text = %String::from_utf8_lossy(&bytes), "the watch complains");
            }
            Some(Output::Exited { code }) => break lost(core, index, &format!("ended with {code:?}")),
            None => break lost(core, index, "was cut off"),
        }
    };
    if ended.is_retryable() {
        return ended;
    }
    let message = format!(
        "the reports of `{}` cannot be entered: {ended}",
        core.machines[index].name()
    );
    Error::new(ended.kind(), message)
        .with_retry(Retry::NotApplied { after: None })
        .with_source(ended)
}

fn lost(core: &Core, index: usize, how: &str) -> Error {
    let message = format!("the stream of reports of `{}` {how}", core.machines[index].name());
    Error::new(ErrorKind::Unreachable, message).with_retry(Retry::NotApplied { after: None })
}

fn enter(core: &Core, event: WatchEvent) -> Result<()> {
    match event {
        WatchEvent::Journal { id, offset, bytes } => {
            if core.registry.get(&id).is_some_and(|known| !known.status.is_terminal()) {
                core.mirror.add_journal(&id, offset, &bytes)?;
                core.registry.tell(&id);
            }
        }
        WatchEvent::Log {
            id,
            kind,
            offset,
            bytes,
            is_complete,
        } => {
            core.mirror.add_log(&id, kind, offset, &bytes, is_complete)?;
            core.registry.tell(&id);
        }
        WatchEvent::Ended {
            id,
            code,
            at,
            stderr_tail,
        } => {
            core.started(&id, at); // an end may arrive before the answer to its start
            let end = of_exit(code, &stderr_tail, at);
            let holds = core.registry.update(&id, |known| {
                if known.cancel.is_some() {
                    known.extra.own_end = Some(end.clone());
                }
                known.cancel.is_some()
            });
            if holds == Some(false) {
                core.conclude(&id, end);
            }
        }
        WatchEvent::Canceled { id, leaked } => {
            let why = core.registry.get(&id).and_then(|known| known.cancel);
            let why = why
                .or_else(|| core.cancel_intent(&id))
                .unwrap_or(ts_core::CancelReason::User);
            core.conclude(&id, of_canceled(why, &leaked, core.ctx.clock.now()));
        }
        WatchEvent::Gone { id, what } => {
            let canceled = core.registry.get(&id).and_then(|known| known.cancel);
            let now = core.ctx.clock.now();
            core.conclude(
                &id,
                canceled.map_or_else(|| of_gone(what, now), |why| of_canceled(why, &[], now)),
            );
        }
        WatchEvent::Begun { id } => core.started(&id, core.ctx.clock.now()),
        WatchEvent::HeldUp { id, text } => core.held_up(&id, text.trim()),
        WatchEvent::Ready => {}
    }
    Ok(())
}

fn of_gone(what: GoneWhat, now: Timestamp) -> End {
    let (message, unblock) = match what {
        GoneWhat::Directory => (
            "the trial's directory is gone from its machine",
            "look for whoever cleans up there; then retry the trial",
        ),
        GoneWhat::Rebooted => (
            "the machine was restarted while the trial ran",
            "retry the trial; look for the reason of the restart",
        ),
        GoneWhat::Shell => (
            "the trial's shell is gone and left no exit code",
            "look for a restart of the machine, a full disk, or whoever killed it; then retry the trial",
        ),
    };
    failed(Reason::new(ReasonCode::Lost, message, now).unblocked_by(unblock), now)
}

fn failed(why: Reason, at: Timestamp) -> End {
    End {
        status: TrialStatus::Failed,
        at,
        why: Some(why),
    }
}
