//! Traces by OpenTelemetry's protocol over HTTP, sent if and only if the environment names a collector.
//!
//! A thread of its own sends them; a collector that is slow or away costs the experiment nothing, and what it does not take is counted.

mod client;
mod queue;
mod tally;

use crate::{environment, load::Assembly, output::Output, session::Signals};
use client::Client;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, SpanExporter, WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, SdkProvidedResourceDetector, TelemetryResourceDetector},
    trace::{Config, SpanProcessor},
};
use queue::{Counted, Queue};
use std::{sync::Arc, time::Duration};
use tally::Tally;
use ts_core::{Error, ErrorKind, ExperimentId, Result, TaskScope, Warning};
use ts_manager::{Observer, trace::Traces};

/// How long the end of an experiment waits for spans that are on their way.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for users who leave at once.
const HASTE: Duration = Duration::from_millis(200);

/// The way to the collector, for the traces of one experiment.
#[derive(Debug)]
pub(crate) struct Telemetry {
    queue: Arc<Queue>,
    tally: Arc<Tally>,
    experiment: ExperimentId,
    platform: &'static str,
}

/// Source: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter". Unlike there,
/// nobody is contacted who is not named.
fn is_wanted(read: impl Fn(&str) -> Option<String>) -> bool {
    let is_disabled = read("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_other = read("OTEL_TRACES_EXPORTER").is_some_and(|name| name.trim() == "none");
    let names_one = [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT]
        .into_iter()
        .any(|name| read(name).is_some());
    names_one && !is_disabled && !is_other
}

impl Telemetry {
    /// The way to the collector, if the environment names one. What is wrong with it is said, and the experiment goes without.
    pub(crate) fn start(output: &Output, assembly: &Assembly) -> Option<Self> {
        if !is_wanted(environment::text) {
            return None;
        }
        let asked = [OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL];
        let protocol = asked.into_iter().find_map(environment::text);
        if let Some(other) = protocol.filter(|name| name != OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF) {
            let text = format!("traces are sent by `{OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF}`, not by `{other}`");
            output.warning(&Warning::new(text).with_key(OTEL_EXPORTER_OTLP_PROTOCOL));
        }
        Self::new(assembly.spec.id.clone(), assembly.service.platform())
            .inspect_err(|error| {
                let warning = Warning::new(format!("no traces are sent: {error}"));
                output.warning(&warning.with_key(OTEL_EXPORTER_OTLP_ENDPOINT));
            })
            .ok()
    }

    fn new(experiment: ExperimentId, platform: &'static str) -> Result<Self> {
        let tally = Arc::new(Tally::default());
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(Arc::clone(&tally))?)
            .build()
            .map_err(|e| Error::new(ErrorKind::Config, e.to_string()))?;
        let mut queue = Queue::new(Counted::new(exporter, Arc::clone(&tally)), Arc::clone(&tally));
        queue.set_resource(&resource());
        Ok(Self {
            queue: Arc::new(queue),
            tally,
            experiment,
            platform,
        })
    }

    /// Makes the traces.
    pub(crate) fn observer(&self) -> Box<dyn Observer> {
        let queue: Arc<dyn SpanProcessor> = Arc::clone(&self.queue) as _;
        let traces = Traces::new(Config::default(), queue, self.experiment.clone(), self.platform);
        Box::new(traces)
    }

    /// Sends what is left, as long as there is patience and no signal comes, and says what was lost. `in_haste`: the user leaves at once.
    pub(crate) async fn finish(self, output: &Output, tasks: &TaskScope, in_haste: bool) {
        let patience = if in_haste { HASTE } else { PATIENCE };
        let queue = Arc::clone(&self.queue);
        let sent = tasks.blocking(move || queue.shutdown_with_timeout(patience));
        let signal = async {
            match Signals::listen() {
                Ok(mut signals) => signals.next().await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            sent = sent => if let Err(error) = sent {
                tracing::debug!(%error, "the traces are not all sent");
            },
            () = signal => {}
        }
        if let Some(text) = self.tally.lost() {
            output
                .warning(&Warning::new(text).with_help("the experiment itself is complete: its store has everything"));
        }
    }
}

/// Who sends the spans: what the user says in the environment goes before what we say.
fn resource() -> Resource {
    const SERVICE_NAME: &str = "service.name";
    let builder = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
            Box::new(SdkProvidedResourceDetector),
        ]);
    let detected = builder.build();
    let name = detected.get(&Key::from_static_str(SERVICE_NAME));
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let all = detected
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let builder = Resource::builder_empty().with_attributes(all);
    if is_named {
        builder.build()
    } else {
        builder.with_service_name("tsctl").build()
    }
}

#[cfg(test)]
mod tests {
    use super::is_wanted;

    #[test]
    fn nobody_is_contacted_who_is_not_named() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for (variables, expected) in [
            (&[][..], false),
            (&[("OTEL_SDK_DISABLED", "false")], false),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], false),
            (&[endpoint], true),
            (
                &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")],
                true,
            ),
            (
                &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://collector:4318")],
                false,
            ),
            (&[endpoint, ("OTEL_SDK_DISABLED", "false")], true),
            (&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")], false),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "none")], false),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "otlp")], true),
        ] {
            let read = |name: &str| {
                let found = variables.iter().find(|(own, _)| *own == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(is_wanted(read), expected, "{variables:?}");
        }
    }
}
