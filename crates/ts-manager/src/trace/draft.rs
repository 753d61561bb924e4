//! A span that has ended, before it is in the form of OpenTelemetry's SDK; and events while it has not.

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLimits, SpanLinks};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ts_core::Timestamp;

/// The time as the SDK has it; what was before 1970 counts as then.
fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

/// Events of a span that has not ended, not more than are allowed.
#[derive(Debug, Default)]
pub(super) struct Events {
    list: Vec<Event>,
    n_dropped: u32,
}

impl Events {
    /// Adds one, if there is room.
    pub(super) fn add(&mut self, limits: &SpanLimits, name: &'static str, at: Timestamp, attributes: Vec<KeyValue>) {
        if self.list.len() < limits.max_events_per_span as usize {
            let (attributes, n_dropped) = limited(attributes, limits.max_attributes_per_event);
            self.list.push(Event::new(name, system_time(at), attributes, n_dropped));
        } else {
            self.n_dropped = self.n_dropped.saturating_add(1);
        }
    }
}

/// A span that has ended.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) context: SpanContext,
    /// The span that it is a part of; `SpanId::INVALID` for a root.
    pub(super) parent: SpanId,
    pub(super) kind: SpanKind,
    pub(super) name: &'static str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) events: Events,
    pub(super) links: Vec<SpanContext>,
    pub(super) status: Status,
}

impl Draft {
    /// Such a span without anything more.
    pub(super) fn new(context: SpanContext, name: &'static str, start: Timestamp, end: Timestamp) -> Self {
        Self {
            context,
            parent: SpanId::INVALID,
            kind: SpanKind::Internal,
            name,
            start,
            // Clocks of machines differ; no span ends before it starts.
            end: end.max(start),
            attributes: Vec::new(),
            events: Events::default(),
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    /// The span within the user's limits, of which the SDK counts what is left out.
    pub(super) fn finish(self, limits: &SpanLimits, scope: &InstrumentationScope) -> SpanData {
        let (attributes, dropped_attributes_count) = limited(self.attributes, limits.max_attributes_per_span);
        let mut events = SpanEvents::default();
        events.events = self.events.list;
        events.dropped_count = self.events.n_dropped;
        let mut links = SpanLinks::default();
        (links.links, links.dropped_count) = limited(
            self.links.into_iter().map(Link::with_context).collect(),
            limits.max_links_per_span,
        );
        SpanData {
            span_context: self.context,
            parent_span_id: self.parent,
            parent_span_is_remote: false,
            span_kind: self.kind,
            name: self.name.into(),
            start_time: system_time(self.start),
            end_time: system_time(self.end),
            attributes,
            dropped_attributes_count,
            events,
            links,
            status: self.status,
            instrumentation_scope: scope.clone(),
        }
    }
}

/// The first `most` of a list, and how many others there were.
fn limited<T>(mut list: Vec<T>, most: u32) -> (Vec<T>, u32) {
    let n_more = list.len().saturating_sub(most as usize);
    list.truncate(most as usize);
    (list, u32::try_from(n_more).unwrap_or(u32::MAX))
}
