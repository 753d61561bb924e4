//! The contract between the trial loop and whatever makes hyper-parameters: a built-in algorithm or a process of its own.
//!
//! Everything that a source says comes out of [`ParameterSource::next`], in its own time; everything else only tells it something.

use async_trait::async_trait;
use std::{fmt::Debug, sync::Arc};
use ts_core::{Result, TrialId, TrialStatus};

/// Hyper-parameters for one trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Packed parameters, byte for byte what the trial will find in its parameter file.
    pub text: Arc<str>,
}

/// What a source says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceEvent {
    /// One of the proposals that were asked for.
    Proposal(Proposal),
    /// The rest of the proposals that were asked for will not come. A later request may be answered again by a source that learns
    /// from results; a finite source says the same each time.
    Exhausted,
    /// Further parameters of a running trial, which were asked for.
    Next {
        /// The trial.
        trial: TrialId,
        /// Their index, from 1.
        index: u32,
        /// Packed parameters, byte for byte what the trial will find; `None`: the source has no more.
        text: Option<Arc<str>>,
    },
    /// The source wants this trial to end early. May repeat for one trial.
    Cancel(TrialId),
}

/// A metric as a source or an assessor sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation<'a> {
    /// The trial that reported it.
    pub trial: &'a TrialId,
    /// Number of the trial within the experiment.
    pub sequence_id: u32,
    /// The packed parameters that it is of, as proposed: of a trial with several those that it names.
    pub parameters: &'a str,
    /// Whether this is the trial's result; otherwise it is an intermediate one.
    pub is_final: bool,
    /// Number of the intermediate result, from 0; 0 for a final one.
    pub sequence: u32,
    /// The metric's value: JSON text as the trial wrote it.
    pub value: &'a str,
    /// The number in it, if there is one: the value itself, or its `default`. May be infinite or not a number.
    pub number: Option<f64>,
}

/// A trial of an earlier run of the same experiment, with one set of parameters: further ones are told by entries of their own,
/// behind that of index 0.
#[derive(Debug, Clone, PartialEq)]
pub struct PastTrial {
    /// Its id.
    pub trial: TrialId,
    /// Its number within the experiment.
    pub sequence_id: u32,
    /// Index of the parameters; 0 for those that it began with.
    pub index: u32,
    /// The packed parameters, as proposed.
    pub parameters: Arc<str>,
    /// Last known status; a trial that has not ended may still report.
    pub status: TrialStatus,
    /// Value of the final result of these parameters: JSON text as the trial wrote it.
    pub final_value: Option<Arc<str>>,
    /// The number in it, as [`Observation::number`].
    pub final_number: Option<f64>,
}

/// A result from elsewhere: parameters and what came of them.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the form in which NNI imports and exports")]
pub struct ImportedResult {
    /// The parameters: an object, as a trial gets them.
    pub parameter: serde_json::Value,
    /// The result, or JSON text of it: what `nnictl experiment export` writes.
    pub value: serde_json::Value,
}

impl ImportedResult {
    /// The result as JSON text.
    pub fn text(&self) -> String {
        match &self.value {
            serde_json::Value::String(text) => text.clone(),
            value => value.to_string(),
        }
    }

    /// The number in it, if there is one: the value itself, or its `default`.
    pub fn number(&self) -> Option<f64> {
        let value: serde_json::Value = serde_json::from_str(&self.text()).ok()?;
        value.as_f64().or_else(|| value["default"].as_f64())
    }
}

/// Makes hyper-parameters.
///
/// The caller owns it alone and calls [`start`](Self::start) once, before anything else. Results are told before the end of their
/// trial. An error of any method means that the source is gone: a process that crashed, say.
#[async_trait]
pub trait ParameterSource: Send + Debug + 'static {
    /// The algorithm's name, as the configuration spells it.
    fn name(&self) -> &str;
    /// Begins, after the trials of earlier runs if there are any: ids and random state go on as if never interrupted.
    async fn start(&mut self, history: &[PastTrial]) -> Result<()>;
    /// Asks for `n` more proposals; they arrive on [`next`](Self::next).
    async fn request(&mut self, n: u32) -> Result<()>;
    /// Asks for further parameters of a running trial, those of `index`; they arrive on [`next`](Self::next). They are no trial:
    /// [`assigned`](Self::assigned) is not called for them.
    async fn request_next(&mut self, trial: &TrialId, index: u32) -> Result<()>;
    /// Tells that a trial with further parameters has ended, perhaps to be tried again: what was asked for it is not needed any
    /// more, and of `parameters`, all further ones that it was given, no more results come. Before [`ended`](Self::ended).
    async fn next_ended(&mut self, trial: &TrialId, status: TrialStatus, parameters: &[Arc<str>]) -> Result<()>;
    /// Tells which trial got which proposal.
    async fn assigned(&mut self, trial: &TrialId, parameters: &str) -> Result<()>;
    /// Tells a metric.
    async fn observe(&mut self, observation: Observation<'_>) -> Result<()>;
    /// Tells that a trial has ended, after all its metrics.
    async fn ended(&mut self, trial: &TrialId, status: TrialStatus, parameters: &str) -> Result<()>;
    /// Tells results from elsewhere. After a resume they are told again, behind [`start`](Self::start).
    async fn import(&mut self, results: &[ImportedResult]) -> Result<()>;
    /// Proposes from another space from now on; proposals that were asked for already may still be of the old one. What was
    /// learned is kept as far as it fits. After a resume the source is built with the new space.
    ///
    /// # Errors
    /// `Config` or `Unsupported`, with nothing changed, if the space is wrong or the source cannot do that.
    async fn update_search_space(&mut self, space: &serde_json::Value) -> Result<()>;
    /// The next thing that the source says; waits for ever while there is none.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the event comes again.
    async fn next(&mut self) -> Result<SourceEvent>;
    /// Ends whatever runs on the source's behalf; nothing else is called afterwards.
    async fn close(&mut self);
}
