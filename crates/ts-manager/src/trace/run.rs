//! The span of one run of an experiment's manager, which the spans of its trials link to.

use super::{
    draft::{Draft, Events},
    ids, names,
};
use crate::store::ExperimentStatus;
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, Status},
};
use opentelemetry_sdk::trace::SpanLimits;
use ts_core::{ExperimentId, Timestamp, TrialStatus};

/// A run that has not ended.
#[derive(Debug)]
pub(super) struct Run {
    context: SpanContext,
    started: Timestamp,
    events: Events,
    n_ended: i64,
    n_failed: i64,
}

impl Run {
    /// A run of the experiment from now on.
    pub(super) fn new(experiment: &ExperimentId, started: Timestamp, is_sampled: bool) -> Self {
        let trace = ids::of_experiment(experiment);
        // Every run of the manager has one, so its start tells it from the others of its trace.
        let span = ids::begun(trace, names::EXPERIMENT, started, 0);
        Self {
            context: ids::context(trace, span, is_sampled),
            started,
            events: Events::default(),
            n_ended: 0,
            n_failed: 0,
        }
    }

    /// What others link to.
    pub(super) fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Notes a status that is no end.
    pub(super) fn status(&mut self, status: ExperimentStatus, at: Timestamp, limits: &SpanLimits) {
        let attributes = vec![KeyValue::new(names::STATUS, status.as_str())];
        self.events.add(limits, names::STATUS_EVENT, at, attributes);
    }

    /// Counts the end of a trial.
    pub(super) fn trial_ended(&mut self, status: TrialStatus) {
        self.n_ended += 1;
        self.n_failed += i64::from(status == TrialStatus::Failed);
    }

    /// The span, unless it is not sampled.
    ///
    /// The message of an error stays here: it may quote what trials wrote.
    pub(super) fn end(self, mut attributes: Vec<KeyValue>, status: ExperimentStatus, at: Timestamp) -> Option<Draft> {
        if !self.context.is_sampled() {
            return None;
        }
        attributes.push(KeyValue::new(names::STATUS, status.as_str()));
        attributes.push(KeyValue::new(names::TRIALS_ENDED, self.n_ended));
        attributes.push(KeyValue::new(names::TRIALS_FAILED, self.n_failed));
        let mut span = Draft::new(self.context, names::EXPERIMENT, self.started, at);
        span.events = self.events;
        if status == ExperimentStatus::Error {
            attributes.push(KeyValue::new(names::ERROR_TYPE, status.as_str()));
            span.status = Status::error(status.as_str());
        }
        span.attributes = attributes;
        Some(span)
    }
}
