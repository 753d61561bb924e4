//! GPUs of this machine: who waits for them, who holds them, and when to ask the driver again.
//!
//! Placement is `ts-core`'s pure function and the driver's answers are its parsers'; here is the queue around them. The
//! driver is asked only while a trial waits: on an enqueue, on a release, and otherwise at intervals that grow.

use crate::{LocalConfig, core::Core, submit};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, VecDeque},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::Notify;
use ts_core::{
    Clock, Error, ErrorKind, ExperimentId, GpuCount, Reason, ReasonCode, Result, TrialId, TrialStatus,
    gpu::{
        GpuInventory, GpuLedger, GpuRules, Refusal,
        nvidia_smi::{self, GpuQuery, Inspection, SmiOutput},
        place,
    },
    launch::TrialPaths,
};

/// How long nvidia-smi may take; a lost GPU makes it hang.
const TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest wait between two questions while nothing of ours changes.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// Least time from one question to the next, whatever happens in between: each costs two processes and wakes the driver.
const SPACING: Duration = Duration::from_secs(1);
/// Name of the file with a trial's assignment, beside its state.
const FILE: &str = "job";

/// Wish for and assignment of GPUs, as kept in the trial's directory, so that an adopted trial goes on holding them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    experiment: ExperimentId,
    n_gpus: u32,
    devices: Vec<u32>,
}

impl Assignment {
    pub(crate) fn wish(experiment: ExperimentId, n_gpus: u32) -> Self {
        Self {
            experiment,
            n_gpus,
            devices: Vec::new(),
        }
    }

    pub(crate) fn without_devices(self) -> Self {
        Self::wish(self.experiment, self.n_gpus)
    }

    pub(crate) fn save(&self, paths: &TrialPaths) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::new(ErrorKind::Internal, "cannot write a GPU assignment as JSON").with_source(e))?;
        submit::write_whole(&paths.exchange().join(FILE), &text)
    }

    /// The assignment on disk; `None` for a trial without GPUs.
    pub(crate) fn load(paths: &TrialPaths) -> Result<Option<Self>> {
        let path = paths.exchange().join(FILE);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|e| Error::io("understand", &path, e.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }
}

/// The queue and the reservations of one experiment.
#[derive(Debug)]
pub(crate) struct Gpus {
    rules: GpuRules,
    program: PathBuf,
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(TrialId, Assignment)>,
    ledger: GpuLedger,
}

impl Gpus {
    pub(crate) fn new(config: &LocalConfig) -> Self {
        Self {
            rules: rules(config),
            program: config.nvidia_smi.clone(),
            state: Mutex::default(),
            bell: Notify::new(),
        }
    }

    /// Has `trial`, whose files are there, started as soon as its GPUs are free.
    pub(crate) fn enqueue(&self, trial: &TrialId, wish: Assignment) {
        self.state().queue.push_back((trial.clone(), wish));
        self.bell.notify_one();
    }

    /// Takes `trial` out of the queue; `false` if it is not in it.
    pub(crate) fn withdraw(&self, trial: &TrialId) -> bool {
        let mut state = self.state();
        let before = state.queue.len();
        state.queue.retain(|(id, _)| id != trial);
        state.queue.len() < before
    }

    pub(crate) fn holds(&self, trial: &TrialId) -> bool {
        self.state().ledger.held_by(trial).is_some()
    }

    /// The tree of `trial` has ended.
    pub(crate) fn release(&self, trial: &TrialId) {
        if self.state().ledger.release(trial).is_some() {
            self.bell.notify_one();
        }
    }

    /// An adopted trial holds what it was given.
    pub(crate) fn restore(&self, trial: &TrialId, assignment: &Assignment) {
        if !assignment.devices.is_empty() {
            self.state().ledger.restore(trial, &assignment.devices);
        }
    }

    /// Starts every waiting trial that can be placed, first come first served but none held up by one that cannot.
    ///
    /// `true` if any was started.
    fn place_all(&self, core: &Core, inspected: &Result<GpuInventory, Refusal>) -> bool {
        let mut placed = Vec::new();
        {
            let mut state = self.state();
            let State { queue, ledger } = &mut *state;
            queue.retain(|(trial, wish)| {
                let devices = inspected.clone().and_then(|inventory| {
                    let count = GpuCount::Exactly(wish.n_gpus);
                    let devices = place(count, &inventory, &self.rules, ledger, &BTreeSet::new())?;
                    Ok((inventory.visible_devices(&devices), devices))
                });
                match devices {
                    Ok((visible, devices)) => {
                        ledger.restore(trial, &devices);
                        placed.push((
                            trial.clone(),
                            Assignment {
                                devices,
                                ..wish.clone()
                            },
                            visible,
                        ));
                        false
                    }
                    Err(refusal) => {
                        tell(core, trial, &refusal.reason(core.ctx.clock.now()));
                        true
                    }
                }
            });
        }
        let any = !placed.is_empty();
        for (trial, assignment, visible) in placed {
            self.start(core, &trial, &assignment, &visible);
        }
        any
    }

