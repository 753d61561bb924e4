//! The pool of workers: as many as there are trials that wait, started when needed; they leave when there is nothing to do.
//!
//! One list of the workers' folders serves all trials, once a second while there are any; beside it, one list of jobs per interval
//! tells which workers have ended. How a worker begins and ends is in `worker`.

use super::{
    board::{self, Board, Turn},
    gpus::Gpus,
    staff, worker,
};
use crate::{
    core::{Core, Place, Spawner},
    files, names,
    nodes::Shortage,
    pull,
    status::{self, Standing},
    verdict,
};
use futures_util::{StreamExt as _, stream};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use ts_core::{
    ReasonCode, Result, TrialId, TrialStatus,
    follow::{Known, Pace, of_canceled},
};

/// Trials and workers that are dealt with at a time.
pub(super) const AT_A_TIME: usize = 8;
/// Pace of looking at what workers tell.
const TICK: Duration = Duration::from_secs(1);

/// Workers that this service started or found.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    stages: Mutex<HashMap<String, Stage>>,
    /// Why workers wait.
    waiting: Mutex<Option<Shortage>>,
    /// The GPUs of workers, by the numbers of their reports.
    gpus: Mutex<HashMap<String, (u64, Arc<Gpus>)>>,
    /// Those of the last worker that told of any; others of the compute target are like it.
    usual: Mutex<Option<Arc<Gpus>>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stage {
    /// Its job is being sent.
    Sending,
    /// It is to be sent again later.
    Paused,
    /// The service had its job then; monotonic.
    Sent(Duration),
    /// Its job has ended.
    Ended,
}

