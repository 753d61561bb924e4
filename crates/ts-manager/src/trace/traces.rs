//! Makes spans of what an observer is told, and hands them over once the store keeps what they tell.

use super::{
    draft::Draft,
    ids, names,
    run::Run,
    trial::{self, TrialTrace},
};
use crate::{
    observe::{Call, Observer},
    store::{Change, ExperimentStatus, TrialRow},
};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanKind, Status, TraceId},
};
use opentelemetry_sdk::trace::{Config, SamplingDecision, SpanData, SpanProcessor};
use std::{collections::HashMap, sync::Arc};
use ts_core::{Error, ExperimentId, Reason, Timestamp, TrialId, TrialStatus};

/// The traces of an experiment: one for each trial, and one of the experiment itself, which the others link to.
#[derive(Debug)]
pub struct Traces {
    config: Config,
    processor: Arc<dyn SpanProcessor>,
    scope: InstrumentationScope,
    experiment: ExperimentId,
    platform: &'static str,
    run: Option<Run>,
    /// Trials that are sampled and have not ended.
    trials: HashMap<TrialId, TrialTrace>,
    /// Requests without an answer: when they were made.
    calls: HashMap<(TrialId, Call), Timestamp>,
    /// Spans of what the store may not keep yet.
    finished: Vec<SpanData>,
}

impl Traces {
    /// Hands spans to `processor`, which must not wait. Of `config` sampler and limits count; ids are our own.
    pub fn new(
        config: Config,
        processor: Arc<dyn SpanProcessor>,
        experiment: ExperimentId,
        platform: &'static str,
    ) -> Self {
        Self {
            config,
            processor,
            scope: InstrumentationScope::builder(names::SCOPE)
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            experiment,
            platform,
            run: None,
            trials: HashMap::new(),
            calls: HashMap::new(),
            finished: Vec::new(),
        }
    }

