//! The pool of workers: as many as there are trials that wait, started when needed; they leave when there is nothing to do.
//!
//! One look at the storage serves all trials and workers, several times a second while there are trials; one list of jobs per interval
//! tells which workers have ended.

use super::files::{self, Sight, View};
use crate::{
    api::{JobState, JobStatus},
    core::{Core, Place, Spawner},
    names,
    status::{self, Standing},
    verdict,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use ts_core::{
    Error, ErrorKind, ReasonCode, Result, RetryPolicy, TrialId, TrialStatus,
    follow::{
        Known, Pace,
        mounted::{self, Begin},
        of_canceled, of_refused, wait_after,
    },
};

/// Pace of looking at the storage.
const TICK: Duration = Duration::from_millis(400);
/// How long a trial may be out of the inbox and not begun until it is put there again.
const STRANDED: Duration = Duration::from_secs(15);
/// Pace of looking whether stopped workers have ended.
const PACE: Duration = Duration::from_secs(2);
/// How long workers may take to end.
const PATIENCE: Duration = Duration::from_mins(2);

/// Workers that this service started or found.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    stages: Mutex<HashMap<String, Stage>>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Its job is being sent.
    Sending,
    /// It is to be sent again later.
    Paused,
    /// The server had its job then; monotonic.
    Sent(Duration),
}

impl Pool {
    fn set(&self, worker: &str, stage: Stage) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.insert(worker.to_owned(), stage);
    }
    fn get(&self, worker: &str) -> Option<Stage> {
        self.stages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(worker)
            .copied()
    }
    fn forget(&self, worker: &str) {
        self.stages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(worker);
    }
}

/// Serves until the service is gone.
pub(crate) async fn serve(spawner: Spawner) {
    let core = Arc::clone(&spawner.core);
    let mut pace = Pace::new(core.config.poll_interval);
    let mut listed_at = Duration::ZERO;
    loop {
        while live(&core).is_empty() {
            core.bell.notified().await;
        }
        let at = core.ctx.clock.monotonic();
        let is_due = at.saturating_sub(listed_at) >= pace.least();
        if is_due {
            listed_at = at;
        }
        match tick(&spawner, is_due).await {
            // Whether the cluster answers is not known.
            Ok(None) => {}
            Ok(Some(asked)) => {
                pace.succeeded(true, asked);
                core.end_trouble();
            }
            Err(error) => {
                if pace.failed(&error) {
                    core.begin_trouble(&error);
                }
            }
        }
        tokio::select! {
            () = core.ctx.clock.sleep(TICK.min(core.config.poll_interval)) => {}
            () = core.bell.notified() => {}
        }
    }
}

fn live(core: &Core) -> Vec<TrialId> {
    let is_live = |known: &Known<Place>| !known.status.is_terminal() && known.extra.is_stored;
    let ids = core.registry.ids().into_iter();
    ids.filter(|trial| core.registry.with(trial, is_live) == Some(true))
        .collect()
}

/// Whether this service has the trial, and does not only look on.
fn is_ours(core: &Core, trial: &TrialId) -> bool {
    core.registry.with(trial, |known| !known.extra.is_looked_on) == Some(true)
}

/// One look at the storage, and one at the cluster where that `is_due`, and what follows from them. `None`: the cluster was not asked;
/// else the wait before the next list that the server asks for.
async fn tick(spawner: &Spawner, is_due: bool) -> Result<Option<Duration>> {
    let core = &spawner.core;
    let trials = live(core);
    let now = core.ctx.clock.now();
    let view = core
        .on_storage(move |core| files::look(&core.folders, &trials, now))
        .await?;
    let at = core.ctx.clock.monotonic();
    for worker in view.workers.keys().filter(|worker| core.pool.get(worker).is_none()) {
        // Of an earlier manager. That its job was never sent shows in that the server does not know it.
        core.pool.set(worker, Stage::Sent(at));
    }
    enter(core, &view).await;
    staff(spawner, &view).await?;
    if !is_due {
        return Ok(None);
    }
    if view.workers.is_empty() {
        // Nothing to ask for.
        return Ok(Some(Duration::ZERO));
    }
    let listing = core.api.live(&names::worker_prefix(&core.experiment)).await?;
    let standing: HashMap<&str, Standing> = listing
        .jobs
        .iter()
        .map(|item| (item.name.as_str(), status::standing(item)))
        .collect();
    for (worker, seen) in &view.workers {
        let name = names::worker(&core.experiment, worker);
        let is_gone = standing
            .get(name.as_str())
            .is_none_or(|standing| *standing == Standing::Ended);
        if is_gone
            && let Some(Stage::Sent(since)) = core.pool.get(worker)
            && since < at
        {
            gone(core, worker, seen.busy.as_ref(), since).await?;
        }
    }
    Ok(Some(listing.pace))
}

