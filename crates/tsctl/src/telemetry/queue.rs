//! The SDK's queue of spans and its exporter, each with a tally. The queue is bounded, and adding to it never waits.

use super::tally::Tally;
use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use std::{sync::Arc, time::Duration};

/// Spans that wait to be sent, at most as many as `OTEL_BSP_MAX_QUEUE_SIZE` says; others are dropped.
#[derive(Debug)]
pub(super) struct Queue {
    batch: BatchSpanProcessor,
    tally: Arc<Tally>,
}

impl Queue {
    /// Starts the thread that sends.
    pub(super) fn new(exporter: Counted, tally: Arc<Tally>) -> Self {
        Self {
            batch: BatchSpanProcessor::builder(exporter).build(),
            tally,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batch.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.tally.ended();
        self.batch.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batch.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batch.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.batch.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batch.set_resource(resource);
    }
}

/// The exporter, which is counted.
#[derive(Debug)]
pub(super) struct Counted {
    exporter: Otlp,
    tally: Arc<Tally>,
}

impl Counted {
    /// Counts what this one sends.
    pub(super) fn new(exporter: Otlp, tally: Arc<Tally>) -> Self {
        Self { exporter, tally }
    }
}

#[deny(clippy::missing_trait_methods)]
impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let n = batch.len();
        let sent = self.exporter.export(batch).await;
        match &sent {
            Ok(()) => self.tally.taken(n),
            Err(error) => self.tally.given_up(error),
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
