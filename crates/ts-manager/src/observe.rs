//! What a manager tells of a trial's way beside its notices: every decision, and every request to the platform with its answer.
//!
//! Notices are for people and may be missed; an observer is told everything, in order, and told when it is kept.

use crate::store::{Change, TrialRow};
use std::fmt;
use ts_core::{Error, Timestamp, TrialId};

/// A request to the platform about one trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// To take the trial.
    Submit,
    /// To end it.
    Cancel,
    /// To give it further parameters, those of this index.
    SendParameters(u32),
}

impl Call {
    /// Stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Cancel => "cancel",
            Self::SendParameters(_) => "send_parameters",
        }
    }
}

/// Who is told. Called within the manager's loop, so nothing of it may wait.
pub trait Observer: fmt::Debug + Send {
    /// A trial of an earlier run of the manager goes on. Comes before any change of the trial.
    fn adopted(&mut self, trial: &TrialRow, at: Timestamp);
    /// The manager has decided this, in this order, and hands it to the store.
    fn decided(&mut self, changes: &[Change]);
    /// A request goes to the platform.
    fn asked(&mut self, call: Call, trial: &TrialId, at: Timestamp);
    /// The platform has answered it. The trial may have ended meanwhile.
    fn answered(&mut self, call: Call, trial: &TrialId, at: Timestamp, error: Option<&Error>);
    /// The store keeps all that was decided so far.
    fn kept(&mut self);
    /// What goes into a trial's environment as `TRACEPARENT`, if the trial is traced.
    fn traceparent(&self, trial: &TrialId) -> Option<String>;
}
