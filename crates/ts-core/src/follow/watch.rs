//! The stream behind `watch`: looks a marked trial up, reads its journal from the watcher's cursor, and says what is new.
//!
//! Order within a trial: its status, its metrics, its wanted logs, its end. Other trials' metrics go before anyone's logs.
//! Every watcher reads for itself, so two of them see the same, each from its own cursors. Works only while polled.

use super::{Inbox, Known, Registry, logs::Follower};
use crate::{
    Clock, Error, Event, JournalCursor, LogKind, Reason, Result, Retry, Timestamp, TrialId, TrialStatus, WatchRequest,
    journal::{JournalItem, Progress, ReadAt, Tailer},
    launch::TrialPaths,
};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// How often a journal that cannot be read is tried before the trial's end is told without it.
const READ_TRIES: u32 = 20;
/// Wait between two such tries.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// The files that watchers read, and what makes them grow.
pub trait TrialFiles: Send + Sync + 'static {
    /// Where the files of `trial` are on this machine.
    fn paths(&self, trial: &TrialId) -> TrialPaths;
    /// A watcher follows this log from now on: from here on `tell` must be called when it grows.
    fn want_log(&self, trial: &TrialId, log: LogKind);
    /// Whether the file holds every byte of the log of a trial that has ended. Until it does, the trial's end is not told to
    /// whoever follows the log.
    fn log_is_complete(&self, trial: &TrialId, log: LogKind) -> bool;
    /// A watcher wants logs of a trial that is not in the table: another service may have it, and this one may look on.
    fn look_on(&self, trial: &TrialId);
    /// A watcher has told the end of `trial`.
    fn forget(&self, trial: &TrialId);
}

/// A stream of everything that happens to the trials of `registry`.
pub fn watch<X: Clone + Send + 'static>(
    registry: Arc<Registry<X>>,
    files: Arc<impl TrialFiles>,
    clock: Arc<dyn Clock>,
    what: WatchRequest,
) -> BoxStream<'static, Result<Event>> {
    let watch = Watch::new(registry, files, clock, what);
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) }).boxed()
}

struct Watch<X, F> {
    registry: Arc<Registry<X>>,
    files: Arc<F>,
    clock: Arc<dyn Clock>,
    inbox: Arc<Inbox>,
    from: HashMap<TrialId, JournalCursor>,
    wanted_logs: HashMap<TrialId, Vec<LogKind>>,
    /// Trials that were there when the watch began and are not told yet; `None` once `Synced` was said.
    listing: Option<VecDeque<TrialId>>,
    trials: HashMap<TrialId, Progression<X>>,
    /// Logs that may hold more, in turn.
    logs: VecDeque<TrialId>,
    out: VecDeque<Result<Event>>,
    buffer: Vec<u8>,
    /// Whether a read has just failed.
    pause: bool,
}

/// How far this watcher is with a trial.
enum Progression<X> {
    Live(Box<Follow<X>>),
    /// Its last event was said.
    Over,
}

struct Follow<X> {
    told: Option<(TrialStatus, Option<Reason>)>,
    tailer: Tailer,
    logs: Vec<Follower>,
    /// Its end, once every metric before it was said and only logs are missing.
    end: Option<Known<X>>,
    failures: u32,
}

