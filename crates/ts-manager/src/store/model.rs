//! What the store holds, as types: the experiment, its trials, their metrics, the event log.
//!
//! How they are written is in `apply`, how they are read in `reader` and `rows`.

use std::time::Duration;
use ts_core::{
    CancelReason, ExperimentId, JournalCursor, Parameters, Prepared, Reason, Timestamp, TrialId, TrialSpec, TrialStatus,
};

macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $variant,)* }
        impl $name {
            /// All of them, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// The spelling, as stored and served.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            /// The one of this spelling, if there is one.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|s| s.as_str() == text)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

named!(
    /// Status of the experiment, in NNI's spelling.
    ///
    /// Source: nni v2.10, `ts/nni_manager/common/manager.ts`, `ExperimentStatus`.
    ExperimentStatus {
        /// Stored, not started.
        Initialized = "INITIALIZED",
        /// Trials are submitted.
        Running = "RUNNING",
        /// Ended by an error; the message says which.
        Error = "ERROR",
        /// Being stopped.
        Stopping = "STOPPING",
        /// Stopped by the user.
        Stopped = "STOPPED",
        /// All trials have ended and no more will come.
        Done = "DONE",
        /// A limit is reached; the last trials still run.
        NoMoreTrial = "NO_MORE_TRIAL",
        /// The parameter source has no more; the last trials still run.
        TunerNoMoreTrial = "TUNER_NO_MORE_TRIAL",
    }
);

impl ExperimentStatus {
    /// Whether the experiment runs no trial in it.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Error | Self::Stopped | Self::Done)
    }
}

named!(
    /// Kind of a metric, in NNI's spelling.
    ///
    /// Source: nni v1.9 to v3.0, `nni/runtime/protocol.py` and `nni/trial.py`.
    MetricKind {
        /// Reported on the way.
        Intermediate = "PERIODICAL",
        /// The result of the trial.
        Final = "FINAL",
    }
);

named!(
    /// Which final metric is best.
    Optimize {
        /// The greatest.
        Maximize = "maximize",
        /// The smallest.
        Minimize = "minimize",
    }
);

/// Limits that may be changed while the experiment runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Limits {
    /// Most trials at a time.
    pub concurrency: u32,
    /// Most trials in all; `None`: no limit.
    pub max_trials: Option<u32>,
    /// Longest running time of the experiment in milliseconds; `None`: no limit.
    pub max_duration_ms: Option<u64>,
}

impl Limits {
    /// Most trials at a time that a running experiment may be told to run.
    ///
    /// Source: nni v1.9, `tools/nni_cmd/config_schema.py`: `trialConcurrency` is from 1 to 99999.
    pub const MOST_AT_A_TIME: u32 = 99_999;

    /// So many trials at a time, and no other limit.
    pub const fn new(concurrency: u32) -> Self {
        Self {
            concurrency,
            max_trials: None,
            max_duration_ms: None,
        }
    }
}

/// What a store is created from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewExperiment {
    /// The experiment.
    pub id: ExperimentId,
    /// When it was created.
    pub created: Timestamp,
    /// The configuration as the user gave it. The file is readable by its owner only, because this may hold secrets.
    pub config_text: String,
    /// The configuration with every default, as JSON; `null` by default.
    pub config: serde_json::Value,
    /// The limits at the start.
    pub limits: Limits,
}

impl NewExperiment {
    /// An experiment without a resolved configuration.
    pub fn new(id: ExperimentId, created: Timestamp, config_text: impl Into<String>, limits: Limits) -> Self {
        Self {
            id,
            created,
            config_text: config_text.into(),
            config: serde_json::Value::Null,
            limits,
        }
    }
    /// Adds the resolved configuration.
    #[must_use]
    pub fn with_config(mut self, config: serde_json::Value) -> Self {
        self.config = config;
        self
    }
}