/// Enters what the storage says of trials.
async fn enter(core: &Arc<Core>, view: &View) {
    let now = core.ctx.clock.now();
    for (trial, sight) in &view.trials {
        let cancel = core.registry.with(trial, |known| known.cancel).flatten();
        let is_begun = sight.left.begin == Begin::Taken;
        if is_begun && core.registry.with(trial, |known| known.status == TrialStatus::Waiting) == Some(true) {
            core.registry.update(trial, |known| {
                (known.status, known.at, known.started, known.why) = (TrialStatus::Running, now, Some(now), None);
                known.extra.missing_since = None;
            });
        }
        let is_attended = view.workers.values().any(|worker| worker.busy.as_ref() == Some(trial));
        match (sight.over, cancel) {
            (Some(exit), _) => {
                let state = if exit == 0 {
                    JobState::Succeeded
                } else {
                    JobState::Failed
                };
                let job = JobStatus {
                    state,
                    app_exit_code: Some(exit),
                    ..JobStatus::default()
                };
                core.registry
                    .conclude(trial, verdict::of_job(&job, &sight.left, cancel, now));
            }
            (None, Some(why)) if sight.left.begin == Begin::Withdrawn => {
                // Nobody can begin it any more.
                let own = trial.clone();
                core.on_storage(move |core| files::take_back(&core.folders, &own)).await;
                core.registry.conclude(trial, of_canceled(why, &[], now));
            }
            (None, Some(_)) if !is_begun => {
                // Its folder was not complete when it was asked to end.
                let own = trial.clone();
                core.on_storage(move |core| mounted::withdraw(&core.folders.paths(&own)))
                    .await;
            }
            (None, _) if is_begun && !is_attended => {
                if is_missing(core, trial) {
                    core.registry.conclude(
                        trial,
                        verdict::of_lost_worker("?", &JobStatus::default(), &sight.left, cancel, now),
                    );
                }
            }
            (None, None) if !is_begun && !sight.is_queued && !is_attended => {
                if is_missing(core, trial) && is_ours(core, trial) {
                    requeue(core, trial).await;
                }
            }
            (None, _) => {
                core.registry
                    .with(trial, |known| known.extra.missing_since)
                    .flatten()
                    .inspect(|_| {
                        core.registry.update(trial, |known| known.extra.missing_since = None);
                    });
                if sight.is_queued && !has_trouble(core, trial) {
                    waits_for_worker(core, trial);
                }
            }
        }
    }
}

/// Whether a trial tells that the cluster cannot be used, which whoever asks the cluster ends.
fn has_trouble(core: &Core, trial: &TrialId) -> bool {
    let is_trouble = |known: &Known<Place>| known.why.as_ref().map(|why| why.code) == Some(ReasonCode::Unreachable);
    core.registry.with(trial, is_trouble) == Some(true)
}

fn waits_for_worker(core: &Core, trial: &TrialId) {
    core.waits(trial, ReasonCode::Queued, "waits for a worker", None);
}

/// Whether no worker has been seen with a trial for so long that none has it.
fn is_missing(core: &Core, trial: &TrialId) -> bool {
    let now = core.ctx.clock.monotonic();
    if let Some(since) = core.registry.with(trial, |known| known.extra.missing_since).flatten() {
        return now.saturating_sub(since) > STRANDED;
    }
    core.registry
        .update(trial, |known| known.extra.missing_since = Some(now));
    false
}

/// A worker that took the trial has died before it began it.
async fn requeue(core: &Arc<Core>, trial: &TrialId) {
    core.registry.update(trial, |known| known.extra.missing_since = None);
    let own = trial.clone();
    if let Err(error) = core.on_storage(move |core| files::enqueue(&core.folders, &own)).await {
        tracing::warn!(%trial, %error, "it cannot be put into the inbox");
    }
}

/// Starts as many workers as trials wait for.
async fn staff(spawner: &Spawner, view: &View) -> Result<()> {
    let core = &spawner.core;
    let is_wanted = |(trial, sight): &(&TrialId, &Sight)| sight.is_queued && is_ours(core, trial);
    let queued = view.trials.iter().filter(is_wanted).count();
    // A worker whose trial is over is free in a moment.
    let is_over = |trial: &TrialId| core.registry.with(trial, |known| known.status.is_terminal()) == Some(true);
    let is_free = |busy: &Option<TrialId>| busy.as_ref().is_none_or(is_over);
    let free = view.workers.values().filter(|worker| is_free(&worker.busy)).count();
    for _ in free..queued {
        let worker = core.ctx.ids.trial().to_string();
        core.pool.set(&worker, Stage::Sending);
        let own = worker.clone();
        core.on_storage(move |core| files::store_worker(&core.config, &core.experiment, &core.folders, &own))
            .await?;
        let sender = spawner.clone();
        spawner.spawn(async move { send(&sender.core, &worker).await });
    }
    Ok(())
}