impl<X: Clone, F: TrialFiles> Watch<X, F> {
    fn new(registry: Arc<Registry<X>>, files: Arc<F>, clock: Arc<dyn Clock>, what: WatchRequest) -> Self {
        for (trial, _) in &what.logs {
            if registry.with(trial, |_| ()).is_none() {
                files.look_on(trial);
            }
        }
        let inbox = registry.subscribe();
        let listing = registry.ids().into();
        let mut wanted_logs: HashMap<TrialId, Vec<LogKind>> = HashMap::new();
        for (trial, log) in what.logs {
            wanted_logs.entry(trial).or_default().push(log);
        }
        Self {
            registry,
            files,
            clock,
            inbox,
            from: what.from,
            wanted_logs,
            listing: Some(listing),
            trials: HashMap::new(),
            logs: VecDeque::new(),
            out: VecDeque::new(),
            buffer: Vec::new(),
            pause: false,
        }
    }

    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.out.pop_front() {
                return event;
            }
            if std::mem::take(&mut self.pause) {
                self.clock.sleep(READ_PAUSE).await;
            }
            if let Some(listing) = &mut self.listing {
                let Some(trial) = listing.pop_front() else {
                    self.listing = None;
                    return Ok(Event::Synced);
                };
                self.visit(&trial);
            } else if let Some(trial) = self.inbox.take() {
                self.visit(&trial);
            } else if let Some(trial) = self.logs.pop_front() {
                self.read_logs(&trial);
            } else {
                self.inbox.marked().await;
            }
        }
    }

    /// Says what is new about a trial, at most one chunk of its journal; marks it again if there is more.
    fn visit(&mut self, trial: &TrialId) {
        // Looked up before the journal is read: an end seen here has every metric in the file already.
        let Some(known) = self.registry.get(trial) else {
            return;
        };
        let follow = match self.trials.entry(trial.clone()).or_insert_with(|| {
            let cursor = self.from.remove(trial).unwrap_or_default();
            let logs = self.wanted_logs.remove(trial).unwrap_or_default();
            Progression::Live(Box::new(Follow {
                told: None,
                tailer: Tailer::new(cursor),
                logs: logs.into_iter().map(Follower::new).collect(),
                end: None,
                failures: 0,
            }))
        }) {
            Progression::Live(follow) if follow.end.is_none() => follow,
            Progression::Live(_) => {
                // Only logs are missing; one of them may have grown.
                if !self.logs.contains(trial) {
                    self.logs.push_back(trial.clone());
                }
                return;
            }
            Progression::Over => return,
        };
        let paths = self.files.paths(trial);
        follow.tell_status(trial, &known, &mut self.out);
        let progress = read_journal(&paths.metrics(), &follow.tailer, &mut self.buffer).map(|(at, file_len)| {
            let mut items = Vec::new();
            let progress = follow.tailer.accept(at, &self.buffer, file_len, &mut items);
            if progress == Progress::CaughtUp && known.status.is_terminal() {
                follow.tailer.finish(&mut items);
            }
            let now = self.clock.now();
            self.out
                .extend(items.into_iter().map(|item| Ok(event_of(trial, now, item))));
            progress
        });
        match progress {
            Ok(Progress::More) => {
                match &mut self.listing {
                    Some(listing) => listing.push_front(trial.clone()),
                    None => self.inbox.mark(trial),
                }
                return;
            }
            Ok(Progress::CaughtUp) => {}
            Err(error) => {
                // No end of the watch, and no metric is given up lightly: descriptors may be short for a moment.
                let error = Error::io("read", &paths.metrics(), error).with_retry(Retry::NotApplied { after: None });
                self.out.push_back(Err(error));
                follow.failures += 1;
                if follow.failures < READ_TRIES {
                    self.inbox.mark(trial);
                    self.pause = true;
                    return;
                }
            }
        }
        if known.status.is_terminal() {
            follow.end = Some(known);
        }
        if follow.logs.is_empty() {
            self.conclude(trial);
        } else {
            for log in &follow.logs {
                self.files.want_log(trial, log.kind());
            }
            if !self.logs.contains(trial) {
                self.logs.push_back(trial.clone());
            }
        }
    }

    /// Says one piece of each wanted log of a trial, and its end after the last piece.
    fn read_logs(&mut self, trial: &TrialId) {
        let Some(Progression::Live(follow)) = self.trials.get_mut(trial) else {
            return;
        };
        let paths = self.files.paths(trial);
        let has_ended = follow.end.is_some();
        let (mut has_more, mut is_missing) = (false, false);
        for log in &mut follow.logs {
            // Asked before the file is read: what is complete now has every byte in the file already.
            is_missing |= has_ended && !self.files.log_is_complete(trial, log.kind());
            match log.read(&paths.log(log.kind()), has_ended) {
                Ok(Some(piece)) => {
                    has_more = true;
                    self.out.push_back(Ok(Event::Log {
                        trial: trial.clone(),
                        log: log.kind(),
                        bytes: piece.bytes,
                        gap: piece.gap,
                    }));
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%trial, %error, "a log cannot be read"),
            }
        }
        if has_more {
            self.logs.push_back(trial.clone());
        } else if !is_missing {
            self.conclude(trial);
        }
    }

    /// Says the end of a trial, if it has ended and all before it was said.
    fn conclude(&mut self, trial: &TrialId) {
        let Some(Progression::Live(follow)) = self.trials.get(trial) else {
            return;
        };
        let Some(end) = &follow.end else { return };
        self.out.push_back(Ok(status_of(trial, end)));
        self.trials.insert(trial.clone(), Progression::Over);
        self.files.forget(trial);
    }
}

impl<X> Follow<X> {
    /// A status that is no end, if it differs from what was said.
    fn tell_status(&mut self, trial: &TrialId, known: &Known<X>, out: &mut VecDeque<Result<Event>>) {
        if known.status.is_terminal() {
            // A trial may start and end between two looks; its start is told all the same.
            if let Some(started) = known.started
                && self
                    .told
                    .as_ref()
                    .is_none_or(|(status, _)| *status == TrialStatus::Waiting)
            {
                out.push_back(Ok(status_of(trial, &Known::running(started, ()))));
                self.told = Some((TrialStatus::Running, None));
            }
            return;
        }
        let now = (known.status, known.why.clone());
        if self.told.as_ref() != Some(&now) {
            out.push_back(Ok(status_of(trial, known)));
            self.told = Some(now);
        }
    }
}

fn status_of<X>(trial: &TrialId, known: &Known<X>) -> Event {
    Event::Status {
        trial: trial.clone(),
        at: known.at,
        status: known.status,
        why: known.why.clone(),
    }
}

fn event_of(trial: &TrialId, at: Timestamp, item: JournalItem) -> Event {
    let trial = trial.clone();
    match item {
        JournalItem::Frame { cursor, body } => Event::Metric {
            trial,
            at,
            cursor,
            body,
        },
        JournalItem::Skipped {
            cursor,
            n_bytes,
            problem,
            ..
        } => Event::Skipped {
            trial,
            at,
            cursor,
            n_bytes,
            problem: problem.to_string(),
        },
    }
}

/// Reads what the tailer asks for into `buffer`; an absent file is an empty one.
fn read_journal(path: &Path, tailer: &Tailer, buffer: &mut Vec<u8>) -> io::Result<(ReadAt, u64)> {
    let at = tailer.next_read();
    buffer.clear();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((at, 0)),
        Err(e) => return Err(e),
    };
    let file_len = file.metadata()?.len();
    let len = usize::try_from(file_len.saturating_sub(at.offset)).map_or(at.len, |len| len.min(at.len));
    buffer.resize(len, 0);
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut buffer[filled..], at.offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    buffer.truncate(filled);
    Ok((at, file_len))
}