/// The experiment as stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExperimentRow {
    /// The experiment.
    pub id: ExperimentId,
    /// When it was created.
    pub created: Timestamp,
    /// The configuration as the user gave it.
    pub config_text: String,
    /// The configuration with every default.
    pub config: serde_json::Value,
    /// Its status.
    pub status: ExperimentStatus,
    /// What the status comes from, an error for example.
    pub message: Option<String>,
    /// Receipt of the delivered code.
    pub code: Option<Prepared>,
    /// When it ran first.
    pub started: Option<Timestamp>,
    /// When it ended; unset again when it is resumed.
    pub ended: Option<Timestamp>,
    /// Time it has run, over all resumes, as far as that is stored; [`duration_at`](Self::duration_at) knows the rest.
    pub duration: Duration,
    /// Until when that is counted, while a manager counts.
    pub counted: Option<Timestamp>,
    /// The limits now.
    pub limits: Limits,
    /// Number of the next trial: one more than the greatest so far.
    pub next_sequence_id: u32,
    /// Grows with every stored change.
    pub revision: u64,
}

/// How often a manager stores for how long it has run.
pub(crate) const COUNTED_EVERY: Duration = Duration::from_secs(10);

impl ExperimentRow {
    /// Time it has run until `now`, over all resumes; `is_running`: whether a manager runs it.
    ///
    /// What is not stored yet is taken from the clock on the wall, and is no longer than a manager goes without storing it: a
    /// clock that is set anew is off by 10 s at most.
    pub fn duration_at(&self, now: Timestamp, is_running: bool) -> Duration {
        match self.counted {
            Some(counted) if is_running => self.duration + now.since(counted).min(COUNTED_EVERY),
            _ => self.duration,
        }
    }
}

/// The first place of metrics that did not come through a journal; no journal grows that long.
pub const FIRST_REPORT: u64 = 1 << 52;

/// A stored metric.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Metric {
    /// Position in the journal, or a number from [`FIRST_REPORT`] on; unique and growing within the trial.
    pub seq: u64,
    /// When it was read.
    pub at: Timestamp,
    /// Intermediate or final.
    pub kind: MetricKind,
    /// The trial's own number of it: 0, 1, 2, … for intermediate ones.
    pub sequence: u32,
    /// JSON text exactly as the trial wrote it, `NaN` and `Infinity` included.
    pub value: String,
    /// What it is compared by. `NaN` is stored as none.
    pub number: Option<f64>,
    /// Index of the parameters that it is of; 0 for those that the trial began with.
    pub parameter_index: u32,
}

/// Parameters that a trial asked for, and what came of them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Phase {
    /// Their index; 0 for those that the trial began with.
    pub index: u32,
    /// When they were asked for.
    pub requested_at: Timestamp,
    /// When they were there.
    pub given_at: Option<Timestamp>,
    /// Packed parameters, once they are there. Their `parameters` are `null` if the source had no more.
    pub parameters: Option<String>,
    /// Whether the platform has taken them.
    pub delivered: bool,
    /// Text of the last final metric of them.
    pub final_value: Option<String>,
    /// Number of that metric.
    pub final_number: Option<f64>,
}

impl Phase {
    /// Packed parameters that the trial can use: there, and not the word that there are no more.
    pub fn usable(&self) -> Option<&str> {
        self.parameters
            .as_deref()
            .filter(|text| !crate::source::says_no_more(text))
    }
}

/// A trial as stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrialRow {
    /// As stored before the submit.
    pub spec: TrialSpec,
    /// The trial that this one tries again.
    pub retry_of: Option<TrialId>,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Its status.
    pub status: TrialStatus,
    /// Why it waits or ended so.
    pub reason: Option<Reason>,
    /// Why it was asked to end.
    pub cancel_requested: Option<CancelReason>,
    /// Whether the platform's receipt is stored.
    pub submitted: bool,
    /// Where a person finds the job.
    pub url: Option<String>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When the platform's receipt was stored.
    pub submitted_at: Option<Timestamp>,
    /// When it was first reported to run; unset if nobody saw it run.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where reading of the journal goes on.
    pub cursor: JournalCursor,
    /// How many metrics are stored.
    pub n_metrics: u64,
    /// The newest metric.
    pub newest: Option<Metric>,
    /// Text of the trial's result: the final metric that was reported last; of a trial with several phases the best of theirs.
    pub final_value: Option<String>,
    /// Number of that metric.
    pub final_number: Option<f64>,
    /// Index of the parameters that it is of; 0 while there is none.
    pub final_index: u32,
    /// How many of its requests for parameters named no index.
    pub n_requests: u32,
    /// All its parameters in the order of their indices, if it asked for further ones; else empty.
    pub phases: Vec<Phase>,
}

