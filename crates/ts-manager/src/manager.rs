//! The manager of one experiment: what it is made of, and the loop that waits for something to happen.
//!
//! What is done about it is in `turn`; starting and resuming in `start`; the store is the only memory that counts.

use crate::{
    assess::Assessor,
    control::{Command, ControlSocket, Request},
    deadlines::Deadlines,
    live::LiveTrials,
    notice::{Notice, Snapshot},
    observe::Observer,
    pool::Pool,
    retry_rules::RetryRules,
    source::{ParameterSource, SourceEvent},
    store::{Applied, COUNTED_EVERY, Change, ExperimentStatus, Optimize, Store, StoreHealth},
};
use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::{broadcast, mpsc, watch};
use ts_core::{
    CancelReason, CleanupScope, Ctx, Error, ErrorKind, Event, ExperimentSpec, Prepared, Result, Submitted,
    TrainingService, TrialId,
};

/// Most events that are taken into one transaction.
const BATCH: usize = 256;

/// What an experiment is run with.
#[derive(Debug)]
pub struct Parts {
    /// Clock, ids, tasks; `work_dir` is the experiment's directory.
    pub ctx: Ctx,
    /// What all trials share.
    pub spec: ExperimentSpec,
    /// Where trials run.
    pub service: Arc<dyn TrainingService>,
    /// Where parameters come from.
    pub source: Box<dyn ParameterSource>,
    /// Who stops poor trials early.
    pub assessor: Option<Box<dyn Assessor>>,
    /// The store, created or opened.
    pub store: Store,
    /// Which failed trials run again.
    pub retry: RetryRules,
    /// Longest time that a trial runs.
    pub max_trial_duration: Option<Duration>,
    /// Which result counts as best.
    pub optimize: Optimize,
    /// Carried out when the past is known and before anything new starts: stopping what an earlier manager left, say.
    pub requests: Vec<Request>,
}

/// How an experiment ended, as far as this run of it goes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// Status that was stored.
    pub status: ExperimentStatus,
    /// What the status comes from, for errors.
    pub message: Option<String>,
    /// The last snapshot.
    pub snapshot: Snapshot,
}

/// For those who look on and those who ask; cheap to clone, outlives the manager.
#[derive(Debug, Clone)]
pub struct ManagerHandle {
    pub(crate) snapshot: watch::Receiver<Snapshot>,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl ManagerHandle {
    /// The state now, and its changes.
    pub fn snapshot(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.clone()
    }
    /// What happens from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
    /// Asks the manager for something.
    ///
    /// # Errors
    /// `Conflict` if the manager has ended.
    ///
    /// # Cancel safety
    /// The request may be carried out although its answer is lost.
    pub async fn ask(&self, request: crate::control::Request) -> Result<crate::control::Response> {
        let ended = || Error::new(ErrorKind::Conflict, "the experiment has ended");
        let (reply, response) = tokio::sync::oneshot::channel();
        self.commands.send((request, reply)).await.map_err(|_| ended())?;
        response.await.map_err(|_| ended())
    }
}

type Storing = FuturesUnordered<BoxFuture<'static, Result<Applied>>>;
type Submitting = FuturesUnordered<BoxFuture<'static, (TrialId, Result<Submitted>)>>;
type Canceling = FuturesUnordered<BoxFuture<'static, (TrialId, CancelReason, Result<()>)>>;
type Sending = FuturesUnordered<BoxFuture<'static, (TrialId, u32, Result<()>)>>;

/// Runs one experiment. Made by [`Manager::new`], ended by [`Manager::run`].
#[derive(Debug)]
pub struct Manager {
    pub(crate) ctx: Ctx,
    pub(crate) spec: ExperimentSpec,
    pub(crate) service: Arc<dyn TrainingService>,
    pub(crate) source: Box<dyn ParameterSource>,
    pub(crate) assessor: Option<Box<dyn Assessor>>,
    pub(crate) store: Store,
    pub(crate) retry: RetryRules,
    pub(crate) max_trial_duration: Option<Duration>,
    pub(crate) optimize: Optimize,
    pub(crate) requests: Vec<Request>,
    pub(crate) socket: Option<ControlSocket>,
    pub(crate) observer: Option<Box<dyn Observer>>,
    pub(crate) pool: Pool,
    pub(crate) live: LiveTrials,
    pub(crate) known_ids: std::collections::HashSet<TrialId>,
    pub(crate) next_sequence_id: u32,
    /// Trials that wait for a place, the next one first.
    pub(crate) queue: VecDeque<TrialId>,
    pub(crate) deadlines: Deadlines,
    pub(crate) code: Prepared,
    pub(crate) status: ExperimentStatus,
    /// Time that the experiment ran before this run of the manager, and the part of this run that is stored.
    pub(crate) earlier: Duration,
    pub(crate) began: Duration,
    pub(crate) stored_until: Duration,
    /// Trials in a row that the configuration kept from running.
    pub(crate) misconfigured: u32,
    pub(crate) failure: Option<Error>,
    /// Turns that are handed to the store and not answered yet; nobody has acted on them.
    pub(crate) unanswered: Storing,
    /// What people are told once the store has answered.
    pub(crate) untold: Vec<Notice>,
    pub(crate) submitting: Submitting,
    pub(crate) canceling: Canceling,
    /// Further parameters on their way.
    pub(crate) sending: Sending,
    pub(crate) snapshot: watch::Sender<Snapshot>,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) handle: ManagerHandle,
}

