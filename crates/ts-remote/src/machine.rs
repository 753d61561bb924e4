//! One machine: connects, connects again when the link is lost, and serves the link while it lasts.
//!
//! Trials do not depend on the link. A machine that cannot be reached is put aside with its reason and comes back by itself.
//! What is asked over the link is `worker`'s business, what the answers mean for trials is `core`'s and `observe`'s.

use crate::{
    MachineConfig,
    board::Condition,
    core::{Core, is_disk_full},
    link::{self, Link},
    observe,
    ssh::Connection,
    worker::Shell,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use ts_core::{Error, ErrorKind, PROGRESS, Reason, ReasonCode, Result, Timestamp, TrialId, TrialStatus};

/// First and longest wait between two tries to connect.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// The same after the machine refused us: another try soon would only count against us there.
const REFUSED_BACK_OFF: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(10));
/// How long a machine may be gone before its trials count as unknown.
const UNKNOWN_AFTER: Duration = Duration::from_secs(10);

/// A machine of the experiment.
#[derive(Debug)]
pub(crate) struct Machine {
    config: MachineConfig,
    name: String,
    key: String,
    /// Whether anything is wanted of it.
    is_needed: watch::Sender<bool>,
    link: watch::Sender<Option<Arc<Link>>>,
    was_linked: AtomicBool,
    starts: Mutex<VecDeque<Start>>,
    start_bell: Notify,
    delivery_bell: Notify,
    failure: Mutex<Option<Failure>>,
    /// Held by whoever asks for its GPUs; nobody else asks meanwhile.
    asking: Arc<Semaphore>,
    /// The shell that is asked, between two questions.
    gpu_shell: Mutex<Option<GpuShell>>,
}

/// A shell for questions about GPUs, and the connection that it may need of its own.
pub(crate) type GpuShell = (Shell, Option<Connection>);

/// A trial that is to be started here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) trial: TrialId,
    /// Whether an earlier request may have reached the machine.
    pub(crate) is_repeated: bool,
}

/// The last reason why there is no link.
#[derive(Debug, Clone)]
struct Failure {
    kind: ErrorKind,
    message: String,
    key: Option<String>,
    help: Option<String>,
    retry: ts_core::Retry,
}

impl Machine {
    pub(crate) fn new(config: &MachineConfig) -> Self {
        let user = config.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = config.port.map(|port| format!(":{port}")).unwrap_or_default();
        let name = format!("{user}{}{port}", config.host);
        let key = Sha256::digest(name.as_bytes());
        Self {
            config: config.clone(),
            key: hex(&key[..6]),
            name,
            is_needed: watch::Sender::default(),
            link: watch::Sender::default(),
            was_linked: AtomicBool::new(false),
            starts: Mutex::default(),
            start_bell: Notify::new(),
            delivery_bell: Notify::new(),
            failure: Mutex::default(),
            asking: Arc::new(Semaphore::new(1)),
            gpu_shell: Mutex::default(),
        }
    }

    pub(crate) fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// As the user knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Tells it from other entries of the list, also in names of files.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Has it connected.
    pub(crate) fn need(&self) {
        self.is_needed.send_replace(true);
    }

