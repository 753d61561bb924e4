//! Traces as a collector gets them, from whole processes that are killed, and collectors that are no help.

use crate::lab::{Lab, in_status, processes_of, wait};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, Status, span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message as _;
use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Read as _,
    sync::{Arc, Mutex},
};
use tokio::runtime::Runtime;
use ts_testkit::http_server::Serving;

const TOKEN: &str = "s3cret";

/// What a collector does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Takes,
    IsBusy,
    NeverAnswers,
}

#[derive(Debug)]
struct Shelf {
    manner: Manner,
    /// Requests, their bodies unpacked.
    bodies: Mutex<Vec<Vec<u8>>>,
}

/// A collector that takes OTLP over HTTP from those who show the token, and is as strict as OpenTelemetry's own.
struct Collector {
    shelf: Arc<Shelf>,
    serving: Serving,
    _runtime: Runtime,
}

impl Collector {
    fn new(manner: Manner) -> Self {
        let shelf = Arc::new(Shelf {
            manner,
            bodies: Mutex::default(),
        });
        let app = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&shelf));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        Self {
            serving: runtime.block_on(Serving::start(app)),
            shelf,
            _runtime: runtime,
        }
    }

    /// The variables that make `tsctl` send here, soon.
    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", self.serving.address),
            ),
            ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{TOKEN}")),
            ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
        ]
    }

    fn n_requests(&self) -> usize {
        self.shelf.bodies.lock().expect("no panic").len()
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let bodies = self.shelf.bodies.lock().expect("no panic");
        let decoded = bodies.iter().map(|body| ExportTraceServiceRequest::decode(&**body));
        decoded.map(|request| request.expect("it was checked")).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    fn named(&self, name: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.name == name);
        spans
    }
}

/// Source: OpenTelemetry Protocol specification 1.9, "OTLP/HTTP Request" and "OTLP/HTTP Response".
async fn take(State(shelf): State<Arc<Shelf>>, headers: HeaderMap, body: Bytes) -> Response {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|own| own == value);
    if !is("authorization", &format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if !is("content-type", "application/x-protobuf") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let mut plain = body.to_vec();
    if is("content-encoding", "gzip") {
        plain.clear();
        if flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).is_err() {
            return StatusCode::BAD_REQUEST.into_response();
        }
    }
    if ExportTraceServiceRequest::decode(&*plain).is_err() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    shelf.bodies.lock().expect("no panic").push(plain);
    match shelf.manner {
        Manner::Takes => {
            let answer = ExportTraceServiceResponse::default().encode_to_vec();
            ([("content-type", "application/x-protobuf")], answer).into_response()
        }
        Manner::IsBusy => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Manner::NeverAnswers => std::future::pending().await,
    }
}

fn text(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|one| one.key == name);
    let value = found.and_then(|one| one.value.as_ref()?.value.as_ref());
    match value {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes it");
        text
    })
}

const SCRIPT: &str = "echo \"$NNI_TRIAL_JOB_ID $TRACEPARENT\" >>\"$LAB/started\"\nreport PERIODICAL 0 1\nwait_for gate\n\
                      echo hunter2 >&2\n[ \"$NNI_TRIAL_SEQ_ID\" != 1 ] || exit 7\nreport FINAL 0 3";

