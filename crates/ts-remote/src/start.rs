//! Starts trials on one machine: whatever has gathered while a request was on its way goes with the next one.
//!
//! So a start costs at most one round trip. A request whose answer is lost is repeated by the next link; the machine sees to
//! it that no trial runs twice.

use crate::{
    cancel,
    core::Core,
    link::Link,
    machine::Start,
    submit,
    worker::{self, Started},
};
use std::sync::Arc;
use ts_core::{Error, Result, TrialId};

/// Most trials of one request.
const BATCH: usize = 32;

/// Serves the starts of one link until it is lost.
pub(crate) async fn serve(core: &Arc<Core>, index: usize, link: &Arc<Link>) -> Error {
    if let Err(error) = adopt_all(core, index, link).await {
        return error;
    }
    loop {
        core.machines[index].has_starts().await;
        let starts = core.machines[index].take_starts(BATCH);
        if let Err(error) = start(core, index, link, starts).await {
            return error;
        }
    }
}

async fn start(core: &Arc<Core>, index: usize, link: &Arc<Link>, starts: Vec<Start>) -> Result<()> {
    let mut requests = Vec::with_capacity(starts.len());
    for start in starts {
        let Some(known) = core.registry.get(&start.trial) else {
            continue;
        };
        if known.status.is_terminal() || known.extra.machine != Some(index) {
            continue;
        }
        if known.cancel.is_some() && !start.is_repeated {
            core.board().release(index, &start.trial);
            core.requeue(&start.trial); // which ends it
            continue;
        }
        match submit::request(core, index, &link.facts, &known.extra.job) {
            Ok(request) => requests.push(request),
            Err(error) => core.not_started(index, &start.trial, &error),
        }
    }
    if requests.is_empty() {
        return Ok(());
    }
    let mut logs = String::new();
    let reply = link.shell.run(worker::start_snippet(&link.facts, &requests)).await?;
    for (trial, started) in worker::parse_started(&reply, &requests)? {
        match started {
            Ok(Started::Now | Started::Before) => {
                core.accepted(&trial);
                // Wanted before there was one.
                for (log, offset) in core.mirror.wanted_logs(&trial) {
                    logs.push_str(&worker::follow_log(&trial, log, offset));
                }
                // A wish to end it may have overtaken its start.
                if let Some(why) = core.registry.get(&trial).and_then(|known| known.cancel) {
                    cancel::carry_out(core, link, &trial, why).await?;
                }
            }
            Err(error) => core.not_started(index, &trial, &error),
        }
    }
    if !logs.is_empty() {
        link.shell.run(logs).await?.into_result("follow the logs")?;
    }
    Ok(())
}

/// Has the link report on all trials that the machine had before.
async fn adopt_all(core: &Arc<Core>, index: usize, link: &Arc<Link>) -> Result<()> {
    let mut snippet = String::new();
    let mut canceled = Vec::new();
    for trial in core.registry.ids() {
        let Some(known) = core
            .registry
            .get(&trial)
            .filter(|known| known.extra.machine == Some(index))
        else {
            continue;
        };
        if !known.status.is_terminal() && known.extra.job.is_started {
            snippet.push_str(&worker::add(&trial, core.wanted_from(&trial)));
            canceled.extend(known.cancel.map(|why| (trial.clone(), why)));
        }
        for (log, offset) in core.mirror.wanted_logs(&trial) {
            snippet.push_str(&worker::follow_log(&trial, log, offset));
        }
    }
    if !snippet.is_empty() {
        link.shell.run(snippet).await?.into_result("watch the trials")?;
    }
    for (trial, why) in canceled {
        cancel::carry_out(core, link, &trial, why).await?;
    }
    Ok(())
}

/// An offset that no journal reaches.
const NOTHING: u64 = 1 << 60;

impl Core {
    /// From which byte on a trial's journal is wanted.
    fn wanted_from(&self, trial: &TrialId) -> u64 {
        match self.registry.get(trial) {
            Some(known) if known.extra.is_looked_on => NOTHING,
            _ => self.mirror.journal_len(trial),
        }
    }

    /// Has the present link report on a trial that was taken over.
    pub(crate) fn adopt(self: &Arc<Self>, index: usize, link: &Arc<Link>, trial: &TrialId) {
        let (core, link, trial) = (Arc::clone(self), Arc::clone(link), trial.clone());
        let task = async move {
            let snippet = worker::add(&trial, core.wanted_from(&trial));
            let adopted = async {
                link.shell.run(snippet).await?.into_result("watch the trial")?;
                match core.registry.get(&trial).and_then(|known| known.cancel) {
                    Some(why) => cancel::carry_out(&core, &link, &trial, why).await,
                    None => Ok(()),
                }
            };
            if let Err(error) = adopted.await {
                tracing::info!(%trial, machine = core.machines[index].name(), %error, "the trial is watched by the next link");
            }
        };
        self.ctx.tasks.spawn(task);
    }

    /// Has a log mirrored from now on.
    pub(crate) fn follow_log(self: &Arc<Self>, trial: &TrialId, log: ts_core::LogKind) {
        let Some(offset) = self.mirror.want_log(trial, log) else {
            return;
        };
        let machine = self.registry.get(trial).filter(|known| known.extra.job.is_started);
        let Some(link) = machine.and_then(|known| self.machines[known.extra.machine?].link()) else {
            return;
        };
        let (core, trial) = (Arc::clone(self), trial.clone());
        self.ctx.tasks.spawn(async move {
            let followed = link.shell.run(worker::follow_log(&trial, log, offset)).await;
            if let Err(error) = followed.and_then(|reply| reply.into_result("follow a log")) {
                tracing::info!(%trial, %error, "the log is followed by the next link");
            }
            core.registry.tell(&trial);
        });
    }
}