    fn start(&self, core: &Core, trial: &TrialId, assignment: &Assignment, visible: &str) {
        // On disk first: a trial that runs is adopted with its GPUs.
        let started = assignment
            .save(&core.paths(trial))
            .and_then(|()| submit::launch(core, trial, &assignment.experiment, Some(visible)));
        let Err(error) = started else { return };
        self.state().ledger.release(trial);
        let now = core.ctx.clock.now();
        let reason_code = if error.is_retryable() {
            ReasonCode::Queued
        } else {
            ReasonCode::StartFailed
        };
        let reason = Reason::new(reason_code, error.to_string(), now);
        let reason = error.help().into_iter().fold(reason, Reason::unblocked_by);
        if error.is_retryable() {
            tell(core, trial, &reason);
            self.state()
                .queue
                .push_back((trial.clone(), assignment.clone().without_devices()));
        } else {
            let (status, why) = (TrialStatus::Failed, Some(reason));
            core.conclude(trial, ts_core::follow::End { status, at: now, why });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The configured rules, in the terms of placement.
pub(crate) fn rules(config: &LocalConfig) -> GpuRules {
    GpuRules::new(
        config.gpu_indices.clone(),
        config.max_trials_per_gpu,
        config.use_active_gpu,
    )
}

/// Tells why a trial waits, if that is new; `since` stays while the reason does.
fn tell(core: &Core, trial: &TrialId, reason: &Reason) {
    let same = |old: &Reason| old.code == reason.code && old.message == reason.message;
    if core
        .registry
        .get(trial)
        .is_some_and(|known| !known.why.as_ref().is_some_and(same))
    {
        core.registry.update(trial, |known| known.why = Some(reason.clone()));
    }
}

/// Serves the queue until `core` is dropped.
pub(crate) async fn serve(core: Weak<Core>) {
    let mut interval = INTERVAL.0;
    let mut earliest = Duration::ZERO;
    loop {
        let Some(strong) = core.upgrade() else { return };
        let clock = Arc::clone(&strong.ctx.clock);
        if !strong.gpus.state().queue.is_empty() {
            let now = clock.monotonic();
            if now < earliest {
                drop(strong);
                clock.sleep(earliest.saturating_sub(now)).await;
                continue;
            }
            earliest = now + SPACING;
            let inspected = inspect(&strong.gpus.program, &*clock).await;
            if strong.gpus.place_all(&strong, &inspected) {
                interval = INTERVAL.0;
            }
        }
        let waits = !strong.gpus.state().queue.is_empty();
        let gpus = Arc::clone(&strong.gpus);
        drop(strong);
        if waits {
            tokio::select! {
                () = gpus.bell.notified() => interval = INTERVAL.0,
                () = clock.sleep(interval) => interval = (interval * 2).min(INTERVAL.1),
            }
        } else {
            gpus.bell.notified().await;
            interval = INTERVAL.0;
        }
    }
}

/// The GPUs of this machine and who uses them, or why that is unknown. Costs two processes.
pub(crate) async fn inspect(program: &Path, clock: &dyn Clock) -> Result<GpuInventory, Refusal> {
    let mut query = GpuQuery::Full;
    let inspection = loop {
        let Some(answer) = ask(program, query.arguments(), clock).await? else {
            return Inspection::not_installed().into_inventory();
        };
        match query.fallback(&answer.as_output()) {
            Some(simpler) => query = simpler,
            None => break query.parse(&answer.as_output()),
        }
    };
    let mut inventory = inspection.into_inventory()?;
    if inventory.lacks_mig_devices()
        && let Some(answer) = ask(program, nvidia_smi::DEVICES, clock).await?
    {
        nvidia_smi::add_mig_devices(&mut inventory, &answer.as_output()).map_err(|e| e.refusal())?;
    }
    if !inventory.gpus().is_empty()
        && let Some(answer) = ask(program, nvidia_smi::PROCESSES, clock).await?
    {
        nvidia_smi::add_processes(&mut inventory, &answer.as_output()).map_err(|e| e.refusal())?;
    }
    Ok(inventory)
}

/// What a run of nvidia-smi left.
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn as_output(&self) -> SmiOutput<'_> {
        SmiOutput {
            code: self.code,
            stdout: &self.stdout,
            stderr: &self.stderr,
        }
    }
}

/// Runs nvidia-smi; `None` if there is no such program.
async fn ask(program: &Path, arguments: &[&str], clock: &dyn Clock) -> Result<Option<Answer>, Refusal> {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::select! {
        output = command.output() => output,
        () = clock.sleep(TIMEOUT) => return Err(Refusal::unknown(
            format!("`{}` did not answer within {} s", program.display(), TIMEOUT.as_secs()),
            "look at the driver: `dmesg` names lost GPUs by `Xid`",
        )),
    };
    match output {
        Ok(output) => Ok(Some(Answer {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Refusal::unknown(
            format!("cannot run `{}`: {e}", program.display()),
            "make it executable, or name the right program with `nvidiaSmi`",
        )),
    }
}
