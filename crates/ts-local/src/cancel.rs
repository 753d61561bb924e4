//! Ends process trees: those of canceled trials, and what ended trials left behind.
//!
//! One task serves all endings with one look at `/proc` a round. A round asks (SIGTERM), and after the grace period forces
//! (SIGKILL), every member that it finds; the end of any of them starts the next round, so nothing is polled and a process
//! forked during a look is found by the next one. A process that was very young when it was asked is asked once more: between
//! fork and exec it may have had its parent's handler still, which took the signal for itself. A tree has ended when a look finds no member. Which processes are members
//! is `process_tree`'s knowledge; the status that follows is `status`'s.

use crate::{
    LocalConfig,
    core::Core,
    last_sweep::LastSweep,
    process_tree::{self, ProcessId, Wanted},
};
use rustix::process::{Pid, Signal};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::{Notify, watch};
use ts_core::{CancelReason, Error, ErrorKind, Result, TrialId, TrialStatus};

/// Least time between two looks that only search for leftovers of ended trials.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A process younger than this when it was asked may have been a fork with its parent's signal handlers.
const YOUNG: Duration = Duration::from_millis(100);
/// Wait before young processes are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long a process may survive SIGKILL (uninterruptible I/O) before it is reported as leaked.
const FORCE_LIMIT: Duration = Duration::from_secs(5);

/// Trees that are being ended.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    table: Mutex<Table>,
    bell: Notify,
    rounds: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    trees: HashMap<TrialId, Tree>,
    last_look: Option<Duration>,
}

#[derive(Debug)]
struct Tree {
    /// Process group of the shell, while it is known to be the trial's.
    group: Option<Pid>,
    /// Not looked at before this time, on the monotonic clock.
    due: Duration,
    step: Step,
    /// Members that were signaled; `true` for those that were too young for once to be enough.
    asked: HashMap<ProcessId, bool>,
    /// Whether a process has ended since the last look began.
    is_stale: bool,
    /// Whether the trial itself has ended, so that only its leftovers are looked for.
    is_over: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Fresh,
    Asked { force_at: Duration },
    Forced { give_up_at: Duration },
}

/// How a round left a tree.
enum Outcome {
    /// No member is left; `true` if there had been any.
    Gone(bool),
    /// These are to be signaled; `true` for those that were not met before.
    Alive(Signal, Vec<(ProcessId, bool)>),
    Leaked(Vec<Pid>),
}

impl Endings {
    /// Has the tree of `trial` ended as soon as possible.
    pub(crate) fn end_now(&self, trial: &TrialId, group: Option<Pid>) {
        self.add(trial, group, Duration::ZERO, false);
    }

    /// Has what an ended trial left behind ended as soon as possible.
    pub(crate) fn sweep_now(&self, trial: &TrialId, group: Option<Pid>) {
        self.add(trial, group, Duration::ZERO, true);
    }

    /// Has what an ended trial left behind looked for, in one look for all trials that end within a second.
    pub(crate) fn sweep(&self, trial: &TrialId) {
        let due = self
            .table()
            .last_look
            .map_or(Duration::ZERO, |last| last + SWEEP_INTERVAL);
        self.add(trial, None, due, true);
    }

    fn add(&self, trial: &TrialId, group: Option<Pid>, due: Duration, is_over: bool) {
        self.table()
            .trees
            .entry(trial.clone())
            .and_modify(|tree| {
                tree.due = tree.due.min(due);
                tree.group = tree.group.or(group);
                tree.is_over |= is_over;
            })
            .or_insert(Tree {
                group,
                due,
                step: Step::Fresh,
                asked: HashMap::new(),
                is_stale: false,
                is_over,
            });
        self.bell.notify_one();
    }

