//! What can be changed in the store, and what became of a change.

use super::{ExperimentStatus, Limits, MetricKind};
use crate::source::ImportedResult;
use std::time::Duration;
use ts_core::{CancelReason, JournalCursor, Parameters, Prepared, Reason, Timestamp, TrialId, TrialSpec, TrialStatus};

/// One change. Several of them are stored together or not at all.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A trial exists; stored before it is submitted.
    TrialCreated {
        /// As it will be submitted.
        spec: TrialSpec,
        /// When.
        at: Timestamp,
        /// The trial that this one tries again, if it is a retry.
        retry_of: Option<TrialId>,
    },
    /// The platform took the trial.
    TrialSubmitted {
        /// The trial.
        trial: TrialId,
        /// When.
        at: Timestamp,
        /// Where a person finds the job.
        url: String,
    },
    /// The platform reported a status. Forward only: what [`TrialStatus::may_become`] forbids is not stored.
    ///
    /// The same status with another reason replaces the reason, unless the trial has ended.
    TrialStatus {
        /// The trial.
        trial: TrialId,
        /// When it became so.
        at: Timestamp,
        /// The status.
        status: TrialStatus,
        /// Why.
        reason: Option<Reason>,
    },
    /// Somebody asked for the trial's end. The first request stands, because it decides the status of the end.
    CancelRequested {
        /// The trial.
        trial: TrialId,
        /// When.
        at: Timestamp,
        /// Why.
        reason: CancelReason,
    },
    /// A trial asked for its parameters of this index; stored before the source is asked. The first ones, of index 0, it has.
    ParametersRequested {
        /// The trial.
        trial: TrialId,
        /// When.
        at: Timestamp,
        /// The index.
        index: u32,
        /// Position behind the request, where reading goes on; `None` if it did not come through the journal.
        cursor: Option<JournalCursor>,
        /// Whether the request named no index, so that it counts for the index of the next such one.
        is_counted: bool,
    },
    /// A running trial is given further parameters; stored before they are sent.
    ParametersSent {
        /// The trial.
        trial: TrialId,
        /// When.
        at: Timestamp,
        /// The parameters.
        parameters: Parameters,
    },
    /// The platform took parameters that were sent.
    ParametersDelivered {
        /// The trial.
        trial: TrialId,
        /// Their index.
        index: u32,
    },
    /// A metric came. Another one of the same place is not stored.
    Metric {
        /// The trial.
        trial: TrialId,
        /// When it was read.
        at: Timestamp,
        /// Where it stands among those of the trial.
        place: MetricPlace,
        /// Intermediate or final.
        kind: MetricKind,
        /// The trial's own number of it.
        sequence: u32,
        /// JSON text as the trial wrote it.
        value: String,
        /// What it is compared by.
        number: Option<f64>,
        /// Index of the parameters that it is of.
        parameter_index: u32,
    },
    /// Of all results of the trial the one of these parameters counts as the trial's, until another final metric comes.
    ResultChosen {
        /// The trial.
        trial: TrialId,
        /// Index of the parameters.
        index: u32,
    },
    /// Frames of the journal that are no metric, or no frame at all, were passed over.
    JournalSkipped {
        /// The trial.
        trial: TrialId,
        /// When.
        at: Timestamp,
        /// Position behind them, where reading goes on.
        cursor: JournalCursor,
        /// How many bytes.
        n_bytes: u64,
        /// What was wrong.
        problem: String,
    },
    /// The experiment's status. `Running` sets the start if it is unset and removes the end.
    ExperimentStatus {
        /// The status.
        status: ExperimentStatus,
        /// When.
        at: Timestamp,
        /// What it comes from.
        message: Option<String>,
    },
    /// The code was delivered.
    CodePrepared {
        /// When.
        at: Timestamp,
        /// The receipt.
        receipt: Prepared,
    },
    /// Limits are changed; all are replaced.
    LimitsChanged {
        /// When.
        at: Timestamp,
        /// The new ones.
        limits: Limits,
    },
    /// Parameters come from another search space from now on.
    SearchSpaceChanged {
        /// When.
        at: Timestamp,
        /// The space.
        space: serde_json::Value,
    },
    /// Results from elsewhere, which the parameter source learns from.
    ResultsImported {
        /// When.
        at: Timestamp,
        /// The results.
        results: Vec<ImportedResult>,
    },
    /// The experiment ran for so much longer.
    DurationAccumulated {
        /// How much longer.
        by: Duration,
        /// Until when that is.
        at: Timestamp,
    },
    /// Something worth keeping that changes nothing.
    Note {
        /// When.
        at: Timestamp,
        /// The trial, if it is about one.
        trial: Option<TrialId>,
        /// What happened, a short word.
        kind: String,
        /// Details.
        data: serde_json::Value,
    },
}

impl Change {
    /// A trial that is no retry.
    pub fn created(spec: TrialSpec, at: Timestamp) -> Self {
        Self::TrialCreated {
            spec,
            at,
            retry_of: None,
        }
    }
}

/// Where a metric stands among those of its trial, and so how it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricPlace {
    /// In the journal: the position behind it, where reading goes on.
    Journal(JournalCursor),
    /// Behind everything in the journal, since it came by another way: a number from
    /// [`FIRST_REPORT`](super::FIRST_REPORT) on, one by one.
    Apart(u64),
}

impl MetricPlace {
    /// The place as a number, which grows from metric to metric.
    #[must_use]
    pub fn seq(self) -> u64 {
        match self {
            Self::Journal(cursor) => cursor.seq(),
            Self::Apart(seq) => seq,
        }
    }
}

/// What became of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is stored.
    Stored,
    /// The store held it already: a metric with this `seq`, the same status, an earlier request to end.
    Repeated,
    /// The status of the trial, which is given, forbids it; nothing is stored.
    Refused(TrialStatus),
}

/// What became of the changes of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// One for each change, in their order.
    pub outcomes: Vec<Outcome>,
    /// Revision of the store that holds them.
    pub revision: u64,
}

impl Applied {
    /// Whether the change at `index` is new to the store. For a metric: whether the parameter source has to be told.
    pub fn is_new(&self, index: usize) -> bool {
        self.outcomes.get(index) == Some(&Outcome::Stored)
    }
}
