//! What a running manager tells those who look on: a snapshot that is always current, and notices that may be missed.

use crate::store::ExperimentStatus;
use std::{sync::Arc, time::Duration};
use ts_core::{Reason, TrialId, TrialStatus};

/// The state of the experiment in a few numbers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Status of the experiment.
    pub status: ExperimentStatus,
    /// Trials that wait for the platform.
    pub waiting: u64,
    /// Trials that run, or of which nothing is known at present.
    pub running: u64,
    /// Trials that succeeded.
    pub succeeded: u64,
    /// Trials that failed, each attempt counted.
    pub failed: u64,
    /// Trials that were cancelled or stopped early.
    pub canceled: u64,
    /// Trials created, retries not counted.
    pub created: u64,
    /// Best final result and whose it is.
    pub best: Option<(f64, TrialId)>,
    /// How long the experiment has run, earlier runs included; [`elapsed_at`](Self::elapsed_at) counts on.
    pub elapsed: Duration,
    /// When that was so, by the monotonic clock, while it runs.
    pub(crate) taken: Option<Duration>,
    /// Why the store does not take anything at present.
    pub stalled: Option<String>,
    /// Revision of the store that holds what was told so far.
    pub revision: u64,
}

impl Snapshot {
    pub(crate) fn new(status: ExperimentStatus) -> Self {
        Self {
            status,
            waiting: 0,
            running: 0,
            succeeded: 0,
            failed: 0,
            canceled: 0,
            created: 0,
            best: None,
            elapsed: Duration::ZERO,
            taken: None,
            stalled: None,
            revision: 0,
        }
    }

    /// How long the experiment has run at a time of the monotonic clock.
    pub fn elapsed_at(&self, monotonic: Duration) -> Duration {
        self.elapsed
            + self
                .taken
                .map_or(Duration::ZERO, |taken| monotonic.saturating_sub(taken))
    }

    /// Trials that have ended.
    pub fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.canceled
    }

    fn counter(&mut self, status: TrialStatus) -> &mut u64 {
        match status {
            TrialStatus::Waiting => &mut self.waiting,
            TrialStatus::Succeeded => &mut self.succeeded,
            TrialStatus::Failed => &mut self.failed,
            TrialStatus::UserCanceled | TrialStatus::SysCanceled | TrialStatus::EarlyStopped => &mut self.canceled,
            _ => &mut self.running,
        }
    }

    pub(crate) fn add(&mut self, status: TrialStatus, n: u64) {
        *self.counter(status) += n;
    }

    pub(crate) fn moved(&mut self, from: TrialStatus, to: TrialStatus) {
        let left = self.counter(from);
        *left = left.saturating_sub(1);
        *self.counter(to) += 1;
    }
}

/// Something that happened, for people. A slow reader misses some; the store has them all.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// A trial has a new status.
    Trial {
        /// The trial.
        trial: TrialId,
        /// Its number.
        sequence_id: u32,
        /// The status.
        status: TrialStatus,
        /// Why, if it waits or failed.
        why: Option<Reason>,
        /// Its final result, if it ended with one.
        result: Option<Arc<str>>,
    },
    /// A trial reported an intermediate result.
    Intermediate {
        /// The trial.
        trial: TrialId,
        /// Its number.
        sequence_id: u32,
        /// The value as the trial wrote it.
        value: Arc<str>,
    },
    /// Parameters that a trial asked for are there, or the word that there are no more.
    Parameters {
        /// The trial.
        trial: TrialId,
        /// Its number.
        sequence_id: u32,
        /// Their index; 0 for those that the trial began with.
        index: u32,
    },
    /// Something to look at.
    Warning(String),
}