    /// A process has ended: trees that are being ended are looked at again.
    pub(crate) fn process_ended(&self) {
        let mut waits = false;
        for tree in self.table().trees.values_mut() {
            if !matches!(tree.step, Step::Fresh) {
                tree.due = Duration::ZERO;
                tree.is_stale = true;
                waits = true;
            }
        }
        if waits {
            self.bell.notify_one();
        }
    }

    /// Whether the tree of `trial` is still to be ended or looked for.
    pub(crate) fn includes(&self, trial: &TrialId) -> bool {
        self.table().trees.contains_key(trial)
    }

    /// Takes the ended trials that are still to be swept; trees of canceled trials stay.
    pub(crate) fn take_over(&self) -> Vec<(TrialId, Option<Pid>)> {
        let ended = |(id, tree): (TrialId, Tree)| (id, tree.group);
        self.table()
            .trees
            .extract_if(|_, tree| tree.is_over)
            .map(ended)
            .collect()
    }

    /// Whether no tree is being ended or looked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.table().trees.is_empty()
    }

    /// Looks now for what ended trials left behind, instead of within a second.
    pub(crate) fn hurry(&self) {
        for tree in self.table().trees.values_mut() {
            if matches!(tree.step, Step::Fresh) {
                tree.due = Duration::ZERO;
            }
        }
        self.bell.notify_one();
    }

    /// Changes after every round.
    pub(crate) fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    fn next_due(&self) -> Option<Duration> {
        self.table().trees.values().map(|tree| tree.due).min()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the request to end `trial`; the end itself arrives on `watch`.
pub(crate) fn cancel(core: &Core, trial: &TrialId, why: CancelReason) {
    let paths = core.paths(trial);
    let Some(known) = core.registry.get(trial).filter(|known| !known.status.is_terminal()) else {
        return;
    };
    if known.cancel.is_some() || paths.state().exists() {
        return;
    }
    // The intent goes to disk first: should we die now, `recover` completes it.
    if let Err(error) = crate::submit::write_whole(&paths.cancel(), why.as_str().as_bytes()) {
        tracing::warn!(%trial, %error, "the request to cancel is not on disk; it is carried out all the same");
    }
    let shell = core.registry.update(trial, |known| {
        known.cancel.get_or_insert(why);
        (known.status, known.extra)
    });
    match shell {
        Some((TrialStatus::Waiting, _)) if core.gpus.withdraw(trial) => core.conclude_cancel(trial, &[]),
        Some((_, shell)) => core.endings.end_now(trial, shell),
        None => {}
    }
}

/// Serves all endings until `core` is dropped or the tasks are ended; then `_last` does what is left to do.
pub(crate) async fn serve(core: Weak<Core>, _last: LastSweep) {
    loop {
        let Some(strong) = core.upgrade() else { return };
        let (endings, clock) = (
            std::sync::Arc::clone(&strong.endings),
            std::sync::Arc::clone(&strong.ctx.clock),
        );
        let now = clock.monotonic();
        match endings.next_due() {
            Some(due) if due <= now => {
                round(&strong, now).await;
            }
            Some(due) => {
                drop(strong);
                tokio::select! {
                    () = endings.bell.notified() => {}
                    () = clock.sleep(due.saturating_sub(now)) => {}
                }
            }
            None => {
                drop(strong);
                endings.bell.notified().await;
            }
        }
    }
}

/// One look at all processes, and what follows for each tree.
async fn round(core: &Core, now: Duration) {
    let (trials, wanted): (Vec<TrialId>, Vec<Wanted>) = {
        let mut table = core.endings.table();
        table.last_look = Some(now);
        for tree in table.trees.values_mut() {
            tree.is_stale = false;
        }
        let wanted = |(id, tree): (&TrialId, &Tree)| {
            let dir = core.paths(id).dir().to_owned();
            (id.clone(), Wanted { dir, group: tree.group })
        };
        table.trees.iter().map(wanted).unzip()
    };
    let looked = core
        .ctx
        .tasks
        .blocking(move || process_tree::snapshot().map(|all| process_tree::members(&all, &wanted)))
        .await;
    let members = match looked {
        Ok(members) => members,
        Err(error) => {
            tracing::warn!(%error, "cannot read `/proc`; looking again in a second");
            for tree in core.endings.table().trees.values_mut() {
                tree.due = now + SWEEP_INTERVAL;
            }
            return;
        }
    };
    for (trial, members) in trials.into_iter().zip(members) {
        let outcome = {
            let mut table = core.endings.table();
            let Some(tree) = table.trees.get_mut(&trial) else {
                continue;
            };
            let outcome = tree.advance(&core.config, &members, now);
            if !matches!(outcome, Outcome::Alive(..)) {
                table.trees.remove(&trial);
            }
            outcome
        };
        match outcome {
            Outcome::Alive(signal, members) => {
                for (member, is_new) in members {
                    if let Err(error) = hit(core, member, signal, is_new) {
                        tracing::warn!(%trial, pid = %member.pid, %error, "cannot signal a process of a trial");
                    }
                }
            }
            Outcome::Gone(had_any) => {
                if had_any
                    && core
                        .registry
                        .get(&trial)
                        .is_some_and(|known| known.status.is_terminal())
                {
                    tracing::warn!(%trial, "ended processes that the trial had left behind");
                }
                core.tree_ended(&trial, &[]);
            }
            Outcome::Leaked(pids) => {
                tracing::warn!(%trial, ?pids, "processes survive SIGKILL");
                core.tree_ended(&trial, &pids);
            }
        }
    }
    core.endings.rounds.send_modify(|n| *n += 1);
}

impl Tree {
    fn advance(&mut self, config: &LocalConfig, members: &[ProcessId], now: Duration) -> Outcome {
        if members.is_empty() {
            return Outcome::Gone(!self.asked.is_empty());
        }
        self.step = match self.step {
            Step::Fresh => Step::Asked {
                force_at: now + config.grace_period,
            },
            Step::Asked { force_at } if now >= force_at => Step::Forced {
                give_up_at: now + FORCE_LIMIT,
            },
            Step::Forced { give_up_at } if now >= give_up_at => {
                return Outcome::Leaked(members.iter().map(|m| m.pid).collect());
            }
            step => step,
        };
        let (due, signal) = match self.step {
            Step::Fresh => (now, config.cancel_signal.into()),
            Step::Asked { force_at } => (force_at, config.cancel_signal.into()),
            Step::Forced { give_up_at } => (give_up_at, Signal::KILL),
        };
        let forced = matches!(self.step, Step::Forced { .. });
        let mut to_signal = Vec::new();
        for &member in members {
            let again = self.asked.get(&member).copied();
            if again.is_none_or(|again| again || forced) {
                to_signal.push((member, again.is_none()));
            }
            let is_young = process_tree::age(member).is_none_or(|age| age < YOUNG);
            self.asked.insert(member, is_young);
        }
        let asks_again = !forced && members.iter().any(|member| self.asked[member]);
        self.due = match (self.is_stale, asks_again) {
            (true, _) => now, // the look may have missed what followed that end
            (false, true) => due.min(now + ASK_AGAIN),
            (false, false) => due,
        };
        Outcome::Alive(signal, to_signal)
    }
}

/// Signals one process, and has its end reported if that was not asked for yet.
fn hit(core: &Core, member: ProcessId, signal: Signal, is_new: bool) -> Result<()> {
    let failed =
        |e: std::io::Error| Error::new(ErrorKind::Io, format!("cannot signal process {}", member.pid)).with_source(e);
    let Some(handle) = process_tree::open(member).map_err(failed)? else {
        core.endings.process_ended();
        return Ok(());
    };
    process_tree::signal(&handle, signal).map_err(failed)?;
    if is_new {
        core.observer.await_end(handle, None).map_err(failed)?;
    }
    Ok(())
}
