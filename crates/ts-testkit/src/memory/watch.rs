//! The stream behind `watch` of the reference platform: what a watcher has seen of each job, and what is news to it.

use super::{
    MemoryCluster,
    job::{Job, StatusEntry},
};
use futures_util::{StreamExt, stream, stream::BoxStream};
use std::collections::{HashMap, VecDeque};
use ts_core::{Error, Event, ExperimentId, Result, TrialId, WatchRequest};

/// Follows all jobs of an experiment: first how things are, then `Synced`, then the changes.
pub(super) fn watch(
    cluster: MemoryCluster,
    experiment: ExperimentId,
    request: WatchRequest,
) -> BoxStream<'static, Result<Event>> {
    let watcher = Watcher {
        changes: cluster.changes(),
        cluster,
        experiment,
        request,
        synced: false,
        n_followed: 0,
        seen: HashMap::new(),
        pending: VecDeque::new(),
    };
    stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await;
        Some((Ok(event), watcher))
    })
    .boxed()
}

/// A stream that refuses: one final error.
pub(super) fn refused(error: Error) -> BoxStream<'static, Result<Event>> {
    stream::iter([Err(error)]).boxed()
}

struct Watcher {
    cluster: MemoryCluster,
    changes: tokio::sync::watch::Receiver<()>,
    experiment: ExperimentId,
    request: WatchRequest,
    synced: bool,
    /// How many of the experiment's changes were looked at.
    n_followed: usize,
    seen: HashMap<TrialId, Seen>,
    pending: VecDeque<Event>,
}

/// How much of a job a watcher has seen: numbers of entries.
struct Seen {
    statuses: usize,
    metrics: usize,
    logs: usize,
}

impl Watcher {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return event;
            }
            self.changes.mark_unchanged();
            self.look();
            if !self.synced {
                self.synced = true;
                self.pending.push_back(Event::Synced);
            }
            if self.pending.is_empty() {
                tokio::select! {
                    changed = self.changes.changed() => changed.expect("the watcher holds the cluster"),
                    () = self.cluster.next_forced_end() => {}
                }
            }
        }
    }

    fn look(&mut self) {
        let Self {
            cluster,
            experiment,
            request,
            n_followed,
            seen,
            pending,
            ..
        } = self;
        cluster.read(|state| {
            let changed = state.changed.get(experiment).map_or(&[][..], Vec::as_slice);
            for trial in &changed[*n_followed..] {
                let Some(job) = state.jobs.get(&(experiment.clone(), trial.clone())) else {
                    continue;
                };
                let seen = seen.entry(trial.clone()).or_insert_with(|| Seen::first(job, request));
                seen.news(job, request, pending);
            }
            *n_followed = changed.len();
        });
    }
}

impl Seen {
    /// A new watcher hears the present status only, and of the journal what is behind its cursor.
    fn first(job: &Job, request: &WatchRequest) -> Self {
        let from = request.from.get(&job.spec.id).map_or(0, |cursor| cursor.seq());
        Self {
            statuses: job.statuses.len() - 1,
            metrics: job.journal.partition_point(|entry| entry.cursor.seq() <= from),
            logs: 0,
        }
    }

    /// What this watcher has not heard: statuses, then metrics and logs, and an end after everything else.
    fn news(&mut self, job: &Job, request: &WatchRequest, out: &mut VecDeque<Event>) {
        let trial = &job.spec.id;
        let status = |entry: &StatusEntry| Event::Status {
            trial: trial.clone(),
            at: entry.at,
            status: entry.status,
            why: entry.why.clone(),
        };
        let statuses = &job.statuses[self.statuses..];
        let (ends, steps): (Vec<_>, Vec<_>) = statuses.iter().partition(|entry| entry.status.is_terminal());
        out.extend(steps.into_iter().map(status));
        out.extend(job.journal[self.metrics..].iter().map(|entry| Event::Metric {
            trial: trial.clone(),
            at: entry.at,
            cursor: entry.cursor,
            body: entry.body.clone(),
        }));
        let wanted = job.logs[self.logs..].iter();
        let wanted = wanted.filter(|(kind, _)| request.logs.iter().any(|(id, log)| id == trial && log == kind));
        out.extend(wanted.map(|(kind, bytes)| Event::Log {
            trial: trial.clone(),
            log: *kind,
            bytes: bytes.clone(),
            gap: false,
        }));
        out.extend(ends.into_iter().map(status));
        *self = Self {
            statuses: job.statuses.len(),
            metrics: job.journal.len(),
            logs: job.logs.len(),
        };
    }
}
