//! The trace of one trial that has not ended: which part of its way it is on, and the spans that each step of it gives.

use super::{
    draft::{Draft, Events},
    ids, names,
};
use crate::store::TrialRow;
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanId, Status, TraceId},
};
use opentelemetry_sdk::trace::SpanLimits;
use ts_core::{CancelReason, Reason, Timestamp, TrialId, TrialStatus};

/// A trial under way.
#[derive(Debug)]
pub(super) struct TrialTrace {
    id: TrialId,
    trace: TraceId,
    created: Timestamp,
    attributes: Vec<KeyValue>,
    links: Vec<SpanContext>,
    events: Events,
    is_running: bool,
    /// When it began to wait or to run.
    since: Timestamp,
    events_since: Events,
    /// What was told of it last.
    told: (TrialStatus, Option<Reason>),
    cancel: Option<CancelReason>,
    n_metrics: u64,
}

impl TrialTrace {
    /// A trial that waits from its creation on. `attributes`: what its root span says beside its id.
    pub(super) fn new(
        id: TrialId,
        trace: TraceId,
        created: Timestamp,
        attributes: Vec<KeyValue>,
        links: Vec<SpanContext>,
    ) -> Self {
        Self {
            id,
            trace,
            created,
            attributes,
            links,
            events: Events::default(),
            is_running: false,
            since: created,
            events_since: Events::default(),
            told: (TrialStatus::Waiting, None),
            cancel: None,
            n_metrics: 0,
        }
    }

    /// Takes over what the store holds of it from an earlier run of the manager.
    pub(super) fn resume(&mut self, row: &TrialRow, at: Timestamp, limits: &SpanLimits) {
        if let Some(started) = row.started_at {
            self.is_running = true;
            self.since = started.max(self.created);
        }
        self.told = (row.status, row.reason.clone());
        self.cancel = row.cancel_requested;
        self.n_metrics = row.n_metrics;
        self.events.add(limits, names::RESUMED_EVENT, at, Vec::new());
    }

    /// The root span.
    pub(super) fn root(&self) -> SpanId {
        ids::only(self.trace, names::TRIAL)
    }

    /// Counts a metric.
    pub(super) fn metric(&mut self) {
        self.n_metrics += 1;
    }

    /// Notes a request to end it.
    pub(super) fn cancel_requested(&mut self, why: CancelReason, at: Timestamp, limits: &SpanLimits) {
        self.cancel.get_or_insert(why);
        let attributes = vec![KeyValue::new(names::CANCEL_REASON, why.as_str())];
        self.events.add(limits, names::CANCEL_EVENT, at, attributes);
    }

    /// Notes a status that is no end; gives the span of the part that it ends, if it ends one.
    pub(super) fn status(
        &mut self,
        status: TrialStatus,
        why: Option<&Reason>,
        at: Timestamp,
        limits: &SpanLimits,
    ) -> Option<Draft> {
        let is_same = self.told.0 == status && same_reason(self.told.1.as_ref(), why);
        self.told = (status, why.cloned());
        if status == TrialStatus::Running && !self.is_running {
            let waited = self.part(at);
            self.is_running = true;
            self.since = at.max(self.since);
            return Some(waited);
        }
        if !is_same {
            let mut attributes = vec![KeyValue::new(names::STATUS, status.as_str())];
            if let Some(why) = why {
                attributes.push(KeyValue::new(names::REASON, why.code.as_str()));
                attributes.push(KeyValue::new(names::REASON_MESSAGE, why.message.clone()));
            }
            self.events_since.add(limits, names::STATUS_EVENT, at, attributes);
        }
        None
    }

    /// The spans of its end: of the part that it was on, and of the whole.
    ///
    /// The message of the reason stays here: it may quote what the trial wrote.
    pub(super) fn end(mut self, status: TrialStatus, why: Option<&Reason>, at: Timestamp) -> [Draft; 2] {
        let part = self.part(at);
        let context = ids::context(self.trace, self.root(), true);
        let mut root = Draft::new(context, names::TRIAL, self.created, part.end);
        root.attributes.push(id(&self.id));
        root.attributes.extend(self.attributes);
        root.links = self.links;
        root.events = self.events;
        let attributes = &mut root.attributes;
        attributes.push(KeyValue::new(names::STATUS, status.as_str()));
        attributes.push(KeyValue::new(
            names::METRICS,
            i64::try_from(self.n_metrics).unwrap_or(i64::MAX),
        ));
        if let Some(asked) = self.cancel {
            attributes.push(KeyValue::new(names::CANCEL_REASON, asked.as_str()));
        }
        let code = why.map(|why| why.code);
        if let Some(code) = code {
            attributes.push(KeyValue::new(names::REASON, code.as_str()));
        }
        if let Some(verdict) = code.and_then(ts_core::ReasonCode::verdict) {
            attributes.push(KeyValue::new(names::VERDICT, verdict.as_str()));
        }
        if matches!(status, TrialStatus::Failed | TrialStatus::SysCanceled) {
            let what = code.map_or(status.as_str(), ts_core::ReasonCode::as_str);
            attributes.push(KeyValue::new(names::ERROR_TYPE, what));
            root.status = Status::error(what);
        }
        [part, root]
    }

    fn part(&mut self, end: Timestamp) -> Draft {
        let name = if self.is_running {
            names::RUNNING
        } else {
            names::WAITING
        };
        let context = ids::context(self.trace, ids::only(self.trace, name), true);
        let mut part = Draft::new(context, name, self.since, end);
        part.parent = self.root();
        part.attributes.push(id(&self.id));
        part.events = std::mem::take(&mut self.events_since);
        part
    }
}

/// What every span of a trial says.
pub(super) fn id(trial: &TrialId) -> KeyValue {
    KeyValue::new(names::TRIAL_ID, trial.to_string())
}

fn same_reason(one: Option<&Reason>, other: Option<&Reason>) -> bool {
    let said = |reason: Option<&Reason>| reason.map(|reason| (reason.code, reason.message.clone()));
    said(one) == said(other)
}
