//! Gives trials to workers that have room for them, and starts as many as the others wait for.
//!
//! A trial goes to the fullest worker that takes it, so that the others can leave. While nobody has told how many GPUs a node has, one
//! worker is started for all trials that want some; then as many as they need.

use super::{
    board::{self, Board},
    gpus,
    placing::{Full, Limits, Node, Share, emptied, fit, wants_gpus},
    pool::{AT_A_TIME, Stage},
    worker,
};
use crate::{
    core::{Core, Place, Spawner},
    job, names,
};
use futures_util::{StreamExt as _, stream};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use ts_core::{
    ErrorKind, Reason, ReasonCode, Result, TrialId, TrialStatus,
    follow::{End, Known},
    gpu::GpuRules,
};

/// Trials that wait, in the order of their submission.
type Queue = Vec<(TrialId, Known<Place>)>;

/// A worker that runs, or is on its way.
struct Seat {
    /// `None`: not there yet.
    name: Option<String>,
    code: String,
    gpus: Option<Arc<gpus::Gpus>>,
    shares: BTreeMap<TrialId, Share>,
}

impl Seat {
    fn fit(&self, known: &Known<Place>, limits: &Limits) -> std::result::Result<Share, Full> {
        let node = Node {
            gpus: self.gpus.as_deref(),
            shares: self.shares.clone(),
        };
        match fit(known.extra.job.spec.gpus, &node, limits) {
            // Whatever it turns out to have, it is waited for.
            Err(Full::Untold) if self.name.is_none() => Ok(Share::Blind),
            told => told,
        }
    }
}

/// Gives trials to workers, and starts others.
pub(super) async fn staff(spawner: &Spawner, board: &Board, queue: Queue) -> Result<()> {
    let core = &spawner.core;
    let wants = |(_, known): &(TrialId, Known<Place>)| wants_gpus(known.extra.job.spec.gpus);
    if queue.iter().any(wants) {
        look_at_gpus(core, board).await?;
    }
    let plan = plan(core, board, queue);
    let given = plan
        .given
        .into_iter()
        .map(|given| async move { give(core, given).await });
    let started = plan.started.into_iter();
    let started = started.map(|version| async move { worker::start(spawner, &version).await });
    let mut results: Vec<Result<()>> = stream::iter(given).buffer_unordered(AT_A_TIME).collect().await;
    results.extend(
        stream::iter(started)
            .buffer_unordered(AT_A_TIME)
            .collect::<Vec<_>>()
            .await,
    );
    results.into_iter().collect()
}

/// A trial and the worker that it goes to.
struct Given {
    trial: TrialId,
    known: Known<Place>,
    to: Found,
}

/// Where a trial fits.
struct Found {
    worker: String,
    gpus: Option<Arc<gpus::Gpus>>,
    share: Share,
}

#[derive(Default)]
struct Plan {
    given: Vec<Given>,
    /// Versions of the code, one for each worker that is to be started.
    started: Vec<String>,
}

/// Decides who goes where; the others say what they wait for.
fn plan(core: &Core, board: &Board, queue: Queue) -> Plan {
    let limits = Limits {
        gpus: GpuRules::new(None, core.config.max_trials_per_gpu, core.config.use_active_gpu),
        per_node: core.config.max_trials_per_node,
    };
    let (mut here, mut coming) = seats(core, board);
    let mut may_start = core.config.most_starting.saturating_sub(coming.len());
    let waiting = core.pool.waiting();
    let mut plan = Plan::default();
    // Whoever waits for GPUs is not overtaken by those behind.
    let mut held_up: HashMap<String, Vec<Full>> = HashMap::new();
    for (trial, known) in queue {
        let version = known.extra.job.code.clone();
        let wants_gpus = wants_gpus(known.extra.job.spec.gpus);
        let (found, refusals) = match held_up.get(&version) {
            Some(refusals) if wants_gpus => (None, refusals.clone()),
            _ => find(&mut here, &trial, &known, &limits),
        };
        if let Some(to) = found {
            plan.given.push(Given { trial, known, to });
            continue;
        }
        if wants_gpus && !refusals.iter().any(Full::is_final) {
            held_up.insert(version.clone(), refusals.clone());
        }
        if refusals.contains(&Full::Untold) {
            core.waits(
                &trial,
                ReasonCode::Starting,
                "a worker looks at the GPUs of its node",
                None,
            );
            continue;
        }
        let unknown = refusals.iter().find(|full| full.is_unknown());
        if let Some(Full::Gpus(refusal)) = unknown {
            // Another node would be no better; this one is looked at again.
            core.waits(&trial, refusal.code, refusal.message.clone(), Some(&refusal.unblock));
            continue;
        }
        let (on_the_way, mut all) = find(&mut coming, &trial, &known, &limits);
        all.extend(refusals);
        let mut next = new_seat(core, &version);
        if on_the_way.is_none() {
            match next.fit(&known, &limits) {
                Ok(share) => drop(next.shares.insert(trial.clone(), share)),
                Err(full) => all.push(full),
            }
        }
        if let Some(Full::Gpus(refusal)) = all.first()
            && all.iter().all(Full::is_final)
            && on_the_way.is_none()
        {
            refuse(core, &trial, refusal.reason(core.ctx.clock.now()));
            continue;
        }
        match &waiting {
            Some(short) => core.waits(&trial, short.code, short.message.clone(), Some(short.unblock)),
            None => core.waits(&trial, ReasonCode::Queued, "waits for a worker", None),
        }
        if on_the_way.is_none() && may_start > 0 {
            may_start -= 1;
            coming.push(next);
            plan.started.push(version);
        }
    }
    plan
}

