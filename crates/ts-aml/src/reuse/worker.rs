//! How a worker begins and ends: its job is sent until the service has it, and what it had is entered when the job is gone.

use super::{
    board,
    pool::{self, Stage},
};
use crate::{
    core::{Core, Spawner},
    job, names,
    status::{self, Standing},
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use ts_core::{
    Error, ErrorKind, ReasonCode, Result, RetryPolicy,
    follow::{of_refused, wait_after},
};

/// Pace of looking whether stopped workers have ended.
const PACE: Duration = Duration::from_secs(2);
/// How long workers may take to end.
const PATIENCE: Duration = Duration::from_mins(5);

/// Starts a worker for this version of the code; returns before its job is sent.
pub(super) async fn start(spawner: &Spawner, version: &str) -> Result<()> {
    let core = &spawner.core;
    let worker = core.ctx.ids.trial().to_string();
    core.pool.set(&worker, Stage::Sending);
    if let Err(error) = board::store_worker(core, &worker, version).await {
        core.pool.forget(&worker);
        return Err(error);
    }
    let (sender, version) = (spawner.clone(), version.to_owned());
    spawner.spawn(async move { send(&sender.core, &worker, &version).await });
    Ok(())
}

/// Sends the job of a worker until the service has it or refuses it for good.
async fn send(core: &Arc<Core>, worker: &str, version: &str) {
    let mut failures = 0;
    loop {
        if pool::live(core).is_empty() {
            // What it was for has ended.
            return end(core, worker).await;
        }
        core.pool.set(worker, Stage::Sending);
        let sent = {
            // Nobody closes it.
            let _turn = core.writes.acquire().await;
            put(core, worker, version).await
        };
        let Err(error) = sent else {
            core.pool.set(worker, Stage::Sent(core.ctx.clock.monotonic()));
            core.bell.notify_one();
            return;
        };
        failures += 1;
        if !error.is_retryable() && !matches!(error.kind(), ErrorKind::Auth | ErrorKind::Conflict) {
            return refused(core, worker, &error).await;
        }
        let reason = match error.kind() {
            ErrorKind::RateLimited | ErrorKind::NoCapacity => ReasonCode::Quota,
            _ => ReasonCode::Unreachable,
        };
        for trial in pool::live(core) {
            core.waits(&trial, reason, error.to_string(), error.help());
        }
        core.pool.set(worker, Stage::Paused);
        core.ctx
            .clock
            .sleep(wait_after(&error, RetryPolicy::new().wait(failures, 0.0)))
            .await;
    }
}

async fn put(core: &Core, worker: &str, version: &str) -> Result<()> {
    let datastore = core.api.store.place().await?.name.clone();
    let script = board::path(&core.experiment, worker, board::LOOP);
    let body = job::worker_body(&core.config, &core.experiment, version, &script, &datastore);
    core.api.put_job(&names::worker(&core.experiment, worker), &body).await
}

/// No worker can be started: what waits for one ends.
async fn refused(core: &Arc<Core>, worker: &str, error: &Error) {
    let Ok(board) = board::look(core).await else {
        // The next look starts another, which is refused, too.
        return end(core, worker).await;
    };
    for trial in pool::live(core) {
        let is_held = board.values().any(|worker| worker.trials.contains_key(&trial));
        if !is_held && core.registry.with(&trial, |known| known.started.is_none()) == Some(true) {
            core.registry.conclude(&trial, of_refused(error, core.ctx.clock.now()));
        }
    }
    end(core, worker).await;
}

/// Forgets a worker whose job has ended, or never was.
async fn end(core: &Core, worker: &str) {
    core.pool.set(worker, Stage::Ended);
    match board::forget(core, worker).await {
        Ok(()) => core.pool.forget(worker),
        // The next list of jobs tries again.
        Err(error) => tracing::debug!(worker, %error, "what is told of the worker cannot be removed"),
    }
}

/// A worker's job is in no list: not yet, or not any more.
pub(super) async fn missing(core: &Arc<Core>, worker: &str) -> Result<()> {
    let job = core.api.job(&names::worker(&core.experiment, worker)).await?;
    match job {
        Some(job) if status::standing(job.status()) == Standing::Ended => gone(core, worker, Some(job.status())).await,
        Some(_) => Ok(()),
        None => {
            let now = core.ctx.clock.monotonic();
            let is_young = matches!(core.pool.get(worker), Some(Stage::Sent(since)) if now.saturating_sub(since) < core.config.vanish_after);
            if is_young {
                Ok(())
            } else {
                gone(core, worker, None).await
            }
        }
    }
}

/// A worker's job has ended: what it had begun is lost, what it had not is given to another.
pub(super) async fn gone(core: &Arc<Core>, worker: &str, told: Option<&str>) -> Result<()> {
    core.pool.set(worker, Stage::Ended);
    // Newer than the job's end, before which a trial may just have been over.
    let board = board::look(core).await?;
    let Some(seen) = board.get(worker) else {
        core.pool.forget(worker);
        return Ok(());
    };
    let is_live = |trial: &_| core.registry.with(trial, |known| !known.status.is_terminal()) == Some(true);
    for (trial, turn) in &seen.trials {
        if turn.over.is_some() && is_live(trial) {
            // Its end is entered first.
            core.bell.notify_one();
            return Ok(());
        }
        if turn.over.is_none() && turn.is_begun && is_live(trial) {
            let why = match told {
                Some(told) => format!(
                    "the job `{}` that ran the trial has ended: {told}",
                    names::worker(&core.experiment, worker)
                ),
                None => "the workspace does not know the job that ran the trial any more".to_owned(),
            };
            pool::settle(core, trial, Some(&why)).await?;
        }
    }
    end(core, worker).await;
    core.bell.notify_one();
    Ok(())
}

/// Stops all workers of the experiment, and waits until they have ended; `false` if that takes too long.
pub(crate) async fn stop_all(core: &Arc<Core>) -> Result<bool> {
    let began = core.ctx.clock.monotonic();
    let mut asked = HashSet::new();
    loop {
        let mut n_left = 0;
        for worker in board::look(core).await?.keys() {
            let name = names::worker(&core.experiment, worker);
            let since = match core.pool.get(worker) {
                Some(Stage::Sending) => {
                    n_left += 1;
                    continue;
                }
                Some(Stage::Sent(since)) => since,
                _ => began,
            };
            let is_over = match core.api.job(&name).await? {
                Some(job) => status::standing(job.status()) == Standing::Ended,
                // Not known yet, or never sent.
                None => core.ctx.clock.monotonic().saturating_sub(since) > core.config.vanish_after,
            };
            if is_over {
                end(core, worker).await;
                continue;
            }
            n_left += 1;
            if !asked.contains(worker) && core.api.cancel(&name).await? == crate::api::Canceling::Taken {
                asked.insert(worker.clone());
            }
        }
        if n_left == 0 {
            return Ok(true);
        }
        if core.ctx.clock.monotonic().saturating_sub(began) > PATIENCE {
            return Ok(false);
        }
        core.ctx.clock.sleep(PACE.min(core.config.poll_interval)).await;
    }
}