#[test]
fn traces_reach_the_collector_and_go_on_after_a_kill() {
    let (lab, collector) = (Lab::new(), Collector::new(Manner::Takes));
    lab.config(3, SCRIPT, "");
    let run = lab.start_with(&["run", "config.yml"], &collector.variables());
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    wait("the spans of two trials that wait no more", || {
        let is_there = |name| collector.named(name).len() == 2;
        (is_there("waiting") && is_there("submit")).then_some(())
    });
    run.signal(Signal::KILL);
    assert_eq!(run.end().code, None, "killed by a signal");
    assert!(collector.named("trial").is_empty());
    lab.open("gate");
    let id = lab.experiment().expect("stored")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    wait("the end of the orphans", || processes_of(&id).is_empty().then_some(()));
    let mut variables = collector.variables();
    variables.push(("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned()));
    let resumed = lab.start_with(&["resume", &id], &variables).end().exits(0);
    assert!(!resumed.stderr.contains("spans"), "{resumed:#?}");

    let roots = collector.named("trial");
    assert_eq!(roots.len(), 3, "{roots:#?}");
    let experiments = collector.named("experiment");
    assert_eq!(experiments.len(), 1, "{experiments:#?}");
    let started: BTreeSet<_> = lab.lines("started").into_iter().collect();
    for root in &roots {
        let (trace, span) = (hex(&root.trace_id), hex(&root.span_id));
        let trial = text(&root.attributes, "ts.trial.id");
        let line = format!("{trial} 00-{trace}-{span}-01");
        assert!(started.contains(&line), "{line} is not among {started:?}");
        let parts: Vec<_> = collector
            .spans()
            .into_iter()
            .filter(|part| part.trace_id == root.trace_id && part.span_id != root.span_id)
            .collect();
        for name in ["waiting", "submit"] {
            assert_eq!(
                parts.iter().filter(|part| part.name == name).count(),
                1,
                "{trial} {name}"
            );
        }
        for part in &parts {
            assert_eq!(part.parent_span_id, root.span_id, "{part:?}");
            assert!(
                root.start_time_unix_nano <= part.start_time_unix_nano
                    && part.start_time_unix_nano <= part.end_time_unix_nano,
                "{root:?} {part:?}"
            );
            let kind = if part.name == "submit" {
                SpanKind::Client
            } else {
                SpanKind::Internal
            };
            assert_eq!(part.kind(), kind, "{part:?}");
        }
        assert_eq!(text(&root.attributes, "ts.platform"), "local");
        assert_eq!(text(&root.attributes, "ts.experiment.id"), id);
        let fails = text(&root.attributes, "ts.trial.sequence_id") == "1";
        assert_eq!(
            text(&root.attributes, "ts.trial.metrics"),
            if fails { "1" } else { "2" }
        );
        let status = root.status.as_ref().map_or(SpanStatus::Unset, Status::code);
        let (expected, reason) = if fails {
            (SpanStatus::Error, "ExitCode")
        } else {
            (SpanStatus::Unset, "")
        };
        assert_eq!(
            (status, text(&root.attributes, "ts.reason").as_str()),
            (expected, reason)
        );
    }
    for request in collector.requests() {
        let resource = request.resource_spans[0].resource.as_ref().expect("a resource");
        assert_eq!(text(&resource.attributes, "service.name"), "tsctl");
    }
    let all = format!("{:?}", collector.requests());
    for kept_back in ["hunter2", TOKEN, "trial.sh", "parameter"] {
        assert!(!all.contains(kept_back), "{kept_back}: {all}");
    }
}

#[test]
fn a_collector_that_is_no_help_changes_nothing_and_what_is_lost_is_counted() {
    for (manner, why) in [
        (Some(Manner::IsBusy), "answered 503"),
        (Some(Manner::NeverAnswers), ""),
        (None, "gave no answer"),
    ] {
        let lab = Lab::new();
        lab.config(2, "report FINAL 0 1", "");
        let collector = Collector::new(manner.unwrap_or(Manner::Takes));
        let mut variables = collector.variables();
        if manner.is_none() {
            // Port 1 is nobody's.
            variables[0].1 = "http://127.0.0.1:1".to_owned();
        }
        let ran = lab.start_with(&["run", "config.yml"], &variables).end().exits(0);
        assert_eq!(in_status(&lab.trials(), "SUCCEEDED"), 2, "{manner:?}");
        let lines: Vec<_> = ran
            .stderr
            .lines()
            .filter(|line| line.contains("did not reach"))
            .collect();
        assert_eq!(lines.len(), 1, "{manner:?}: {ran:#?}");
        let (lost, rest) = lines[0].split_once(" of ").expect("lost of all");
        let all = rest.split_once(' ').expect("a number").0;
        assert!(
            lost.ends_with(all) && all.parse::<u32>().is_ok_and(|n| n > 2),
            "{}",
            lines[0]
        );
        assert!(lines[0].contains(why), "{manner:?}: {}", lines[0]);
        assert!(!ran.stderr.contains(TOKEN), "{ran:#?}");
    }
}

#[test]
fn no_traces_are_made_where_the_user_wants_none() {
    for (name, value, end) in [
        ("OTEL_SDK_DISABLED", "true", ""),
        ("OTEL_TRACES_EXPORTER", "none", ""),
        ("OTEL_TRACES_SAMPLER", "always_off", "-00"),
    ] {
        let (lab, collector) = (Lab::new(), Collector::new(Manner::Takes));
        lab.config(
            1,
            "echo \"TRACEPARENT=$TRACEPARENT\" >>\"$LAB/started\"\nreport FINAL 0 1",
            "",
        );
        let mut variables = collector.variables();
        variables.push((name, value.to_owned()));
        lab.start_with(&["run", "config.yml"], &variables).end().exits(0);
        assert_eq!(collector.n_requests(), 0, "{name}");
        let line = lab.lines("started").remove(0);
        match end {
            "" => assert_eq!(line, "TRACEPARENT=", "{name}"),
            end => assert!(line.ends_with(end), "{name}: {line}"),
        }
    }
}

#[test]
fn a_wrong_address_is_told_and_the_experiment_runs() {
    let lab = Lab::new();
    lab.config(1, "report FINAL 0 1", "");
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://bad host".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
    ];
    let ran = lab.start_with(&["run", "config.yml"], &variables).end().exits(0);
    assert!(ran.stderr.contains("no traces are sent"), "{ran:#?}");
    assert!(ran.stderr.contains("not by `grpc`"), "{ran:#?}");
}
