//! What all operations of one service share: the trials, the machines, the mirror, and how they change each other.
//!
//! Machines are served by `machine`, who goes where is decided by `board`; here the decisions are stored and carried out.

use crate::{
    RemoteConfig,
    board::{Board, Condition, Placed, Slot, Waiting},
    job::Job,
    machine::{self, Machine},
    mirror::Mirror,
    warm::Warm,
    worker,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use ts_codedir::Spool;
use ts_core::{
    Ctx, Error, ErrorKind, ExperimentId, IdSource as _, RandomIds, Reason, ReasonCode, TrialId, TrialStatus,
    follow::{End, Known, Registry},
    gpu::GpuRules,
};

/// How long a machine that failed to start a trial is put aside.
const ASIDE: Duration = Duration::from_secs(20);

/// What the remote platform knows of a trial beside its status.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub(crate) job: Arc<Job>,
    /// Index of the machine that it was given to.
    pub(crate) machine: Option<usize>,
    /// Its own end, seen while a request to end it was on its way.
    pub(crate) own_end: Option<End>,
    /// Whether another service has it, and this one only looks on: what the journal says is that one's business.
    pub(crate) is_looked_on: bool,
}

/// The running side of a service; made when it is first needed.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) ctx: Ctx,
    pub(crate) config: RemoteConfig,
    pub(crate) experiment: ExperimentId,
    /// Tells this service from others of the same experiment, also on the machines.
    pub(crate) name: ExperimentId,
    sessions: AtomicU64,
    pub(crate) registry: Arc<Registry<Place>>,
    pub(crate) mirror: Mirror,
    pub(crate) machines: Vec<Machine>,
    board: Mutex<Board>,
    spools: Mutex<HashMap<String, Arc<Spool>>>,
    pub(crate) warm: Arc<Warm>,
    /// The turn to bring code to shared storage: one machine brings it for all of them.
    pub(crate) shared_turn: Semaphore,
    /// Wakes the task that places what waits.
    bell: Notify,
    /// Changes whenever a machine's condition or its code does.
    changes: watch::Sender<u64>,
}

/// A core whose tasks end when this is dropped. Trials do not.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) core: Arc<Core>,
    _stop: DropGuard,
}

