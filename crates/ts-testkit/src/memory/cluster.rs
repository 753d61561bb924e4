//! The platform's side of the reference platform: queue, slots, gates, stored code, and the handles by which a test drives
//! jobs. It survives the service objects that talk to it. What a client may ask for is the service's part.

use super::job::Job;
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use ts_core::{
    CancelReason, Clock, DEFAULT_GRACE, Error, ErrorKind, ExperimentId, Parameters, Reason, ReasonCode, Result, Secret,
    TrialId, TrialSpec, TrialStatus,
};

/// A platform in memory. Clones are handles of the same platform.
///
/// Commands are scripts of statements divided by `;` or newlines: `metric BODY`, `intermediate VALUE`, `final VALUE`,
/// `stdout TEXT`, `stderr TEXT`, `gate NAME`, `parameters`, `ignore-term`, `detach`, `wait`, `exit CODE`. Anything else ends
/// as a shell ends it: with code 127. A command `wait` leaves the job to the test, which calls [`metric`](Self::metric)
/// and [`finish`](Self::finish).
#[derive(Debug, Clone)]
pub struct MemoryCluster(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    token: Secret,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

/// Identity of a job, as stamped on it.
type Stamp = (ExperimentId, TrialId);

#[derive(Debug)]
pub(super) struct State {
    pub(super) jobs: HashMap<Stamp, Job>,
    /// Each time something changed for a job, in order: what a watcher follows.
    pub(super) changed: HashMap<ExperimentId, Vec<TrialId>>,
    pub(super) code: BTreeSet<(ExperimentId, String)>,
    queue: VecDeque<Stamp>,
    /// Forced ends to come: at which monotonic time, of which job.
    forced_ends: BTreeSet<(Duration, Stamp)>,
    n_running: usize,
    slots: usize,
    held: bool,
    grace: Duration,
    open_gates: HashSet<String>,
}

impl MemoryCluster {
    /// A platform without a limit of slots, with the usual grace, that lets in who presents `memory-token`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            jobs: HashMap::new(),
            changed: HashMap::new(),
            code: BTreeSet::new(),
            queue: VecDeque::new(),
            forced_ends: BTreeSet::new(),
            n_running: 0,
            slots: usize::MAX,
            held: false,
            grace: DEFAULT_GRACE,
            open_gates: HashSet::new(),
        };
        Self(Arc::new(Shared {
            clock,
            token: Secret::new("memory-token"),
            state: Mutex::new(state),
            changes: watch::Sender::new(()),
        }))
    }

    /// Credentials that the platform accepts.
    pub fn token(&self) -> Secret {
        self.0.token.clone()
    }

    /// Runs at most `slots` jobs at a time from now on; running ones go on.
    pub fn set_slots(&self, slots: usize) {
        self.change(|state| state.slots = slots);
    }

    /// Time between a request to end and the forced end of a job that ignores it.
    pub fn set_grace(&self, grace: Duration) {
        self.change(|state| state.grace = grace);
    }

    /// While held, the platform starts nothing by itself.
    pub fn hold_queue(&self, held: bool) {
        self.change(|state| state.held = held);
    }

    /// Opens a gate for all jobs, for ever.
    pub fn open_gate(&self, gate: &str) {
        let now = self.0.clock.now();
        self.change(|state| {
            state.open_gates.insert(gate.to_owned());
            let running = state
                .jobs
                .iter()
                .filter(|(_, job)| job.status() == TrialStatus::Running);
            let running: Vec<Stamp> = running.map(|(stamp, _)| stamp.clone()).collect();
            for stamp in running {
                state.run(&stamp, now);
            }
        });
    }

    /// Starts a waiting job now, whatever queue and slots say.
    ///
    /// # Errors
    /// `NotFound` for an unknown trial, `Conflict` if the job does not wait.
    pub fn start(&self, trial: &TrialId) -> Result<()> {
        let now = self.0.clock.now();
        self.drive(trial, TrialStatus::Waiting, |state, stamp| {
            state.queue.retain(|queued| queued != stamp);
            state.start(stamp, now);
        })
    }

    /// Appends a metric to a running job's journal.
    ///
    /// # Errors
    /// `NotFound` for an unknown trial, `Conflict` if the job does not run.
    pub fn metric(&self, trial: &TrialId, body: impl Into<String>) -> Result<()> {
        let now = self.0.clock.now();
        self.drive(trial, TrialStatus::Running, |state, stamp| {
            state.update(stamp, |job| job.append(now, body.into()));
        })
    }

    /// Ends a running job's command with an exit code.
    ///
    /// # Errors
    /// `NotFound` for an unknown trial, `Conflict` if the job does not run.
    pub fn finish(&self, trial: &TrialId, code: i32) -> Result<()> {
        let now = self.0.clock.now();
        self.drive(trial, TrialStatus::Running, |state, stamp| {
            state.update(stamp, |job| job.exit(now, code));
        })
    }

    /// Ends a running job as a platform does whose machine is gone.
    ///
    /// # Errors
    /// `NotFound` for an unknown trial, `Conflict` if the job does not run.
    pub fn lose(&self, trial: &TrialId) -> Result<()> {
        let now = self.0.clock.now();
        let reason = Reason::new(ReasonCode::Lost, "the machine of the job is gone", now);
        self.drive(trial, TrialStatus::Running, |state, stamp| {
            state.update(stamp, |job| job.enter(now, TrialStatus::SysCanceled, Some(reason)));
        })
    }

    /// What runs for a trial: names of processes.
    pub fn processes(&self, trial: &TrialId) -> Vec<String> {
        self.read(|state| {
            let jobs = state.jobs.iter().filter(|((_, id), _)| id == trial);
            jobs.flat_map(|(_, job)| job.processes()).collect()
        })
    }

    /// Everything that the platform holds of an experiment: jobs and code.
    pub fn holdings(&self, experiment: &ExperimentId) -> Vec<String> {
        self.read(|state| {
            let jobs = state.jobs.keys().filter(|(id, _)| id == experiment);
            let code = state.code.iter().filter(|(id, _)| id == experiment);
            let jobs = jobs.map(|(_, trial)| format!("job {trial}"));
            jobs.chain(code.map(|(_, digest)| format!("code {digest}"))).collect()
        })
    }

    /// Takes a new job, or knows it already.
    pub(super) fn create(&self, spec: &TrialSpec) {
        let now = self.0.clock.now();
        let stamp = (spec.experiment.clone(), spec.id.clone());
        self.change(|state| {
            if state.jobs.contains_key(&stamp) {
                return;
            }
            let reason = if state.held {
                Reason::new(ReasonCode::Queued, "the queue is held", now)
                    .unblocked_by("the operator releases the queue")
            } else if state.n_running >= state.slots {
                Reason::new(ReasonCode::Quota, format!("all {} slots are in use", state.slots), now)
                    .unblocked_by("another job ends")
            } else {
                Reason::new(ReasonCode::Queued, "next in line", now).unblocked_by("the platform starts it")
            };
            state.jobs.insert(stamp.clone(), Job::waiting(spec.clone(), reason));
            state.queue.push_back(stamp.clone());
            state.note(&stamp);
        });
    }

    /// Hands a running job its next parameters.
    pub(super) fn give(&self, stamp: &Stamp, next: &Parameters) -> Result<()> {
        let now = self.0.clock.now();
        self.change(|state| {
            state.require(stamp, TrialStatus::Running)?;
            state.update(stamp, |job| job.give(next.clone()));
            state.run(stamp, now);
            Ok(())
        })
    }

    /// Asks a job to end; one that is unknown or has ended needs nothing.
    pub(super) fn cancel(&self, stamp: &Stamp, why: CancelReason) {
        let (now, monotonic) = (self.0.clock.now(), self.0.clock.monotonic());
        self.change(|state| {
            let kill_at = monotonic.saturating_add(state.grace);
            state.update(stamp, |job| job.cancel(now, why));
            if state.require(stamp, TrialStatus::Running).is_ok() {
                state.forced_ends.insert((kill_at, stamp.clone()));
            }
        });
    }

    /// Removes a job, ending it first if need be. Says whether there was one.
    pub(super) fn remove(&self, stamp: &Stamp) -> bool {
        let now = self.0.clock.now();
        self.change(|state| {
            state.update(stamp, |job| {
                if !job.status().is_terminal() {
                    job.end_canceled(now);
                }
            });
            state.queue.retain(|queued| queued != stamp);
            state.jobs.remove(stamp).is_some()
        })
    }

    /// Changes the state, then lets time and queue take their course, then tells the watchers.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let value = change(&mut state);
        state.settle(self.0.clock.as_ref());
        drop(state);
        self.0.changes.send_replace(());
        value
    }

    /// Looks at the state, once time and queue have taken their course.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        let mut state = self.lock();
        state.settle(self.0.clock.as_ref());
        look(&state)
    }

    /// Follows changes of the state.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Waits until time alone changes something: the forced end of a stubborn job. For ever if there is none.
    pub(super) async fn next_forced_end(&self) {
        match self.read(|state| state.forced_ends.first().map(|(at, _)| *at)) {
            Some(at) => self.0.clock.sleep(at.saturating_sub(self.0.clock.monotonic())).await,
            None => std::future::pending().await,
        }
    }

    fn drive(&self, trial: &TrialId, expected: TrialStatus, step: impl FnOnce(&mut State, &Stamp)) -> Result<()> {
        self.change(|state| {
            let stamp = state.jobs.keys().find(|(_, id)| id == trial).cloned();
            let stamp = stamp.ok_or_else(|| unknown(trial))?;
            state.require(&stamp, expected)?;
            step(state, &stamp);
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn require(&self, stamp: &Stamp, expected: TrialStatus) -> Result<()> {
        let status = self.jobs.get(stamp).ok_or_else(|| unknown(&stamp.1))?.status();
        if status == expected {
            return Ok(());
        }
        let message = format!("trial `{}` is {status}, not {expected}", stamp.1);
        Err(Error::new(ErrorKind::Conflict, message).with_help("look at its status first"))
    }

    /// Tells watchers of the experiment to look at a job.
    fn note(&mut self, (experiment, trial): &Stamp) {
        self.changed.entry(experiment.clone()).or_default().push(trial.clone());
    }

    /// Changes a job, if there is one, and keeps count of the slots.
    fn update(&mut self, stamp: &Stamp, change: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(stamp) else { return };
        let ran = job.status() == TrialStatus::Running;
        change(job);
        let runs = job.status() == TrialStatus::Running;
        self.n_running = self.n_running + usize::from(runs) - usize::from(ran);
        self.note(stamp);
    }

    fn start(&mut self, stamp: &Stamp, now: ts_core::Timestamp) {
        self.update(stamp, |job| job.start(now));
        self.run(stamp, now);
    }

    fn run(&mut self, stamp: &Stamp, now: ts_core::Timestamp) {
        let open = std::mem::take(&mut self.open_gates);
        self.update(stamp, |job| job.run(now, |gate| open.contains(gate)));
        self.open_gates = open;
    }

    fn settle(&mut self, clock: &dyn Clock) {
        let (now, monotonic) = (clock.now(), clock.monotonic());
        while self.forced_ends.first().is_some_and(|(at, _)| *at <= monotonic) {
            let Some((_, stamp)) = self.forced_ends.pop_first() else {
                break;
            };
            if self.require(&stamp, TrialStatus::Running).is_ok() {
                self.update(&stamp, |job| job.end_canceled(now));
            }
        }
        while !self.held && self.n_running < self.slots {
            let Some(stamp) = self.queue.pop_front() else { break };
            if self.require(&stamp, TrialStatus::Waiting).is_ok() {
                self.start(&stamp, now);
            }
        }
    }
}

fn unknown(trial: &TrialId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("the platform has no job of trial `{trial}`"),
    )
    .with_help("submit it first, or look at what `recover` says")
}