/// The workers that can be given trials, and those that will be there.
fn seats(core: &Core, board: &Board) -> (Vec<Seat>, Vec<Seat>) {
    let (mut here, mut coming) = (Vec::new(), Vec::new());
    for (name, worker) in board {
        let gpus = core.pool.gpus(name).map(|(_, gpus)| gpus);
        match core.pool.get(name) {
            Some(Stage::Sent(_)) if worker.is_alive => here.push(Seat {
                name: Some(name.clone()),
                code: worker.code.clone(),
                gpus,
                shares: worker.shares(),
            }),
            Some(Stage::Sent(_) | Stage::Sending | Stage::Paused) if !worker.is_alive => {
                coming.push(new_seat(core, &worker.code));
            }
            _ => {}
        }
    }
    (here, coming)
}

/// A worker that is to be there, most likely like the others.
fn new_seat(core: &Core, version: &str) -> Seat {
    Seat {
        name: None,
        code: version.to_owned(),
        gpus: core.pool.usual_gpus().map(|gpus| Arc::new(emptied(&gpus))),
        shares: BTreeMap::new(),
    }
}

/// The fullest worker that takes a trial, which is entered there; why each of the others does not.
fn find(seats: &mut [Seat], trial: &TrialId, known: &Known<Place>, limits: &Limits) -> (Option<Found>, Vec<Full>) {
    let version = &known.extra.job.code;
    let mut refusals = Vec::new();
    let mut best: Option<(usize, Share)> = None;
    for (index, seat) in seats.iter().enumerate().filter(|(_, seat)| seat.code == *version) {
        match seat.fit(known, limits) {
            Ok(share) => {
                let is_fuller = |(found, _): &(usize, Share)| seats[*found].shares.len() < seat.shares.len();
                if best.as_ref().is_none_or(is_fuller) {
                    best = Some((index, share));
                }
            }
            Err(full) => refusals.push(full),
        }
    }
    let Some((index, share)) = best else {
        return (None, refusals);
    };
    let seat = &mut seats[index];
    seat.shares.insert(trial.clone(), share.clone());
    let found = Found {
        worker: seat.name.clone().unwrap_or_default(),
        gpus: seat.gpus.clone(),
        share,
    };
    (Some(found), refusals)
}

/// Reads what workers have told of their GPUs since the last look.
async fn look_at_gpus(core: &Core, board: &Board) -> Result<()> {
    for (name, worker) in board {
        let Some((last, older)) = worker.reports.split_last() else {
            continue;
        };
        if core.pool.gpus(name).is_some_and(|(number, _)| number >= *last) {
            continue;
        }
        let path = |number: u64| board::path(&core.experiment, name, &format!("gpus.{number}"));
        let report = core.api.store.read(&path(*last), 0).await?;
        let Some(told) = gpus::read(&String::from_utf8_lossy(&report)) else {
            continue;
        };
        core.pool.set_gpus(name, *last, told);
        for number in older {
            core.api.store.remove(&path(*number)).await?;
        }
    }
    Ok(())
}

async fn give(core: &Core, given: Given) -> Result<()> {
    let Given { trial, known, to } = given;
    let Found { worker, gpus, share } = to;
    let devices = match (&share, gpus.as_deref()) {
        (Share::Gpus(indices), Some(Ok(inventory))) => Some(inventory.visible_devices(indices)),
        (Share::Gpus(_), _) => {
            let message = "a trial is to have GPUs of a node that has told of none";
            return Err(ts_core::Error::new(ErrorKind::Internal, message));
        }
        _ => None,
    };
    let script = format!("{}/{}", names::trial_folder(&core.experiment, &trial), job::START);
    let text = job::start(&known.extra.job.spec, devices.as_deref())?;
    core.api.store.put(&script, text.into_bytes()).await?;
    board::give(core, &worker, &trial, &share).await
}

/// No worker will ever have room for a trial.
fn refuse(core: &Core, trial: &TrialId, why: Reason) {
    let end = End {
        status: TrialStatus::Failed,
        at: core.ctx.clock.now(),
        why: Some(why),
    };
    core.registry.conclude(trial, end);
}
