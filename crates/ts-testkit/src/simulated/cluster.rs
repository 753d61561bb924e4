//! The simulated platform: slots, queue and the heap of what happens next. It survives the services that talk to it. Memory
//! of an ended trial is a tombstone; its metrics are computed again should `recover` ask for them.

use super::plan::{Outcome, Plan, Simulation};
use crate::TestClock;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use ts_core::{
    CancelReason, Clock, Event, Reason, ReasonCode, Timestamp, TrialId, TrialSpec, TrialStatus, WatchRequest, judge,
};

/// A simulated platform for one experiment. Clones are handles of the same platform.
#[derive(Debug, Clone)]
pub struct SimulatedCluster {
    pub(super) clock: TestClock,
    pub(super) changed: Arc<Notify>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
pub(super) struct State {
    simulation: Simulation,
    live: BTreeMap<TrialId, Live>,
    ended: BTreeMap<TrialId, Ended>,
    queue: VecDeque<TrialId>,
    n_running: usize,
    /// What happens next: at which monotonic time, in which order, to which trial.
    heap: BinaryHeap<Reverse<(Duration, u64, TrialId)>>,
    n_scheduled: u64,
    /// What the watcher has not been told yet.
    pub(super) news: VecDeque<Event>,
    /// Ended trials that `recover` adopted: the next watch tells about them again.
    adopted: BTreeMap<TrialId, TrialSpec>,
    /// Number of the watch that drives time; an older one has been replaced.
    pub(super) generation: u64,
}

#[derive(Debug)]
struct Live {
    spec: TrialSpec,
    since: Timestamp,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Queued,
    /// The number is that of its entry in the heap.
    Starting(u64),
    Running {
        plan: Plan,
        started: Duration,
        n_visible: usize,
        offset: u64,
        ticket: u64,
    },
}

impl Live {
    /// Number of its entry in the heap; an entry with another number is of an earlier life of the trial.
    fn ticket(&self) -> Option<u64> {
        match self.stage {
            Stage::Queued => None,
            Stage::Starting(ticket) | Stage::Running { ticket, .. } => Some(ticket),
        }
    }
}

/// What is kept of a trial that has ended.
#[derive(Debug)]
struct Ended {
    at: Timestamp,
    status: TrialStatus,
    why: Option<Box<Reason>>,
    n_metrics: usize,
}

impl SimulatedCluster {
    /// A platform on which nothing runs yet. Watching it moves `clock`.
    pub fn new(simulation: Simulation, clock: &TestClock) -> Self {
        let state = State {
            simulation,
            live: BTreeMap::new(),
            ended: BTreeMap::new(),
            queue: VecDeque::new(),
            n_running: 0,
            heap: BinaryHeap::new(),
            n_scheduled: 0,
            news: VecDeque::new(),
            adopted: BTreeMap::new(),
            generation: 0,
        };
        Self {
            clock: clock.clone(),
            changed: Arc::new(Notify::new()),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// How many trials wait or run.
    pub fn n_live(&self) -> usize {
        self.lock().live.len()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn submit(&self, trial: &TrialSpec) {
        self.lock().submit(trial, &self.clock);
        self.changed.notify_one();
    }

    pub(super) fn cancel(&self, trial: &TrialId, why: CancelReason) {
        self.lock().cancel(trial, why, &self.clock);
        self.changed.notify_one();
    }
}

impl State {
    /// When the next thing happens. Forgets what was to happen to trials that have ended since.
    pub(super) fn next_at(&mut self) -> Option<Duration> {
        while let Some(Reverse((at, ticket, trial))) = self.heap.peek() {
            if self.live.get(trial).and_then(Live::ticket) == Some(*ticket) {
                return Some(*at);
            }
            self.heap.pop();
        }
        None
    }

    /// Lets everything happen that is due.
    pub(super) fn settle(&mut self, clock: &TestClock) {
        while self.next_at().is_some_and(|at| at <= clock.monotonic()) {
            if let Some(Reverse((.., trial))) = self.heap.pop() {
                self.wake(&trial, clock);
            }
        }
    }

    fn submit(&mut self, trial: &TrialSpec, clock: &TestClock) {
        if self.holds(&trial.id) {
            return;
        }
        let live = Live {
            spec: trial.clone(),
            since: clock.now(),
            stage: Stage::Queued,
        };
        self.live.insert(trial.id.clone(), live);
        self.queue.push_back(trial.id.clone());
        self.fill_slots(clock);
        if let Some(live) = self.live.get(&trial.id) {
            self.news.push_back(self.status(live));
        }
    }

    fn cancel(&mut self, trial: &TrialId, why: CancelReason, clock: &TestClock) {
        if self.live.contains_key(trial) {
            let code = match why {
                CancelReason::EarlyStop => ReasonCode::EarlyStopped,
                CancelReason::TimeLimit => ReasonCode::TimeLimit,
                _ => ReasonCode::Canceled,
            };
            let reason = Reason::new(code, format!("ended on request ({})", why.as_str()), clock.now());
            self.end(trial, why.status(), Some(reason), clock);
        }
    }

    /// Forgets a trial. Says whether there was one.
    pub(super) fn remove(&mut self, trial: &TrialId, clock: &TestClock) -> bool {
        self.cancel(trial, CancelReason::Shutdown, clock);
        self.ended.remove(trial).is_some()
    }

    pub(super) fn holds(&self, trial: &TrialId) -> bool {
        self.live.contains_key(trial) || self.ended.contains_key(trial)
    }

    /// All trials, live and ended.
    pub(super) fn trials(&self) -> impl Iterator<Item = &TrialId> {
        self.live.keys().chain(self.ended.keys())
    }

    /// Remembers that the next watch tells of an ended trial again.
    pub(super) fn adopt(&mut self, trial: &TrialSpec) {
        if self.ended.contains_key(&trial.id) {
            self.adopted.insert(trial.id.clone(), trial.clone());
        }
    }

    /// A new watch: first how things are, then `Synced`. Gives its number.
    pub(super) fn begin_watch(&mut self, request: &WatchRequest, clock: &TestClock) -> u64 {
        let mut news = VecDeque::new();
        for live in self.live.values() {
            news.push_back(self.status(live));
            if let Stage::Running { plan, n_visible, .. } = &live.stage {
                news.extend(history(&live.spec, plan, *n_visible, request, clock.now()));
            }
        }
        for spec in std::mem::take(&mut self.adopted).into_values() {
            let Some(ended) = self.ended.get(&spec.id) else {
                continue;
            };
            let plan = Plan::of(&self.simulation, &spec);
            news.extend(history(&spec, &plan, ended.n_metrics, request, clock.now()));
            news.push_back(Event::Status {
                trial: spec.id,
                at: ended.at,
                status: ended.status,
                why: ended.why.as_deref().cloned(),
            });
        }
        news.push_back(Event::Synced);
        self.news = news;
        self.generation += 1;
        self.generation
    }

    fn status(&self, live: &Live) -> Event {
        let waiting = |code, message: String| {
            let reason = Reason::new(code, message, live.since);
            (TrialStatus::Waiting, Some(reason))
        };
        let (status, why) = match live.stage {
            Stage::Queued => waiting(
                ReasonCode::Quota,
                format!("all {} slots are in use", self.simulation.slots),
            ),
            Stage::Starting(_) => waiting(ReasonCode::Starting, "the job starts".into()),
            Stage::Running { .. } => (TrialStatus::Running, None),
        };
        Event::Status {
            trial: live.spec.id.clone(),
            at: live.since,
            status,
            why,
        }
    }

    fn fill_slots(&mut self, clock: &TestClock) {
        while self.n_running < self.simulation.slots {
            let Some(trial) = self.queue.pop_front() else { return };
            if !self.live.contains_key(&trial) {
                continue; // canceled in the queue
            }
            let ticket = self.schedule(clock.monotonic() + self.simulation.start_delay, &trial);
            if let Some(live) = self.live.get_mut(&trial) {
                live.stage = Stage::Starting(ticket);
                self.n_running += 1;
            }
        }
    }

    fn schedule(&mut self, at: Duration, trial: &TrialId) -> u64 {
        self.n_scheduled += 1;
        self.heap.push(Reverse((at, self.n_scheduled, trial.clone())));
        self.n_scheduled
    }

    /// The next thing happens to a trial: it starts, a metric becomes visible, or it ends.
    fn wake(&mut self, trial: &TrialId, clock: &TestClock) {
        let Some(live) = self.live.get_mut(trial) else { return };
        let next = match &mut live.stage {
            Stage::Queued => return,
            Stage::Starting(_) => {
                let plan = Plan::of(&self.simulation, &live.spec);
                let next = clock.monotonic() + plan.metrics_after.first().copied().unwrap_or(plan.ends_after);
                live.since = clock.now();
                live.stage = Stage::Running {
                    plan,
                    started: clock.monotonic(),
                    n_visible: 0,
                    offset: 0,
                    ticket: 0,
                };
                self.news.push_back(Event::Status {
                    trial: trial.clone(),
                    at: live.since,
                    status: TrialStatus::Running,
                    why: None,
                });
                next
            }
            Stage::Running {
                plan,
                started,
                n_visible,
                offset,
                ..
            } => {
                if *n_visible == plan.metrics_after.len() {
                    let (status, why) = verdict(plan.outcome, clock.now());
                    return self.end(trial, status, why, clock);
                }
                let (cursor, body) = plan.metric(&live.spec, *n_visible, *offset);
                (*n_visible, *offset) = (*n_visible + 1, cursor.offset);
                self.news.push_back(Event::Metric {
                    trial: trial.clone(),
                    at: clock.now(),
                    cursor,
                    body,
                });
                *started + plan.metrics_after.get(*n_visible).copied().unwrap_or(plan.ends_after)
            }
        };
        let entry = self.schedule(next, trial);
        if let Some(Live {
            stage: Stage::Running { ticket, .. },
            ..
        }) = self.live.get_mut(trial)
        {
            *ticket = entry;
        }
    }

    fn end(&mut self, trial: &TrialId, status: TrialStatus, why: Option<Reason>, clock: &TestClock) {
        let Some(live) = self.live.remove(trial) else { return };
        let n_metrics = match live.stage {
            Stage::Running { n_visible, .. } => n_visible,
            Stage::Queued | Stage::Starting(_) => 0,
        };
        self.n_running -= usize::from(!matches!(live.stage, Stage::Queued));
        let at = clock.now();
        let ended = Ended {
            at,
            status,
            why: why.clone().map(Box::new),
            n_metrics,
        };
        self.ended.insert(trial.clone(), ended);
        self.news.push_back(Event::Status {
            trial: trial.clone(),
            at,
            status,
            why,
        });
        self.fill_slots(clock);
    }
}

fn verdict(outcome: Outcome, at: Timestamp) -> (TrialStatus, Option<Reason>) {
    match outcome {
        Outcome::Success => (TrialStatus::Succeeded, None),
        Outcome::Failure => (TrialStatus::Failed, judge(1, "", at)),
        Outcome::Loss => {
            let reason = Reason::new(ReasonCode::Lost, "the machine of the trial is gone", at);
            (TrialStatus::SysCanceled, Some(reason))
        }
    }
}

/// The first `n` metrics of a trial, less those that the watcher has.
fn history(spec: &TrialSpec, plan: &Plan, n: usize, request: &WatchRequest, at: Timestamp) -> Vec<Event> {
    let from = request.from.get(&spec.id).map_or(0, |cursor| cursor.seq());
    let mut offset = 0;
    let mut events = Vec::new();
    for k in 0..n {
        let (cursor, body) = plan.metric(spec, k, offset);
        offset = cursor.offset;
        if cursor.seq() > from {
            events.push(Event::Metric {
                trial: spec.id.clone(),
                at,
                cursor,
                body,
            });
        }
    }
    events
}
