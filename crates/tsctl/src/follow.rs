//! Looks on at an experiment through its store: a view that is redrawn on a terminal, news line by line elsewhere.
//!
//! Asks the store's change counter a few times a second, so that it costs the manager nothing; used by whoever runs the
//! experiment and by whoever looks on from another terminal.

use crate::{
    log::LogLines,
    output::Output,
    render::{experiment::State, live, style::Style, trial},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::BTreeSet,
    sync::mpsc::{self, RecvTimeoutError},
    thread::JoinHandle,
    time::Duration,
};
use ts_core::{Clock, Result, SystemClock, TrialId, TrialStatus};
use ts_manager::store::{Optimize, StoreReader, TrialFilter, TrialRow};

/// How often the store is asked.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// What is new in the store since the last look.
#[derive(Debug)]
pub(crate) struct News {
    reader: StoreReader,
    version: Option<u64>,
    newest: Option<u32>,
    live: BTreeSet<TrialId>,
    told: std::collections::HashMap<TrialId, (TrialStatus, Option<String>)>,
}

impl News {
    /// Starts with what is there now: trials that have ended already are no news.
    pub(crate) fn from_now(reader: StoreReader) -> Result<Self> {
        let mut news = Self {
            reader,
            version: None,
            newest: None,
            live: BTreeSet::new(),
            told: std::collections::HashMap::new(),
        };
        news.next()?;
        Ok(news)
    }

    /// The store.
    pub(crate) fn reader(&self) -> &StoreReader {
        &self.reader
    }

    /// Whether anything was stored since the last question.
    pub(crate) fn changed(&mut self) -> Result<bool> {
        let version = self.reader.data_version()?;
        Ok(self.version.replace(version) != Some(version))
    }

    /// Trials that have ended, or have another reason to wait, since the last call.
    pub(crate) fn next(&mut self) -> Result<Vec<TrialRow>> {
        let mut rows = self
            .reader
            .trials(&TrialFilter::all().with_ids(self.live.iter().cloned()))?;
        let newer = match self.newest {
            Some(newest) => TrialFilter::all().after(newest),
            None => TrialFilter::all(),
        };
        rows.extend(self.reader.trials(&newer)?);
        let mut news = Vec::new();
        for row in rows {
            self.newest = self.newest.max(Some(row.spec.sequence_id));
            let id = row.spec.id.clone();
            if row.status.is_terminal() {
                self.live.remove(&id);
                self.told.remove(&id);
                news.push(row);
                continue;
            }
            self.live.insert(id.clone());
            let now = (row.status, row.reason.as_ref().map(|why| why.message.clone()));
            let is_worth_telling = now.1.is_some() && !is_starting(&row);
            if self.told.insert(id, now.clone()) != Some(now) && is_worth_telling {
                news.push(row);
            }
        }
        Ok(news)
    }
}

/// A trial on its way from the queue to its machine: every trial is, for a moment.
fn is_starting(row: &TrialRow) -> bool {
    use ts_core::ReasonCode::{Queued, Starting};
    row.reason
        .as_ref()
        .is_some_and(|why| matches!(why.code, Queued | Starting))
}

/// A thread that shows an experiment until it is dropped.
#[derive(Debug)]
pub(crate) struct Display {
    orders: mpsc::Sender<String>,
    log: LogLines,
    thread: Option<JoinHandle<()>>,
}

impl Display {
    /// Begins to show the experiment. Nothing is shown with `--quiet`.
    pub(crate) fn start(output: &Output, reader: StoreReader, optimize: Optimize) -> Result<Self> {
        let (orders, received) = mpsc::channel();
        let screen = Screen {
            bar: output.live.then(bar),
            is_quiet: output.is_quiet(),
            style: output.style,
            optimize,
            clock: SystemClock::new(),
        };
        let news = News::from_now(reader)?;
        let thread = std::thread::Builder::new()
            .name("display".into())
            .spawn(move || screen.run(news, &received))
            .map_err(|e| ts_core::Error::new(ts_core::ErrorKind::Io, "cannot start a thread").with_source(e))?;
        output.log.show_in(output.live.then(|| orders.clone()));
        Ok(Self {
            orders,
            log: output.log.clone(),
            thread: Some(thread),
        })
    }

    /// Says something without disturbing the view.
    pub(crate) fn say(&self, text: impl Into<String>) {
        // A display that has ended has nothing to be disturbed, and the text is talk.
        let _ = self.orders.send(text.into());
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.log.show_in(None);
        let (closed, _) = mpsc::channel();
        self.orders = closed; // drops the sender that the thread listens to
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    let plain = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(plain);
    bar
}

struct Screen {
    /// `None` where nothing can be redrawn.
    bar: Option<ProgressBar>,
    is_quiet: bool,
    style: Style,
    optimize: Optimize,
    clock: SystemClock,
}

impl Screen {
    fn run(mut self, mut news: News, orders: &mpsc::Receiver<String>) {
        loop {
            let order = orders.recv_timeout(INTERVAL);
            // A store that cannot be read now is shown later; the manager reports what is wrong with it.
            let _ = self.look(&mut news);
            match order {
                Ok(text) => self.say(&text),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn look(&mut self, news: &mut News) -> Result<()> {
        let changed = news.changed()?;
        if changed {
            for row in news.next()? {
                let ended_well = row.status == TrialStatus::Succeeded;
                if !(self.is_quiet || ended_well && self.bar.is_some()) {
                    self.say(&trial::news(&row, self.style));
                }
            }
        }
        self.draw(news.reader())
    }

    fn draw(&mut self, reader: &StoreReader) -> Result<()> {
        let Some(bar) = &self.bar else { return Ok(()) };
        let state = State::read(reader, self.optimize)?;
        let live = [TrialStatus::Running, TrialStatus::Unknown, TrialStatus::Waiting];
        let live = reader.trials(&TrialFilter::all().in_status(live))?;
        let now = self.clock.now();
        // Whoever looks on leaves when the manager does.
        let elapsed = state.row.duration_at(now, true);
        let lines = live::lines(&state, &live, elapsed, now, self.style);
        bar.set_message(lines.join("\n"));
        Ok(())
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => crate::output::talk_line(text),
        }
    }
}
