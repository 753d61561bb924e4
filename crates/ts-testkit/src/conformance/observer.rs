//! A watcher of the suite: reads a stream until something is so, and checks on the way what holds for every stream.

use futures_util::{StreamExt, stream::BoxStream};
use std::{collections::HashMap, fmt::Write as _, future::Future, time::Duration};
use tokio::time::error::Elapsed;
use ts_core::{Event, JournalCursor, LogKind, Reason, Result, TrialId, TrialStatus};

/// Longest time that the suite waits for anything, in real time.
pub const DEADLINE: Duration = Duration::from_mins(3);

/// Reads a stream and remembers. Each event must keep the promises: statuses go forward only, nothing of a trial comes after
/// its end, cursors grow strictly and lie behind the one where the watch was resumed.
pub struct Observer {
    stream: BoxStream<'static, Result<Event>>,
    resumed: HashMap<TrialId, JournalCursor>,
    seen: HashMap<TrialId, History>,
    events: Vec<Event>,
    n_synced: usize,
}

/// What was seen of a trial.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Statuses, each once in a row.
    pub statuses: Vec<TrialStatus>,
    /// The reason that came with the last status.
    pub why: Option<Reason>,
    /// Metrics with their cursors.
    pub metrics: Vec<(JournalCursor, String)>,
    /// Logs, pieced together.
    pub logs: HashMap<LogKind, Vec<u8>>,
}

impl History {
    /// The last status, if any was seen.
    pub fn status(&self) -> Option<TrialStatus> {
        self.statuses.last().copied()
    }
    /// Whether the trial has ended.
    pub fn has_ended(&self) -> bool {
        self.status().is_some_and(TrialStatus::is_terminal)
    }
    /// Payloads of the metrics.
    pub fn bodies(&self) -> Vec<&str> {
        self.metrics.iter().map(|(_, body)| body.as_str()).collect()
    }
    /// Where reading of the journal goes on.
    pub fn cursor(&self) -> JournalCursor {
        self.metrics.last().map(|(cursor, _)| *cursor).unwrap_or_default()
    }
}

impl Observer {
    pub(super) fn new(stream: BoxStream<'static, Result<Event>>, resumed: HashMap<TrialId, JournalCursor>) -> Self {
        Self {
            stream,
            resumed,
            seen: HashMap::new(),
            events: Vec::new(),
            n_synced: 0,
        }
    }

    /// What was seen of a trial so far.
    pub fn of(&self, trial: &TrialId) -> History {
        self.seen.get(trial).cloned().unwrap_or_default()
    }

    /// How often the stream said `Synced`.
    pub fn n_synced(&self) -> usize {
        self.n_synced
    }

    /// All events, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Reads until the watch is synchronized.
    pub async fn until_synced(&mut self) {
        self.until("`Synced`", |seen| seen.n_synced > 0).await;
    }

    /// Reads until a trial has this status.
    pub async fn until_status(&mut self, trial: &TrialId, status: TrialStatus) -> History {
        let what = format!("`{trial}` to be {status}");
        self.until(&what, |seen| seen.of(trial).status() == Some(status)).await;
        self.of(trial)
    }

    /// Reads until so many metrics of a trial have come.
    pub async fn until_metrics(&mut self, trial: &TrialId, n: usize) -> History {
        let what = format!("{n} metrics of `{trial}`");
        self.until(&what, |seen| seen.of(trial).metrics.len() >= n).await;
        self.of(trial)
    }

    /// Reads until a trial has ended.
    pub async fn until_end(&mut self, trial: &TrialId) -> History {
        self.until(&format!("the end of `{trial}`"), |seen| seen.of(trial).has_ended())
            .await;
        self.of(trial)
    }

    /// Reads until `is_so`.
    ///
    /// # Panics
    /// After [`DEADLINE`], when the stream ends, or when an event breaks a promise; with the events seen so far.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let reading = async {
            while !is_so(self) {
                match self.stream.next().await {
                    Some(Ok(event)) => self.take(event),
                    Some(Err(error)) if error.is_retryable() => {}
                    Some(Err(error)) => return Some(format!("failed for good: {error:?}")),
                    None => return Some("ended".into()),
                }
            }
            None
        };
        match tokio::time::timeout(DEADLINE, reading).await {
            Ok(None) => {}
            Ok(Some(problem)) => panic!("waiting for {what}: the watch {problem}\n{}", self.story()),
            Err(Elapsed { .. }) => panic!("waiting for {what}: not within {DEADLINE:?}\n{}", self.story()),
        }
    }

    fn take(&mut self, event: Event) {
        let problem = self.note(&event);
        self.events.push(event);
        if let Some(problem) = problem {
            panic!("{problem}\n{}", self.story());
        }
    }

    /// Notes an event; says which promise it breaks.
    fn note(&mut self, event: &Event) -> Option<String> {
        let trial = match event {
            Event::Synced => {
                self.n_synced += 1;
                return None;
            }
            Event::Status { trial, .. }
            | Event::Metric { trial, .. }
            | Event::Skipped { trial, .. }
            | Event::Log { trial, .. } => trial,
            other => return Some(format!("the suite does not know {other:?}")),
        };
        let resumed = self.resumed.get(trial).copied().unwrap_or_default();
        let history = self.seen.entry(trial.clone()).or_default();
        if history.has_ended() {
            return Some(format!("`{trial}` had ended, and yet there is more"));
        }
        match event {
            Event::Status { status, why, .. } => {
                let before = history.status();
                history.why.clone_from(why);
                if before == Some(*status) {
                    return None; // only the reason is new
                }
                history.statuses.push(*status);
                if let Some(before) = before.filter(|before| !before.may_become(*status)) {
                    return Some(format!("`{trial}` went from {before} to {status}"));
                }
            }
            Event::Metric { cursor, body, .. } => {
                let last = history.metrics.last().map_or(resumed, |(cursor, _)| *cursor);
                history.metrics.push((*cursor, body.clone()));
                if cursor.seq() <= last.seq() {
                    return Some(format!(
                        "`{trial}` has a metric at {cursor:?}, which is not behind {last:?}"
                    ));
                }
            }
            Event::Log { log, bytes, .. } => history.logs.entry(*log).or_default().extend_from_slice(bytes),
            _ => {}
        }
        None
    }

    fn story(&self) -> String {
        let mut story = format!("events seen so far, {} in all:\n", self.events.len());
        for event in &self.events {
            let _ = writeln!(story, "  {event:?}");
        }
        story
    }
}

/// Awaits a request.
///
/// # Panics
/// After [`DEADLINE`].
pub(super) async fn within<T>(what: &str, request: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(DEADLINE, request).await;
    outcome.unwrap_or_else(|_| panic!("`{what}` did not end within {DEADLINE:?}"))
}