    /// The link, while there is one.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.link.borrow().clone()
    }

    /// Whether there ever was a link.
    pub(crate) fn was_linked(&self) -> bool {
        self.was_linked.load(Ordering::Acquire)
    }

    /// Tells of each new link.
    pub(crate) fn links(&self) -> watch::Receiver<Option<Arc<Link>>> {
        self.link.subscribe()
    }

    /// The link, or why there is none.
    pub(crate) fn need_link(&self) -> Result<Arc<Link>> {
        self.link().ok_or_else(|| {
            self.error().unwrap_or_else(|| {
                Error::new(ErrorKind::Unreachable, format!("`{}` is being connected", self.name))
                    .with_retry(ts_core::Retry::NotApplied { after: None })
            })
        })
    }

    /// Has a trial started as soon as there is a link.
    pub(crate) fn start(&self, trial: TrialId) {
        self.push(Start {
            trial,
            is_repeated: false,
        });
    }

    /// Has a trial started whose start may have reached the machine before.
    pub(crate) fn start_again(&self, trial: TrialId) {
        self.push(Start {
            trial,
            is_repeated: true,
        });
    }

    /// A trial is in the list once; what may have reached the machine stays so.
    fn push(&self, start: Start) {
        let mut starts = self.starts();
        match starts.iter_mut().find(|known| known.trial == start.trial) {
            Some(known) => known.is_repeated |= start.is_repeated,
            None => starts.push_back(start),
        }
        drop(starts);
        self.start_bell.notify_one();
    }

    /// Takes up to `n` trials that are to be started.
    pub(crate) fn take_starts(&self, n: usize) -> Vec<Start> {
        let mut starts = self.starts();
        let n = n.min(starts.len());
        starts.drain(..n).collect()
    }

    /// Takes a trial that was not sent back; `false` if it is on its way or there.
    pub(crate) fn withdraw(&self, trial: &TrialId) -> bool {
        let mut starts = self.starts();
        let before = starts.len();
        starts.retain(|start| start.trial != *trial || start.is_repeated);
        starts.len() < before
    }

    pub(crate) async fn has_starts(&self) {
        while self.starts().is_empty() {
            self.start_bell.notified().await;
        }
    }

    /// Has the code delivered that is missing here.
    pub(crate) fn wake_deliveries(&self) {
        self.delivery_bell.notify_one();
    }

    pub(crate) async fn has_deliveries(&self) {
        self.delivery_bell.notified().await;
    }

    /// The right to ask for its GPUs; `None` while somebody does.
    pub(crate) fn begin_asking(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.asking).try_acquire_owned().ok()
    }

    /// The shell of the last question about GPUs, if it still answers.
    pub(crate) fn take_gpu_shell(&self) -> Option<GpuShell> {
        let mut kept = self.gpu_shell.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take().filter(|(shell, _)| !shell.is_ended())
    }

    pub(crate) fn keep_gpu_shell(&self, shell: GpuShell) {
        *self.gpu_shell.lock().unwrap_or_else(PoisonError::into_inner) = Some(shell);
    }

    /// Why there is no link.
    pub(crate) fn error(&self) -> Option<Error> {
        let failure = self.failure().clone()?;
        let message = if failure.message.contains(&self.config.host) {
            failure.message
        } else {
            format!("`{}`: {}", self.name, failure.message)
        };
        let error = Error::new(failure.kind, message)
            .with_retry(failure.retry)
            .with_context("machine", &self.name);
        let error = failure.key.into_iter().fold(error, Error::with_key);
        Some(failure.help.into_iter().fold(error, Error::with_help))
    }

    /// Remembers why the machine cannot be used for now.
    pub(crate) fn note_failure(&self, error: &Error) {
        *self.failure() = Some(Failure {
            kind: error.kind(),
            message: error.to_string(),
            key: error.key().map(str::to_owned),
            help: error.help().map(str::to_owned),
            retry: error.retry(),
        });
    }

    fn starts(&self) -> MutexGuard<'_, VecDeque<Start>> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// That no machine can be used, with what is wrong with each.
pub(crate) fn all_failed(machines: &[Machine]) -> Error {
    let errors: Vec<Error> = machines.iter().filter_map(Machine::error).collect();
    if machines.len() == 1
        && let Some(error) = machines[0].error()
    {
        return error;
    }
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let kind = errors.first().map_or(ErrorKind::Unreachable, Error::kind);
    let all = Error::new(kind, format!("no machine can be used: {}", lines.join("; ")));
    let all = match errors.iter().find(|error| error.is_retryable()) {
        Some(error) => all.with_retry(error.retry()),
        None => all,
    };
    all.with_help("`tsctl doctor FILE` shows each step to each machine")
}