/// Sends the job of a worker until the server has it or refuses it for good.
async fn send(core: &Arc<Core>, worker: &str) {
    let mut failures = 0;
    loop {
        if live(core).is_empty() {
            // What it was for has ended.
            return end(core, worker).await;
        }
        core.pool.set(worker, Stage::Sending);
        let sent = {
            let _turn = core.writes.acquire().await;
            match files::worker_document(&core.config, &core.experiment, worker) {
                // Sent again, it is there already: its name says so.
                Ok(document) => core.api.submit(&document).await,
                Err(error) => Err(error),
            }
        };
        let Err(error) = sent else {
            core.pool.set(worker, Stage::Sent(core.ctx.clock.monotonic()));
            for trial in live(core) {
                waits_for_worker(core, &trial);
            }
            return;
        };
        failures += 1;
        if !error.is_retryable() && error.kind() != ErrorKind::Auth {
            return refused(core, worker, &error).await;
        }
        for trial in live(core) {
            core.waits(&trial, ReasonCode::Unreachable, error.to_string(), error.help());
        }
        let own = RetryPolicy::new().wait(failures, 0.0);
        core.pool.set(worker, Stage::Paused);
        core.ctx.clock.sleep(wait_after(&error, own)).await;
    }
}

/// No worker can be started: what waits for one ends.
async fn refused(core: &Arc<Core>, worker: &str, error: &Error) {
    let now = core.ctx.clock.now();
    for trial in live(core) {
        let own = trial.clone();
        if core.on_storage(move |core| files::take_back(&core.folders, &own)).await {
            core.registry.conclude(&trial, of_refused(error, now));
        }
    }
    end(core, worker).await;
}

async fn end(core: &Arc<Core>, worker: &str) {
    core.pool.forget(worker);
    let own = worker.to_owned();
    if let Err(error) = core.on_storage(move |core| files::note_end(&core.folders, &own)).await {
        tracing::warn!(worker, %error, "that the worker has ended is not stored");
    }
}

/// A worker's job is not among those that have not ended: its trial is lost, if it had one.
async fn gone(core: &Arc<Core>, worker: &str, busy: Option<&TrialId>, since: Duration) -> Result<()> {
    let detail = core.api.job(&names::worker(&core.experiment, worker)).await?;
    let job = match detail {
        None if core.ctx.clock.monotonic().saturating_sub(since) < core.config.vanish_after => return Ok(()),
        None => JobStatus::default(),
        Some(detail) => detail.job_status,
    };
    let is_over = matches!(
        job.state,
        JobState::Succeeded | JobState::Failed | JobState::Stopped | JobState::Unknown
    );
    if !is_over {
        return Ok(());
    }
    if let Some(trial) = busy {
        // Newer than the job's end, which a trial that was just over may have been before.
        let (own, now) = (vec![trial.clone()], core.ctx.clock.now());
        let view = core
            .on_storage(move |core| files::look(&core.folders, &own, now))
            .await?;
        if let Some(sight) = view.trials.get(trial).filter(|sight| sight.over.is_none()) {
            let cancel = core.registry.with(trial, |known| known.cancel).flatten();
            core.registry
                .conclude(trial, verdict::of_lost_worker(worker, &job, &sight.left, cancel, now));
        }
    }
    end(core, worker).await;
    Ok(())
}

/// Stops all workers of the experiment, and waits until they have ended; `false` if that takes too long.
pub(crate) async fn stop_all(core: &Arc<Core>) -> Result<bool> {
    let began = core.ctx.clock.monotonic();
    // Those that are idle leave by themselves.
    core.on_storage(|core| files::drain(&core.folders)).await?;
    let mut asked = HashSet::new();
    loop {
        let now = core.ctx.clock.now();
        let view = core
            .on_storage(move |core| files::look(&core.folders, &[], now))
            .await?;
        let mut n_left = 0;
        for worker in view.workers.keys() {
            let since = match core.pool.get(worker) {
                Some(Stage::Sending) => {
                    n_left += 1;
                    continue;
                }
                Some(Stage::Paused) => continue,
                Some(Stage::Sent(since)) => since,
                None => began,
            };
            let name = names::worker(&core.experiment, worker);
            let is_over = match core.api.job(&name).await? {
                Some(detail) => matches!(
                    detail.job_status.state,
                    JobState::Succeeded | JobState::Failed | JobState::Stopped
                ),
                // Not known yet, or never sent.
                None => core.ctx.clock.monotonic().saturating_sub(since) > core.config.vanish_after,
            };
            if is_over {
                end(core, worker).await;
                continue;
            }
            n_left += 1;
            if !asked.contains(worker) && core.api.stop(&name).await? {
                asked.insert(worker.clone());
            }
        }
        if n_left == 0 {
            return Ok(true);
        }
        if core.ctx.clock.monotonic().saturating_sub(began) > PATIENCE {
            return Ok(false);
        }
        core.ctx.clock.sleep(PACE.min(core.config.poll_interval * 2)).await;
    }
}