impl TrialRow {
    /// Packed parameters of the trial's result; while it has none, those that it began with.
    pub fn parameters(&self) -> &str {
        parameters_of(&self.spec.parameters.text, &self.phases, self.final_index)
    }
}

/// The parameters of a trial with this index; `first` are those that it began with.
pub(crate) fn parameters_of<'a>(first: &'a str, phases: &'a [Phase], index: u32) -> &'a str {
    let of = phases.iter().find(|phase| phase.index == index);
    of.and_then(|phase| phase.parameters.as_deref()).unwrap_or(first)
}

/// A trial of an earlier run, from which a parameter source is rebuilt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PastTrial {
    /// The trial.
    pub id: TrialId,
    /// Its number.
    pub sequence_id: u32,
    /// Its first parameters.
    pub parameters: Parameters,
    /// Its status.
    pub status: TrialStatus,
    /// All its metrics, in the order of the journal.
    pub metrics: Vec<Metric>,
}

/// An entry of the event log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoggedEvent {
    /// Number of the entry; grows.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The trial, if it is about one.
    pub trial: Option<TrialId>,
    /// What happened; `docs/store.md` lists the kinds.
    pub kind: String,
    /// Details; `null` where there are none.
    pub data: serde_json::Value,
}

/// Which trials are wanted; the default is all, in the order of their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrialFilter {
    /// Only these statuses; `None`: any.
    pub statuses: Option<Vec<TrialStatus>>,
    /// Only these ids; `None`: any. An id that is not stored is passed over.
    pub ids: Option<Vec<TrialId>>,
    /// Only trials with a greater number, for paging.
    pub after: Option<u32>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl TrialFilter {
    /// All trials.
    pub fn all() -> Self {
        Self::default()
    }
    /// Only trials in one of these statuses.
    #[must_use]
    pub fn in_status(mut self, statuses: impl IntoIterator<Item = TrialStatus>) -> Self {
        self.statuses = Some(statuses.into_iter().collect());
        self
    }
    /// Only these trials.
    #[must_use]
    pub fn with_ids(mut self, ids: impl IntoIterator<Item = TrialId>) -> Self {
        self.ids = Some(ids.into_iter().collect());
        self
    }
    /// Only trials with a number greater than `sequence_id`.
    #[must_use]
    pub fn after(mut self, sequence_id: u32) -> Self {
        self.after = Some(sequence_id);
        self
    }
    /// At most `n` trials.
    #[must_use]
    pub fn limit(mut self, n: u32) -> Self {
        self.limit = Some(n);
        self
    }
}

/// How many trials are in which status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusCounts(pub(super) Vec<(TrialStatus, u64)>);

impl StatusCounts {
    /// How many trials are in `status`.
    pub fn of(&self, status: TrialStatus) -> u64 {
        self.0.iter().find(|(s, _)| *s == status).map_or(0, |(_, n)| *n)
    }
    /// How many trials there are.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, n)| n).sum()
    }
    /// How many trials have ended.
    pub fn ended(&self) -> u64 {
        self.0.iter().filter(|(s, _)| s.is_terminal()).map(|(_, n)| n).sum()
    }
    /// Statuses with at least one trial, and how many.
    pub fn iter(&self) -> impl Iterator<Item = (TrialStatus, u64)> + '_ {
        self.0.iter().copied()
    }
}
