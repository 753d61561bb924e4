//! The contract between the trial loop and an early stopping rule.

use std::fmt::Debug;
use ts_core::{TrialId, TrialStatus};

/// What an assessor thinks of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgment {
    /// Let it run.
    Good,
    /// Ask it to end.
    Bad,
}

/// Judges trials by their intermediate results.
///
/// Its state is what it was told: after a resume, tell it the stored results and ends again, in any order of trials.
pub trait Assessor: Debug + Send + 'static {
    /// The rule's name, as the configuration spells it.
    fn name(&self) -> &str;
    /// Tells intermediate result `sequence` (from 0) of a trial, and asks for a judgment. `None` is a result without a number.
    ///
    /// Results may come out of order or twice; a trial is judged by those before the first gap.
    fn intermediate(&mut self, trial: &TrialId, sequence: u32, number: Option<f64>) -> Judgment;
    /// Tells that a trial has ended, after all its results.
    fn ended(&mut self, trial: &TrialId, status: TrialStatus);
}
