//! The trait that every platform implements, and the small types of its arguments and answers.
//!
//! What an implementation promises is listed at [`TrainingService`]; `ts-testkit` checks it.

use crate::{
    CancelReason, CodeDirectory, Event, ExperimentSpec, Parameters, Result, TrialId, TrialRecord, TrialSpec,
    WatchRequest,
};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::fmt::Debug;

/// Runs the trials of one experiment on one platform.
///
/// Every implementation promises, and the conformance suite checks:
///
/// 1. *Stamp.* The request that creates a job carries experiment and trial (environment, label, tag or reversible name).
///    Nothing is recognized by a display name.
/// 2. *Cancel-safe.* Drop any future at any await: the platform holds nothing new, or something [`recover`] finds.
/// 3. *Forward only.* `Waiting → Running → one terminal status`; `Unknown` is a gap, never an end. The terminal status is
///    the trial's last event, after all its metrics.
/// 4. *Metrics* come at least once, in order, each with a cursor that survives restarts; the caller drops repeats.
/// 5. *Stream errors.* A retryable `Err` item heals and goes on; a final one ends the stream.
/// 6. *Ownership.* [`recover`] adopts only jobs of this experiment; strays are reported, never deleted unasked.
/// 7. *Refusal.* [`Support::No`] means that the method returns `Unsupported` with that reason.
/// 8. *Tasks* are spawned on `ctx.tasks` only; `new` does no I/O.
///
/// [`recover`]: TrainingService::recover
#[async_trait]
pub trait TrainingService: Debug + Send + Sync + 'static {
    /// Name of the platform as the configuration spells it.
    fn platform(&self) -> &'static str;
    /// What it can do.
    fn capabilities(&self) -> &Capabilities;
    /// Could this experiment run here? Credentials, quota, names. Leaves no trace on the platform.
    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings>;
    /// Delivers the code once; the same digest again is a no-op. `submit` demands the receipt.
    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared>;
    /// The exact request that `submit` would send, secrets masked. Pure: serves `plan` and golden tests.
    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered>;
    /// Starts a trial or queues it. Idempotent by `trial.id`, which the caller minted and stored before calling.
    async fn submit(&self, code: &Prepared, trial: &TrialSpec) -> Result<Submitted>;
    /// Gives a running trial its next parameters (multi-phase).
    async fn send_parameters(&self, trial: &TrialId, next: &Parameters) -> Result<()>;
    /// Status, metrics, logs of all trials of the experiment. Does its work while polled; dropping it stops the work.
    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>>;
    /// `Ok`: the platform took the request, or nothing was left to stop. The end arrives on `watch`.
    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()>;
    /// After a crash: finds jobs by their stamp and says which are adopted, lost, strays.
    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered>;
    /// Completes what is being ended, then removes what is left; goes on after a failure; absent counts as removed.
    ///
    /// A scope of no trials removes nothing: it only waits until every end that was told is complete.
    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport;
}

/// What a platform can do. A capability refused here is refused by the method, with the same reason.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// How metrics reach us.
    pub metrics: MetricsPath,
    /// Whether `watch` yields logs on request.
    pub logs: Support,
    /// Whether `send_parameters` works.
    pub next_parameters: Support,
    /// Whether jobs survive us and can be found again.
    pub recover: Support,
    /// Who places trials on GPUs.
    pub gpu: GpuPlacement,
}

impl Capabilities {
    /// A platform whose journal is pulled and which can do everything but place GPUs.
    pub const fn pulled() -> Self {
        Self {
            metrics: MetricsPath::Pull,
            logs: Support::Yes,
            next_parameters: Support::Yes,
            recover: Support::Yes,
            gpu: GpuPlacement::None,
        }
    }
}

/// How metrics reach us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsPath {
    /// We read the journal through the channel that we have anyway.
    Pull,
    /// The worker posts its journal to our listener.
    Push,
}

/// Who places trials on GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuPlacement {
    /// Nobody: a GPU wish is refused by `validate`.
    None,
    /// We do, by [`crate::gpu::place`].
    Ours,
    /// The platform's own scheduler.
    Platform,
}

/// Whether something works, and if not, the reason that a user will read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a third answer between yes and no is not foreseen"
)]
pub enum Support {
    /// It works.
    Yes,
    /// It does not, because.
    No(&'static str),
}

impl Support {
    /// `Ok` if it works.
    ///
    /// # Errors
    /// `Unsupported` with the reason.
    pub fn require(self) -> Result<()> {
        match self {
            Self::Yes => Ok(()),
            Self::No(reason) => Err(crate::Error::unsupported(reason)),
        }
    }
}

/// Things worth telling that do not stop the experiment.
pub type Warnings = Vec<Warning>;

/// A warning with the three parts of an error.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// What is so.
    pub message: String,
    /// Key of the configuration.
    pub key: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Warning {
    /// A warning without key and help.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            key: None,
            help: None,
        }
    }
    /// Names the key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
    /// Says what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Receipt of delivered code; stored, and demanded by `submit`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Prepared {
    /// Digest of the package, if one was made.
    pub digest: Option<String>,
    /// Where the platform finds it, in the platform's own words.
    pub location: String,
}

impl Prepared {
    /// A receipt.
    pub fn new(digest: Option<String>, location: impl Into<String>) -> Self {
        Self {
            digest,
            location: location.into(),
        }
    }
}

/// A request as it would be sent, secrets masked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Rendered {
    /// `(name, text)` of each document or file, in the order they would be sent.
    pub documents: Vec<(String, String)>,
}

impl Rendered {
    /// A request of these documents.
    pub fn new(documents: Vec<(String, String)>) -> Self {
        Self { documents }
    }
}

/// The platform's receipt for a trial.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Submitted {
    /// Where a person finds the job: a path or an address. NNI calls it `logPath` and `url`.
    pub url: String,
}

impl Submitted {
    /// A receipt.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into() }
    }
}

/// What `recover` found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Known and found, live or ended; `watch` reports on them from their cursors.
    pub adopted: Vec<TrialId>,
    /// Known, but the platform has no trace of them. Never submitted if the record says so, else lost.
    pub lost: Vec<TrialId>,
    /// Stamped with our experiment but unknown to the store. Reported, never deleted unasked.
    pub strays: Vec<TrialId>,
}

impl Recovered {
    /// Nothing found.
    pub fn new() -> Self {
        Self::default()
    }
}

/// What `cleanup` removes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CleanupScope {
    /// Jobs and files of these trials; running ones are ended first.
    Trials(Vec<TrialId>),
    /// Everything that carries the experiment's stamp, strays and delivered code included.
    Experiment,
}

/// What `cleanup` did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CleanupReport {
    /// How many things were removed; absent ones do not count.
    pub removed: u64,
    /// What could not be removed, each with its error.
    pub failures: Vec<(String, crate::Error)>,
}

impl CleanupReport {
    /// Nothing done yet.
    pub fn new() -> Self {
        Self::default()
    }
    /// Whether nothing is left.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }
}