impl Running {
    /// Starts one task per machine, which connects once it is needed, and the one that places what waits.
    pub(crate) fn start(ctx: Ctx, config: RemoteConfig, experiment: ExperimentId, warm: Arc<Warm>) -> Arc<Self> {
        let machines: Vec<Machine> = config.machines.iter().map(Machine::new).collect();
        let slots = machines.iter().map(|m| Slot::new(m.name(), rules(m))).collect();
        let core = Arc::new(Core {
            registry: Arc::default(),
            mirror: Mirror::new(&ctx.work_dir),
            machines,
            board: Mutex::new(Board::new(slots)),
            spools: Mutex::default(),
            warm,
            shared_turn: Semaphore::new(1),
            bell: Notify::new(),
            changes: watch::Sender::default(),
            ctx,
            config,
            experiment,
            name: RandomIds.experiment(),
            sessions: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        for machine in 0..core.machines.len() {
            spawn(&core, &stop, machine::serve(Arc::clone(&core), machine));
        }
        spawn(&core, &stop, crate::place::serve(Arc::clone(&core)));
        Arc::new(Self {
            core,
            _stop: stop.drop_guard(),
        })
    }
}

fn spawn(core: &Core, stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let stopped = stop.clone().cancelled_owned();
    core.ctx.tasks.spawn(async move {
        tokio::select! {
            () = stopped => {}
            () = task => {}
        }
    });
}

/// A machine's configured rules, in the terms of placement.
pub(crate) fn rules(machine: &Machine) -> GpuRules {
    let config = machine.config();
    GpuRules::new(
        config.gpu_indices.clone(),
        config.max_trials_per_gpu,
        config.use_active_gpu,
    )
}

impl Core {
    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spools_mut(&self) -> MutexGuard<'_, HashMap<String, Arc<Spool>>> {
        self.spools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has every machine connected. Whoever only looks at a log needs but one.
    pub(crate) fn need_all(&self) {
        for machine in &self.machines {
            machine.need();
        }
    }

    /// Number of the next session of reports.
    pub(crate) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Packages that machines are to have.
    pub(crate) fn spools(&self) -> Vec<Arc<Spool>> {
        self.spools_mut().values().cloned().collect()
    }

    /// Whether this machine is known to have every package; `false` while there is none.
    pub(crate) fn has_all_code(&self, machine: usize) -> bool {
        let spools = self.spools();
        let board = self.board();
        !spools.is_empty() && spools.iter().all(|spool| board.has_package(machine, spool.digest()))
    }

    /// Whether this package was ever delivered or is on its way: here, on disk, or on a machine.
    pub(crate) fn knows_package(&self, digest: &str) -> bool {
        self.spools_mut().contains_key(digest)
            || ts_codedir::is_known(&self.ctx.work_dir, digest)
            || (0..self.machines.len()).any(|machine| self.board().has_package(machine, digest))
    }

    /// Has every machine get this package, now or when it is next connected. One of the same digest stays.
    pub(crate) fn add_spool(&self, spool: Spool) -> Arc<Spool> {
        let spool = Arc::clone(
            self.spools_mut()
                .entry(spool.digest().to_owned())
                .or_insert_with(|| Arc::new(spool)),
        );
        for machine in &self.machines {
            machine.wake_deliveries();
        }
        spool
    }

    /// Waits for changes of machines; see [`Self::changed`].
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A machine's condition, code or load has changed: what waits may go.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
        self.bell.notify_one();
    }

    /// Waits until something that could let a waiting trial go has happened.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Waits until no first contact is being made any more.
    pub(crate) async fn first_contacts(&self) {
        let mut changes = self.changes();
        loop {
            let waits = {
                let board = self.board();
                (0..self.machines.len()).any(|i| *board.condition(i) == Condition::Connecting)
            };
            if !waits || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Places what can be placed without asking a machine.
    pub(crate) fn place_at_once(&self) {
        let (now, at) = (self.ctx.clock.monotonic(), self.ctx.clock.now());
        let ways = self.board().place_simple(now, at);
        self.send_all(ways);
        if self.board().wants_gpus() {
            self.bell.notify_one();
        }
    }

    /// Places what can be placed.
    pub(crate) fn place(&self) {
        let (now, at) = (self.ctx.clock.monotonic(), self.ctx.clock.now());
        let ways = self.board().place_all(now, at);
        self.send_all(ways);
    }

    fn send_all(&self, (placed, refused): (Vec<Placed>, Vec<(TrialId, Reason)>)) {
        for placed in placed {
            self.send(placed);
        }
        for (trial, reason) in refused {
            self.tell_reason(&trial, &reason);
        }
    }

    /// Stores where a trial goes, then gives it to the machine.
    fn send(&self, placed: Placed) {
        let Placed {
            waiting,
            machine,
            devices,
            visible_devices,
        } = placed;
        let trial = &waiting.trial;
        let Some(mut job) = self.registry.get(trial).map(|known| (*known.extra.job).clone()) else {
            self.board().release(machine, trial);
            return;
        };
        job.machine = Some(self.machines[machine].key().to_owned());
        job.devices = devices;
        job.visible_devices = visible_devices;
        if let Err(error) = job.save(&self.mirror.paths(trial)) {
            self.board().release(machine, trial);
            self.send_back(waiting, &error);
            return;
        }
        let now = self.ctx.clock.now();
        let reason = Reason::new(
            ReasonCode::Starting,
            format!("being started on `{}`", self.machines[machine].name()),
            now,
        );
        let job = Arc::new(job);
        let is_live = self.registry.update(trial, |known| {
            known.why = Some(reason);
            known.extra.job = job;
            known.extra.machine = Some(machine);
        });
        match is_live {
            Some(()) => self.machines[machine].start(trial.clone()),
            None => {
                self.board().release(machine, trial);
            }
        }
    }

    /// Puts a trial that could not be sent back into the queue.
    fn send_back(&self, waiting: Waiting, error: &Error) {
        let reason = Reason::new(ReasonCode::Queued, error.to_string(), self.ctx.clock.now());
        let reason = error.help().into_iter().fold(reason, Reason::unblocked_by);
        self.tell_reason(&waiting.trial, &reason);
        self.board().enqueue(waiting);
    }

    /// Its machine did not start a trial and never will: it waits for another try, there or elsewhere.
    pub(crate) fn not_started(&self, machine: usize, trial: &TrialId, error: &Error) {
        let now = self.ctx.clock.now();
        let code = match error.kind() {
            ErrorKind::Io => ReasonCode::DiskFull,
            _ => ReasonCode::StartFailed,
        };
        let why = Reason::new(code, error.to_string(), now);
        let why = error.help().into_iter().fold(why, Reason::unblocked_by);
        {
            let mut board = self.board();
            board.release(machine, trial);
            let until = self.ctx.clock.monotonic() + ASIDE;
            if *board.condition(machine) == Condition::Up {
                board.set_condition(machine, Condition::Aside { why, until });
            }
        }
        self.requeue(trial);
        self.changed();
    }

    /// Has a trial that no machine has, or that its machine never got, wait in the queue.
    pub(crate) fn requeue(&self, trial: &TrialId) {
        let paths = self.mirror.paths(trial);
        let waiting = self.registry.update(trial, |known| {
            let job = &known.extra.job;
            let fresh = Arc::new(Job::new(job.spec.clone(), job.package.clone()));
            known.extra.machine = None;
            known.extra.job = Arc::clone(&fresh);
            (fresh, known.cancel)
        });
        let Some((job, cancel)) = waiting else { return };
        if let Err(error) = job.save(&paths) {
            tracing::warn!(%trial, %error, "the trial's way back into the queue is not on disk");
        }
        match cancel {
            Some(why) => self.conclude(trial, ts_core::follow::of_canceled(why, &[], self.ctx.clock.now())),
            None => self.board().enqueue(Waiting {
                trial: trial.clone(),
                gpus: job.spec.gpus,
                package: job.package.clone(),
            }),
        }
    }

    /// Tells why a trial waits, if that is new; `since` stays while the reason does.
    fn tell_reason(&self, trial: &TrialId, reason: &Reason) {
        let is_new = self.registry.get(trial).is_some_and(|known| {
            known.status == TrialStatus::Waiting
                && !known
                    .why
                    .as_ref()
                    .is_some_and(|old| old.code == reason.code && old.message == reason.message)
        });
        if is_new {
            self.registry.update(trial, |known| known.why = Some(reason.clone()));
        }
    }

    /// Notes that a machine has taken a trial, which begins as soon as it has its own copy of the code.
    pub(crate) fn accepted(&self, trial: &TrialId) {
        let now = self.ctx.clock.now();
        let job = self.registry.update(trial, |known| {
            if known.status == TrialStatus::Waiting {
                known.why = Some(Reason::new(ReasonCode::Starting, "its code is being copied", now));
            }
            mark_started(known)
        });
        self.store_start(trial, job.flatten());
    }

    /// Notes what keeps the command of a trial from beginning.
    pub(crate) fn held_up(&self, trial: &TrialId, text: &str) {
        let code = if is_disk_full(text) {
            ReasonCode::DiskFull
        } else {
            ReasonCode::StartFailed
        };
        let message = format!("the code cannot be copied to the trial's directory: {text}");
        let why = Reason::new(code, message, self.ctx.clock.now())
            .unblocked_by("free space there, or look at owner and mode of the experiment's directory");
        let known = self.registry.update(trial, |known| {
            if known.status == TrialStatus::Waiting {
                known.why = Some(why);
            }
            (known.extra.machine, known.extra.job.package.clone())
        });
        // Somebody may have removed it there.
        if let Some((Some(machine), package)) = known
            && text == worker::CODE_IS_GONE
        {
            self.board().set_package(machine, &package, false);
            self.machines[machine].wake_deliveries();
        }
    }

    /// Notes that the command of a trial has begun.
    pub(crate) fn started(&self, trial: &TrialId, at: ts_core::Timestamp) {
        let job = self.registry.update(trial, |known| {
            if known.status != TrialStatus::Running {
                let started = known.started.unwrap_or(at);
                (known.status, known.at, known.why, known.started) =
                    (TrialStatus::Running, started, None, Some(started));
            }
            mark_started(known)
        });
        self.store_start(trial, job.flatten());
    }

    fn store_start(&self, trial: &TrialId, job: Option<Arc<Job>>) {
        if let Some(job) = job
            && let Err(error) = job.save(&self.mirror.paths(trial))
        {
            tracing::debug!(%trial, %error, "that the trial was started is not on disk");
        }
    }

    /// Makes the end of a trial known, unless it is known already, and frees what it held.
    pub(crate) fn conclude(&self, trial: &TrialId, end: End) {
        self.mirror.forget_journal(trial);
        let machine = self.registry.update(trial, |known| {
            (known.status, known.at, known.why) = (end.status, end.at, end.why);
            known.extra.machine
        });
        if let Some(Some(machine)) = machine {
            self.board().release(machine, trial);
        }
        self.changed();
    }

    /// Trials that were given to a machine and have not ended.
    pub(crate) fn trials_on(&self, machine: usize) -> Vec<(TrialId, Known<Place>)> {
        let all = self.registry.ids();
        let known = all
            .into_iter()
            .filter_map(|id| self.registry.get(&id).map(|known| (id, known)));
        known
            .filter(|(_, known)| known.extra.machine == Some(machine) && !known.status.is_terminal())
            .collect()
    }

    /// The wish to end a trial, as stored.
    pub(crate) fn cancel_intent(&self, trial: &TrialId) -> Option<ts_core::CancelReason> {
        ts_core::follow::load_cancel(&self.mirror.paths(trial))
    }

    /// Index of the machine with this key.
    pub(crate) fn machine_of_key(&self, key: &str) -> Option<usize> {
        self.machines.iter().position(|machine| machine.key() == key)
    }
}

/// Notes in the job that its machine has it; the job, if that is new.
fn mark_started(known: &mut Known<Place>) -> Option<Arc<Job>> {
    if known.extra.job.is_started {
        return None;
    }
    let job = Arc::new(Job {
        is_started: true,
        ..(*known.extra.job).clone()
    });
    known.extra.job = Arc::clone(&job);
    Some(job)
}

/// Whether a machine's words say that there is no space.
pub(crate) fn is_disk_full(text: &str) -> bool {
    text.contains("No space left") || text.contains("quota")
}
