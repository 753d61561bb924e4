//! How long the HTTP API takes for the lists that NNI's page asks for, over 10,000 trials with 100 metrics each, and until whoever
//! listens to events hears of a metric.
//!
//! ```text
//! cargo run --release -p ts-manager --features rest --example rest_speed [TRIALS [METRICS]]
//! ```
//!
//! Prints a JSON object with each route: the median of nine requests over the loopback interface, from the request to the last byte,
//! and how many bytes came; with `events`: the median and the longest of 200 times from the report of a trial to the listener.

use serde_json::json;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};
use tokio::sync::{broadcast, mpsc};
use ts_core::{
    Clock, CodeDirectory, Ctx, Error, ErrorKind, ExperimentId, ExperimentSpec, JournalCursor, Parameters, Result,
    Timestamp, TrialId, TrialSpec, TrialStatus,
};
use ts_manager::{
    ExperimentDirectory, Manager, ManagerHandle, Notice, Parts, RetryRules,
    control::Request,
    rest::{Api, Listen, OverSocket, Port, serve},
    source::{self, AlgorithmSpec},
    store::{Change, Limits, MetricKind, MetricPlace, NewExperiment, Optimize, Store},
};
use ts_testkit::memory::{MemoryCluster, MemoryService};

/// What is asked.
const ROUTES: [&str; 7] = [
    "/api/v1/nni/trial-jobs",
    "/api/v1/nni/metric-data-latest",
    "/api/v1/nni/metric-data-range/100/119",
    "/api/v1/nni/job-statistics",
    "/api/v2/trials?limit=100",
    "/api/v2/trials?limit=10000&fields=summary",
    "/api/v2/metrics?limit=100",
];

#[tokio::main]
async fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|n| n.parse::<u32>().ok());
    let (n_trials, n_metrics) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(100));
    let dir = std::env::temp_dir().join(format!("ts-rest-speed-{}", std::process::id()));
    let directory = ExperimentDirectory::at(&dir);
    directory.create()?;
    let ctx = Ctx::new(&dir);
    fill(&directory, &ctx, n_trials, n_metrics).await?;
    let port = Port::bind(&Listen::on_port(0))?;
    let at = port.address();
    let api = Api {
        commands: Arc::new(OverSocket::new(directory.clone(), ctx.tasks.clone())),
        ctx: ctx.clone(),
        directory,
        optimize: Optimize::Maximize,
        assets: None,
        trial_channel: false,
    };
    let served = serve(port, api)?;
    let mut report = json!({});
    for route in ROUTES {
        let mut times = Vec::new();
        let mut n_bytes = 0;
        for _ in 0..9 {
            let began = ctx.clock.monotonic();
            n_bytes = ctx.tasks.blocking(move || get(at, route)).await;
            times.push(ctx.clock.monotonic().saturating_sub(began));
        }
        times.sort();
        report[route] = json!({ "milliseconds": times[4].as_secs_f64() * 1e3, "bytes": n_bytes });
    }
    report["events"] = events(&dir.join("live")).await?;
    say(&report);
    drop(served);
    ctx.tasks.close().await;
    std::fs::remove_dir_all(&dir).map_err(|e| ts_core::Error::io("remove", &dir, e))
}

/// Reports metrics of a trial that runs and waits, and times how they are heard of.
async fn events(dir: &std::path::Path) -> Result<serde_json::Value> {
    let ctx = Ctx::new(dir);
    let directory = ExperimentDirectory::at(dir);
    directory.create()?;
    let id = ExperimentId::new("live")?;
    let new = NewExperiment::new(id.clone(), Timestamp(0), "", Limits::new(1));
    let store = Store::create(&directory.store(), &new, Arc::clone(&ctx.clock))?;
    let cluster = MemoryCluster::new(Arc::clone(&ctx.clock));
    let space = json!({"x": {"_type": "uniform", "_value": [0, 1]}});
    let manager = Manager::new(Parts {
        service: Arc::new(MemoryService::new(&cluster, id.clone(), &ctx)),
        ctx: ctx.clone(),
        spec: ExperimentSpec::new(id, CodeDirectory::new(directory.log()), "wait"),
        source: source::build(&AlgorithmSpec::named("tuner", "Random", 7), &space, &mut Vec::new())?,
        assessor: None,
        store,
        retry: RetryRules::default(),
        max_trial_duration: None,
        optimize: Optimize::Maximize,
        requests: Vec::new(),
    });
    let handle = manager.handle();
    let notices = handle.notices();
    let port = Port::bind(&Listen::on_port(0))?;
    let at = port.address();
    let api = Api {
        commands: Arc::new(handle.clone()),
        ctx: ctx.clone(),
        directory,
        optimize: Optimize::Maximize,
        assets: None,
        trial_channel: false,
    };
    let served = serve(port, api)?;
    let times = tokio::select! {
        times = times(&handle, notices, at, &*ctx.clock) => times?,
        outcome = Box::pin(manager.run()) => {
            outcome?;
            return Err(Error::new(ErrorKind::Internal, "the experiment ended by itself"));
        }
    };
    drop(served);
    ctx.tasks.close().await;
    Ok(json!({ "milliseconds": times[times.len() / 2], "longest": times[times.len() - 1] }))
}