impl Pool {
    pub(super) fn set(&self, worker: &str, stage: Stage) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.insert(worker.to_owned(), stage);
    }
    pub(super) fn get(&self, worker: &str) -> Option<Stage> {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.get(worker).copied()
    }
    pub(super) fn forget(&self, worker: &str) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.remove(worker);
        let mut gpus = self.gpus.lock().unwrap_or_else(PoisonError::into_inner);
        gpus.remove(worker);
    }
    /// The GPUs of a worker, as far as it has told, and the number of that report.
    pub(super) fn gpus(&self, worker: &str) -> Option<(u64, Arc<Gpus>)> {
        let gpus = self.gpus.lock().unwrap_or_else(PoisonError::into_inner);
        gpus.get(worker).cloned()
    }
    pub(super) fn set_gpus(&self, worker: &str, report: u64, told: Gpus) {
        let told = Arc::new(told);
        if told.is_ok() {
            *self.usual.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&told));
        }
        let mut gpus = self.gpus.lock().unwrap_or_else(PoisonError::into_inner);
        gpus.insert(worker.to_owned(), (report, told));
    }
    /// What a worker that has not told anything yet most likely has.
    pub(super) fn usual_gpus(&self) -> Option<Arc<Gpus>> {
        self.usual.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn set_waiting(&self, why: Option<Shortage>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
    pub(super) fn waiting(&self) -> Option<Shortage> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves until the service is gone.
pub(crate) async fn serve(spawner: Spawner) {
    let core = Arc::clone(&spawner.core);
    let attending = Arc::clone(&core);
    spawner.spawn(async move { attend(&attending).await });
    let mut pace = Pace::new(core.config.poll_interval);
    loop {
        while live(&core).is_empty() {
            core.bell.notified().await;
        }
        let mut wait = TICK.min(core.config.poll_interval);
        match tick(&spawner).await {
            Ok(()) => {
                pace.succeeded(true, Duration::ZERO);
                core.end_trouble();
            }
            Err(error) => {
                if pace.failed(&error) {
                    core.set_trouble(&error);
                }
                wait = pace.least();
            }
        }
        tokio::select! {
            () = core.ctx.clock.sleep(wait) => {}
            () = core.bell.notified() => {}
        }
    }
}

/// Trials that have not ended, in the order of their submission.
pub(super) fn live(core: &Core) -> Vec<TrialId> {
    let place = |trial: TrialId| {
        let known = core.registry.get(&trial)?;
        let is_live = !known.status.is_terminal() && known.extra.is_stored;
        is_live.then(|| (known.extra.job.spec.sequence_id, trial))
    };
    let mut found: Vec<(u32, TrialId)> = core.registry.ids().into_iter().filter_map(place).collect();
    found.sort();
    found.into_iter().map(|(_, trial)| trial).collect()
}

/// Looks at the jobs of workers until the service is gone.
async fn attend(core: &Arc<Core>) {
    let mut pace = Pace::new(core.config.poll_interval.max(TICK));
    loop {
        core.ctx.clock.sleep(pace.least()).await;
        if live(core).is_empty() {
            continue;
        }
        match list(core).await {
            Ok(asked) => pace.succeeded(true, asked),
            Err(error) => {
                if pace.failed(&error) {
                    core.set_trouble(&error);
                }
            }
        }
    }
}

/// One look, and what follows from it.
async fn tick(spawner: &Spawner) -> Result<()> {
    let core = &spawner.core;
    let board = board::look(core).await?;
    let at = core.ctx.clock.monotonic();
    for worker in board.keys().filter(|worker| core.pool.get(worker).is_none()) {
        // Of an earlier manager. That its job was never sent shows in that the service does not know it.
        core.pool.set(worker, Stage::Sent(at));
    }
    let shared = &board;
    let entered = live(core).into_iter().map(|trial| async move {
        let Some(known) = core.registry.get(&trial) else {
            return Ok(None);
        };
        let is_queued = enter(core, &trial, &known, shared).await?;
        Ok(is_queued.then_some((trial, known)))
    });
    // In the order of the trials.
    let entered: Vec<Result<Option<_>>> = stream::iter(entered).buffered(AT_A_TIME).collect().await;
    let entered: Vec<Option<_>> = entered.into_iter().collect::<Result<_>>()?;
    let queue = entered.into_iter().flatten().collect();
    wipe_ended(core, &board).await?;
    staff::staff(spawner, &board, queue).await
}

/// Enters what is told of a trial; says whether it is to be given to a worker.
async fn enter(core: &Arc<Core>, trial: &TrialId, known: &Known<Place>, board: &Board) -> Result<bool> {
    let holder = board
        .iter()
        .find_map(|(name, worker)| Some((name, worker.trials.get(trial)?)));
    let Some((worker, turn)) = holder else {
        if known.extra.is_looked_on {
            settle(core, trial, None).await?;
            return Ok(false);
        }
        return Ok(match known.cancel {
            _ if known.started.is_some() => {
                settle(core, trial, Some("no worker has it any more")).await?;
                false
            }
            Some(why) => {
                core.registry
                    .conclude(trial, of_canceled(why, &[], core.ctx.clock.now()));
                false
            }
            None => true,
        });
    };
    if let Some(code) = turn.over {
        if !conclude(core, trial, turn, code).await? {
            return Ok(false);
        }
        if !known.extra.is_looked_on {
            board::wipe(core, worker, trial, turn).await?;
        }
        return Ok(false);
    }
    if turn.is_begun && known.status == TrialStatus::Waiting {
        let now = core.ctx.clock.now();
        core.registry.update(trial, |known| {
            (known.status, known.at, known.started, known.why) = (TrialStatus::Running, now, Some(now), None);
        });
    } else if !turn.is_begun {
        core.waits(trial, ReasonCode::Starting, "a worker is about to begin it", None);
    }
    if known.cancel.is_some() && !turn.is_canceled && !known.extra.is_looked_on {
        board::tell(core, worker, "cancel", trial).await?;
    }
    Ok(false)
}

/// The script of a trial has ended with `exit`; `false` if what it wrote is not all there yet.
async fn conclude(core: &Arc<Core>, trial: &TrialId, turn: &Turn, exit: i32) -> Result<bool> {
    pull::all(core, trial).await?;
    let now = core.ctx.clock.now();
    let left = traces(core, trial).await;
    if exit == 0 && left.exit.is_none() && !is_overdue(core, trial) {
        // A mount may bring its files in another order than they were written.
        return Ok(false);
    }
    let cancel = core.registry.with(trial, |known| known.cancel).flatten();
    if turn.is_begun {
        let at = left.exit.map_or(now, |(_, at)| at);
        // It may have begun and ended between two looks.
        core.registry.update(trial, |known| {
            known.started.get_or_insert(at);
        });
    }
    let status = if exit == 0 { "Completed" } else { "Failed" };
    let told = (
        "WorkerExit".to_owned(),
        format!("the script of the trial ended with code {exit}"),
    );
    core.registry
        .conclude(trial, verdict::of_job(status, &left, Some(&told), cancel, now));
    Ok(true)
}

/// Whether the exit code of a trial that is over has been looked for long enough.
fn is_overdue(core: &Core, trial: &TrialId) -> bool {
    let now = core.ctx.clock.monotonic();
    let since = core.registry.with(trial, |known| known.extra.missing_since).flatten();
    if since.is_none() {
        core.registry
            .update(trial, |known| known.extra.missing_since = Some(now));
    }
    now.saturating_sub(since.unwrap_or(now)) > core.config.vanish_after
}

/// Enters the end of a trial that no worker tells anything of. `lost`: why nothing will come, where nothing is there.
pub(super) async fn settle(core: &Arc<Core>, trial: &TrialId, lost: Option<&str>) -> Result<()> {
    pull::all(core, trial).await?;
    let left = traces(core, trial).await;
    let cancel = core.registry.with(trial, |known| known.cancel).flatten();
    let now = core.ctx.clock.now();
    match lost {
        None if left.exit.is_none() => {}
        _ => core.registry.conclude(
            trial,
            verdict::of_lost_worker(lost.unwrap_or_default(), &left, cancel, now),
        ),
    }
    Ok(())
}

async fn traces(core: &Arc<Core>, trial: &TrialId) -> files::Traces {
    let (own, now) = (trial.clone(), core.ctx.clock.now());
    core.on_disk(move |core| files::traces(&core.folders.paths(&own), now))
        .await
}

/// Removes what is still told of trials whose ends are entered.
async fn wipe_ended(core: &Core, board: &Board) -> Result<()> {
    for (worker, seen) in board {
        for (trial, turn) in &seen.trials {
            let has_ended = |known: &Known<Place>| known.status.is_terminal() && !known.extra.is_looked_on;
            if turn.over.is_some() && core.registry.with(trial, has_ended) == Some(true) {
                board::wipe(core, worker, trial, turn).await?;
            }
        }
    }
    Ok(())
}

/// One list of jobs: which workers have ended, and what the others wait for.
async fn list(core: &Arc<Core>) -> Result<Duration> {
    let at = core.ctx.clock.monotonic();
    let board = board::look(core).await?;
    if board.is_empty() {
        return Ok(Duration::ZERO);
    }
    let name_of = |worker: &str| names::worker(&core.experiment, worker);
    let listing = core.api.jobs(&names::tag(&core.experiment), |_| false).await?;
    let jobs: HashMap<&str, &str> = listing
        .jobs
        .iter()
        .map(|job| (job.name.as_str(), job.status()))
        .collect();
    let mut waiting = None;
    for worker in board.keys() {
        let told = jobs.get(name_of(worker).as_str()).copied();
        match told.map(status::standing) {
            Some(Standing::Waiting(what)) => waiting = Some((what, told.unwrap_or_default())),
            Some(Standing::Ended) => worker::gone(core, worker, told).await?,
            None if matches!(core.pool.get(worker), Some(Stage::Sent(since)) if since < at) => {
                worker::missing(core, worker).await?;
            }
            _ => {}
        }
    }
    let reason = match waiting {
        Some((what, raw)) => {
            let short = if status::needs_node(raw) {
                crate::observe::shortage(core, listing.jobs.iter()).await
            } else {
                None
            };
            let own = |text: String| Shortage {
                code: ReasonCode::Queued,
                message: text,
                unblock: "it begins by itself",
            };
            let told = format!("waits for a worker: {what}");
            Some(match short {
                Some(short) => Shortage {
                    message: format!("{told}; {}", short.message),
                    ..short
                },
                None => own(told),
            })
        }
        None => None,
    };
    core.pool.set_waiting(reason);
    Ok(listing.pace)
}