impl Manager {
    /// Runs the experiment to its end: all trials done, stopped, or an error that nothing can go on after.
    ///
    /// Errors of single trials are no errors of the experiment. Whatever happens is stored before it is acted on, so the
    /// process may be killed at any moment and the experiment resumed.
    ///
    /// # Errors
    /// Only if not even the outcome can be stored.
    ///
    /// # Cancel safety
    /// Dropping it is like killing the manager: trials go on, and a new manager picks them up.
    pub async fn run(mut self) -> Result<Outcome> {
        let ended = match self.begin().await {
            Ok(()) => self.work().await,
            Err(error) => Err(error),
        };
        self.source.close().await;
        // What ended trials left behind may still be on its way out; nothing of it outlives the experiment.
        for (what, error) in self.service.cleanup(&CleanupScope::Trials(Vec::new())).await.failures {
            tracing::warn!("{what} is left: {}", describe(&error));
        }
        let (status, message) = match (ended, self.failure.take()) {
            (Err(error), _) | (Ok(_), Some(error)) => (ExperimentStatus::Error, Some(describe(&error))),
            (Ok(status), None) => (status, None),
        };
        let changes = vec![
            self.duration_change(),
            Change::ExperimentStatus {
                status,
                at: self.ctx.clock.now(),
                message: message.clone(),
            },
        ];
        self.decided(&changes);
        let applied = self.store.apply(changes).await?;
        self.note_revision(&applied);
        self.tell();
        let elapsed = self.elapsed();
        self.snapshot.send_modify(|s| {
            s.status = status;
            s.elapsed = elapsed;
            s.taken = None;
        });
        let snapshot = self.snapshot.borrow().clone();
        Ok(Outcome {
            status,
            message,
            snapshot,
        })
    }

    /// For those who look on and those who ask.
    pub fn handle(&self) -> ManagerHandle {
        self.handle.clone()
    }

    /// How long the experiment has run, earlier runs included.
    pub(crate) fn elapsed(&self) -> Duration {
        self.earlier + self.ctx.clock.monotonic().saturating_sub(self.began)
    }