    fn is_sampled(&self, trace: TraceId, name: &str) -> bool {
        let sampler = &self.config.sampler;
        let result = sampler.should_sample(None, trace, name, &SpanKind::Internal, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    /// The root span of a trial, which may be long gone.
    fn root_of(&self, trial: &TrialId) -> SpanContext {
        let trace = ids::of_trial(&self.experiment, trial);
        let is_sampled = self.is_sampled(trace, names::TRIAL);
        ids::context(trace, ids::only(trace, names::TRIAL), is_sampled)
    }

    /// What the spans of experiment and trials have in common.
    fn common(&self) -> Vec<KeyValue> {
        vec![
            KeyValue::new(names::EXPERIMENT_ID, self.experiment.to_string()),
            KeyValue::new(names::PLATFORM, self.platform),
        ]
    }

    /// A trace for a trial, if it is sampled.
    fn begin(
        &self,
        trial: &TrialId,
        sequence_id: u32,
        created: Timestamp,
        retry_of: Option<&TrialId>,
    ) -> Option<TrialTrace> {
        let root = self.root_of(trial);
        if !root.is_sampled() {
            return None;
        }
        let mut attributes = self.common();
        attributes.push(KeyValue::new(names::SEQUENCE_ID, i64::from(sequence_id)));
        attributes.extend(retry_of.map(|id| KeyValue::new(names::RETRY_OF, id.to_string())));
        let run = self.run.as_ref().map(|run| run.context().clone());
        let links = run.into_iter().chain(retry_of.map(|id| self.root_of(id))).collect();
        Some(TrialTrace::new(
            trial.clone(),
            root.trace_id(),
            created,
            attributes,
            links,
        ))
    }

    fn finish(&mut self, spans: impl IntoIterator<Item = Draft>) {
        let (limits, scope) = (&self.config.span_limits, &self.scope);
        self.finished
            .extend(spans.into_iter().map(|span| span.finish(limits, scope)));
    }

    fn trial_status(&mut self, trial: &TrialId, status: TrialStatus, why: Option<&Reason>, at: Timestamp) {
        if status.is_terminal() {
            if let Some(run) = &mut self.run {
                run.trial_ended(status);
            }
            self.leave_calls(trial, at);
            if let Some(ended) = self.trials.remove(trial) {
                self.finish(ended.end(status, why, at));
            }
        } else if let Some(live) = self.trials.get_mut(trial) {
            let part = live.status(status, why, at, &self.config.span_limits);
            self.finish(part);
        }
    }

    /// Ends the spans of requests whose answer nobody waits for once the trial has ended. That of its submit is waited for.
    fn leave_calls(&mut self, trial: &TrialId, at: Timestamp) {
        let is_left = |(id, call): &&(TrialId, Call)| id == trial && *call != Call::Submit;
        let left: Vec<_> = self.calls.keys().filter(is_left).map(|(_, call)| *call).collect();
        for call in left {
            self.answered(call, trial, at, None);
        }
    }

    fn experiment_status(&mut self, status: ExperimentStatus, at: Timestamp) {
        if status.is_ended() {
            let run = self.run.take();
            let span = run.and_then(|run| run.end(self.common(), status, at));
            self.finish(span);
        } else if let Some(run) = &mut self.run {
            run.status(status, at, &self.config.span_limits);
        } else {
            let is_sampled = self.is_sampled(ids::of_experiment(&self.experiment), names::EXPERIMENT);
            self.run = Some(Run::new(&self.experiment, at, is_sampled));
        }
    }
}

impl Observer for Traces {
    fn adopted(&mut self, row: &TrialRow, at: Timestamp) {
        let (id, number) = (&row.spec.id, row.spec.sequence_id);
        if let Some(mut trial) = self.begin(id, number, row.created_at, row.retry_of.as_ref()) {
            trial.resume(row, at, &self.config.span_limits);
            self.trials.insert(id.clone(), trial);
        }
    }

    fn decided(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::TrialCreated { spec, at, retry_of } => {
                    if let Some(trial) = self.begin(&spec.id, spec.sequence_id, *at, retry_of.as_ref()) {
                        self.trials.insert(spec.id.clone(), trial);
                    }
                }
                Change::TrialStatus {
                    trial,
                    at,
                    status,
                    reason,
                } => self.trial_status(trial, *status, reason.as_ref(), *at),
                Change::CancelRequested { trial, at, reason } => {
                    if let Some(live) = self.trials.get_mut(trial) {
                        live.cancel_requested(*reason, *at, &self.config.span_limits);
                    }
                }
                Change::Metric { trial, .. } => {
                    if let Some(live) = self.trials.get_mut(trial) {
                        live.metric();
                    }
                }
                Change::ExperimentStatus { status, at, .. } => self.experiment_status(*status, *at),
                _ => {}
            }
        }
    }

    fn asked(&mut self, call: Call, trial: &TrialId, at: Timestamp) {
        if self.trials.contains_key(trial) {
            self.calls.insert((trial.clone(), call), at);
        }
    }

    fn answered(&mut self, call: Call, trial: &TrialId, at: Timestamp, error: Option<&Error>) {
        let Some(asked) = self.calls.remove(&(trial.clone(), call)) else {
            return;
        };
        let root = self.root_of(trial);
        let trace = root.trace_id();
        let number = match call {
            Call::SendParameters(index) => index,
            Call::Submit | Call::Cancel => 0,
        };
        let context = ids::context(trace, ids::begun(trace, call.as_str(), asked, number), true);
        let mut span = Draft::new(context, call.as_str(), asked, at);
        span.parent = root.span_id();
        span.kind = SpanKind::Client;
        span.attributes = vec![trial::id(trial), KeyValue::new(names::PLATFORM, self.platform)];
        if number > 0 {
            span.attributes
                .push(KeyValue::new(names::PARAMETERS_INDEX, i64::from(number)));
        }
        if let Some(error) = error {
            span.attributes
                .push(KeyValue::new(names::ERROR_TYPE, format!("{:?}", error.kind())));
            span.status = Status::error(error.message().to_owned());
        }
        self.finish([span]);
    }

    fn kept(&mut self) {
        for span in self.finished.drain(..) {
            self.processor.on_end(span);
        }
    }

    fn traceparent(&self, trial: &TrialId) -> Option<String> {
        Some(ids::traceparent(&self.root_of(trial)))
    }
}