/// Serves one machine until it is dropped.
pub(crate) async fn serve(core: Arc<Core>, index: usize) {
    let machine = &core.machines[index];
    let clock = &*core.ctx.clock;
    // The sender is ours, so there is always somebody who may say it.
    let _ = machine.is_needed.subscribe().wait_for(|needed| *needed).await;
    let mut n_failures = 0_u32;
    let mut down_since: Option<(Duration, Timestamp)> = None;
    let mut told: Option<String> = None;
    loop {
        let error = match link::open(&core, index).await {
            Ok((link, watch)) => {
                (n_failures, down_since) = (0, None);
                if told.take().is_some() {
                    tracing::info!(target: PROGRESS, "`{}` is connected again", machine.name);
                }
                up(&core, index, &link);
                let error = tokio::select! {
                    error = link.connection.lost() => error,
                    error = link.shell.ended() => error,
                    error = observe::observe(&core, index, watch) => error,
                    error = crate::start::serve(&core, index, &link) => error,
                    error = crate::prepare::serve(&core, index, &link) => error,
                };
                machine.link.send_replace(None);
                error
            }
            Err(error) => error,
        };
        // Once for each reason: it may take long until it is back.
        let text = error.to_string();
        if told.as_ref() != Some(&text) {
            tracing::warn!(machine = machine.name, %error, "not connected; trying again until it is");
            told = Some(text);
        }
        let (since, at) = *down_since.get_or_insert_with(|| (clock.monotonic(), clock.now()));
        let why = reason(&error, at);
        down(&core, index, &error, &why);
        let mut wait = back_off(&error, n_failures);
        n_failures = n_failures.saturating_add(1);
        let gone_for = clock.monotonic().saturating_sub(since);
        if let Some(rest) = UNKNOWN_AFTER.checked_sub(gone_for).filter(|rest| *rest < wait) {
            clock.sleep(rest).await;
            wait -= rest;
        }
        if clock.monotonic().saturating_sub(since) >= UNKNOWN_AFTER {
            unknown(&core, index, &why);
        }
        clock.sleep(wait).await;
    }
}

fn back_off(error: &Error, n_failures: u32) -> Duration {
    let (first, longest) = if error.is_retryable() {
        BACK_OFF
    } else {
        REFUSED_BACK_OFF
    };
    first
        .saturating_mul(1_u32.checked_shl(n_failures).unwrap_or(u32::MAX))
        .min(longest)
}

/// There is a link: what the machine has of ours goes on.
fn up(core: &Core, index: usize, link: &Arc<Link>) {
    let machine = &core.machines[index];
    *machine.failure() = None;
    machine.was_linked.store(true, Ordering::Release);
    machine.link.send_replace(Some(Arc::clone(link)));
    for (trial, known) in core.trials_on(index) {
        if !known.extra.job.is_started {
            machine.start_again(trial);
        } else if known.status == TrialStatus::Unknown {
            let started = known.started.unwrap_or_else(|| core.ctx.clock.now());
            core.started(&trial, started);
        }
    }
    {
        let mut board = core.board();
        board.set_cores(index, link.facts.n_cores);
        // It may have lost what it had, by a restart for example.
        board.forget_packages(index);
        board.set_condition(index, Condition::Up);
    }
    core.changed();
}

/// There is no link: what was not sent goes elsewhere, and what waits is told why.
fn down(core: &Core, index: usize, error: &Error, why: &Reason) {
    let machine = &core.machines[index];
    machine.note_failure(error);
    core.board().set_condition(index, Condition::Down { why: why.clone() });
    for (trial, _) in core
        .trials_on(index)
        .into_iter()
        .filter(|(_, known)| known.extra.is_looked_on && known.status == TrialStatus::Waiting)
    {
        core.registry.update(&trial, |known| known.why = Some(why.clone()));
    }
    for start in machine.take_starts(usize::MAX) {
        if !start.is_repeated {
            core.board().release(index, &start.trial);
            core.requeue(&start.trial);
        }
    }
    core.changed();
}

/// The machine is gone for long: nobody knows how its trials are.
fn unknown(core: &Core, index: usize, why: &Reason) {
    for (trial, known) in core.trials_on(index) {
        match known.status {
            TrialStatus::Running => core.registry.update(&trial, |known| {
                (known.status, known.at, known.why) = (TrialStatus::Unknown, core.ctx.clock.now(), Some(why.clone()));
            }),
            TrialStatus::Waiting => core.registry.update(&trial, |known| known.why = Some(why.clone())),
            _ => None,
        };
    }
}

fn reason(error: &Error, since: Timestamp) -> Reason {
    let text = error.to_string();
    let reason_code = if is_disk_full(&text) {
        ReasonCode::DiskFull
    } else {
        ReasonCode::Unreachable
    };
    let reason = Reason::new(reason_code, text, since);
    error.help().into_iter().fold(reason, Reason::unblocked_by)
}