    async fn work(&mut self) -> Result<ExperimentStatus> {
        let mut watch = self.watch();
        let mut health = self.store.health();
        let mut broken_watches = 0;
        self.turn(Vec::new()).await?;
        loop {
            if let Some(status) = self.finished() {
                self.wait_for_store().await?;
                return Ok(status);
            }
            let wait = self.time_to_next_deadline();
            let clock = Arc::clone(&self.ctx.clock);
            let mut input = Vec::new();
            tokio::select! {
                biased;
                Some(command) = self.commands.recv() => input.push(Input::Command(command)),
                () = clock.sleep(wait) => input.push(Input::Time),
                events = watch.next() => if let Some(events) = events {
                    input.extend(events.into_iter().map(Input::Event));
                } else {
                    broken_watches += 1;
                    if broken_watches > 5 {
                        return Err(Error::new(ErrorKind::Unreachable, "the platform's events cannot be watched"));
                    }
                    clock.sleep(Duration::from_millis(100 << broken_watches)).await;
                    watch = self.watch();
                    continue;
                },
                event = self.source.next(), if self.failure.is_none() => input.push(Input::Source(event)),
                Some(done) = self.submitting.next(), if !self.submitting.is_empty() => input.push(Input::Submitted(done)),
                Some(done) = self.canceling.next(), if !self.canceling.is_empty() => input.push(Input::Canceled(done)),
                Some(done) = self.sending.next(), if !self.sending.is_empty() => input.push(Input::Sent(done)),
                Some(stored) = self.unanswered.next(), if !self.unanswered.is_empty() => {
                    self.note_revision(&stored?);
                    if self.unanswered.is_empty() {
                        self.tell();
                    }
                    continue;
                }
                Ok(()) = health.changed() => {
                    let stalled = match &*health.borrow_and_update() {
                        StoreHealth::Stalled { error, .. } => Some(error.clone()),
                        _ => None,
                    };
                    self.snapshot.send_modify(|s| s.stalled = stalled);
                    continue;
                }
            }
            while let Some(Some(done)) = self.submitting.next().now_or_never() {
                input.push(Input::Submitted(done));
            }
            if input.iter().any(|i| matches!(i, Input::Event(Ok(_)))) {
                broken_watches = 0;
            }
            self.turn(input).await?;
        }
    }

    fn watch(&mut self) -> BoxStream<'static, Vec<Result<Event>>> {
        let mut request = ts_core::WatchRequest::new();
        for live in self.live.iter_mut() {
            live.seen = !live.submitted;
            request = request.resuming(live.spec.id.clone(), live.cursor);
        }
        self.service.watch(request).ready_chunks(BATCH).boxed()
    }

    fn time_to_next_deadline(&self) -> Duration {
        let now = self.ctx.clock.monotonic();
        let tick = self.stored_until + COUNTED_EVERY;
        let next = self.deadlines.next().map_or(tick, |at| at.min(tick));
        let next = match self.experiment_deadline() {
            Some(at) if !self.pool.out_of_time => next.min(at),
            _ => next,
        };
        next.saturating_sub(now)
    }

    /// When the experiment's time is over, by the monotonic clock.
    pub(crate) fn experiment_deadline(&self) -> Option<Duration> {
        let max = Duration::from_millis(self.pool.limits.max_duration_ms?);
        Some(self.began + max.saturating_sub(self.earlier))
    }

    /// The running time that is not stored yet.
    pub(crate) fn duration_change(&mut self) -> Change {
        let now = self.ctx.clock.monotonic();
        let by = now.saturating_sub(self.stored_until);
        self.stored_until = now;
        let at = self.ctx.clock.now();
        Change::DurationAccumulated { by, at }
    }

    fn finished(&self) -> Option<ExperimentStatus> {
        // A trial may end before the receipt of its submit is here; the receipt is stored too.
        if !self.pool.is_done() || !self.submitting.is_empty() {
            return None;
        }
        Some(if self.pool.stopping {
            ExperimentStatus::Stopped
        } else {
            ExperimentStatus::Done
        })
    }
}

/// What a turn starts from.
#[derive(Debug)]
pub(crate) enum Input {
    Command(Command),
    Event(Result<Event>),
    Source(Result<SourceEvent>),
    Submitted((TrialId, Result<Submitted>)),
    Canceled((TrialId, CancelReason, Result<()>)),
    Sent((TrialId, u32, Result<()>)),
    Time,
}

/// An error with its help and causes, for the store and for people.
pub(crate) fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    if let Some(help) = error.help() {
        text.push_str("; ");
        text.push_str(help);
    }
    text
}
