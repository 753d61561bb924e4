//! What `watch` yields, and what it is asked for.

use crate::{JournalCursor, Reason, Timestamp, TrialId, TrialStatus};
use bytes::Bytes;
use std::collections::HashMap;

/// One thing that happened, as the platform reported it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// All live trials are listed: a known one that was not seen by now is lost.
    Synced,
    /// The status of a trial. A terminal one is the trial's last event.
    Status {
        /// The trial.
        trial: TrialId,
        /// When it became so, by the platform's clock.
        at: Timestamp,
        /// The status.
        status: TrialStatus,
        /// Waiting: what would unblock it. Ended: the verdict.
        why: Option<Reason>,
    },
    /// A complete frame of the journal.
    Metric {
        /// The trial.
        trial: TrialId,
        /// When it was read.
        at: Timestamp,
        /// Position behind the frame; `cursor.seq()` is the metric's sequence, unique and growing within the trial.
        cursor: JournalCursor,
        /// The frame's payload without its newline: JSON as the trial wrote it, opaque here.
        body: String,
    },
    /// Bytes of the journal that are no frame were passed over.
    Skipped {
        /// The trial.
        trial: TrialId,
        /// When they were read.
        at: Timestamp,
        /// Position behind them.
        cursor: JournalCursor,
        /// How many bytes.
        n_bytes: u64,
        /// What was wrong, with a sample.
        problem: String,
    },
    /// A piece of standard output or error.
    Log {
        /// The trial.
        trial: TrialId,
        /// Which log.
        log: LogKind,
        /// The bytes, as written.
        bytes: Bytes,
        /// Whether something before it was lost.
        gap: bool,
    },
}

/// Which log of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LogKind {
    /// Standard output of the command.
    Stdout,
    /// Standard error of the command.
    Stderr,
    /// What NNI's SDK writes: `trial.log`.
    Trial,
}

impl LogKind {
    /// File name in the trial's directory.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Trial => "trial.log",
        }
    }
}

/// What a watcher wants.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct WatchRequest {
    /// Where reading of each trial's journal goes on; a trial not named starts at its beginning.
    pub from: HashMap<TrialId, JournalCursor>,
    /// Whose logs are wanted, from their beginning; none by default.
    pub logs: Vec<(TrialId, LogKind)>,
}

impl WatchRequest {
    /// Everything from the beginning, no logs.
    pub fn new() -> Self {
        Self::default()
    }
    /// Goes on reading `trial` at `cursor`.
    #[must_use]
    pub fn resuming(mut self, trial: TrialId, cursor: JournalCursor) -> Self {
        self.from.insert(trial, cursor);
        self
    }
    /// Wants a log as well.
    #[must_use]
    pub fn with_log(mut self, trial: TrialId, log: LogKind) -> Self {
        self.logs.push((trial, log));
        self
    }
}