/// Times in milliseconds, the shortest first.
async fn times(
    handle: &ManagerHandle,
    mut notices: broadcast::Receiver<Notice>,
    at: SocketAddr,
    clock: &dyn Clock,
) -> Result<Vec<f64>> {
    let trial = loop {
        if let Ok(Notice::Trial {
            trial,
            status: TrialStatus::Running,
            ..
        }) = notices.recv().await
        {
            break trial;
        }
    };
    let (heard, mut hearing) = mpsc::unbounded_channel();
    std::thread::spawn(move || listen(at, &heard));
    // The first event of all, so that the listener is there.
    hearing.recv().await;
    let mut times = Vec::new();
    for sequence in 0..200 {
        let body = format!(r#"{{"parameter_id": 0, "type": "PERIODICAL", "sequence": {sequence}, "value": "0.5"}}"#);
        let began = clock.monotonic();
        handle
            .ask(Request::Report {
                trial: trial.clone(),
                bodies: vec![body],
            })
            .await?;
        hearing.recv().await;
        times.push(clock.monotonic().saturating_sub(began).as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Sends a word for the first event and for each that tells of a metric.
fn listen(at: SocketAddr, heard: &mpsc::UnboundedSender<()>) {
    let Ok(mut socket) = TcpStream::connect(at) else { return };
    if write!(socket, "GET /api/v2/events HTTP/1.1\r\nHost: {at}\r\n\r\n").is_err() {
        return;
    }
    let mut is_first = true;
    for line in BufReader::new(socket).lines().map_while(std::io::Result::ok) {
        let is_event = line == "event: metric" || (is_first && line.starts_with("event: "));
        is_first &= !is_event;
        if is_event && heard.send(()).is_err() {
            return;
        }
    }
}

#[expect(clippy::disallowed_macros, reason = "an example prints")]
fn say(report: &serde_json::Value) {
    println!("{report}");
}

/// Bytes of the reply; 0 if there was none.
fn get(at: SocketAddr, path: &str) -> usize {
    let mut reply = Vec::new();
    let asked = TcpStream::connect(at).and_then(|mut socket| {
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")?;
        socket.read_to_end(&mut reply)
    });
    match asked {
        Ok(n) if reply.starts_with(b"HTTP/1.1 200") => n,
        _ => 0,
    }
}

async fn fill(directory: &ExperimentDirectory, ctx: &Ctx, n_trials: u32, n_metrics: u32) -> Result<()> {
    let id = ExperimentId::new("speed")?;
    let new = NewExperiment::new(id.clone(), Timestamp(0), "", Limits::new(8));
    let store = Store::create(&directory.store(), &new, Arc::clone(&ctx.clock))?;
    let spec = ExperimentSpec::new(id, CodeDirectory::new("/code"), "./train");
    let mut changes = Vec::new();
    for n in 0..n_trials {
        let id = TrialId::new(&format!("t{n}"))?;
        let text = format!(
            r#"{{"parameter_id": {n}, "parameter_source": "algorithm", "parameters": {{"lr": 0.0{n}, "units": 32}}, "parameter_index": 0}}"#
        );
        let trial = TrialSpec::new(&spec, id.clone(), n, Parameters::new(text));
        changes.push(Change::created(trial, Timestamp(1)));
        for seq in 1..=n_metrics {
            let is_last = seq == n_metrics;
            changes.push(Change::Metric {
                trial: id.clone(),
                at: Timestamp(2),
                place: MetricPlace::Journal(JournalCursor {
                    base: 0,
                    offset: u64::from(seq) * 100,
                    check: 0,
                }),
                kind: if is_last {
                    MetricKind::Final
                } else {
                    MetricKind::Intermediate
                },
                sequence: if is_last { 0 } else { seq - 1 },
                value: format!("0.{seq}"),
                number: Some(f64::from(seq)),
                parameter_index: 0,
            });
        }
        for status in [TrialStatus::Running, TrialStatus::Succeeded] {
            changes.push(Change::TrialStatus {
                trial: id.clone(),
                at: Timestamp(3),
                status,
                reason: None,
            });
        }
        if changes.len() > 20_000 || n + 1 == n_trials {
            store.apply(std::mem::take(&mut changes)).await?;
        }
    }
    Ok(())
}
