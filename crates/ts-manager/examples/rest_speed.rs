//! How long the HTTP API takes for the lists that NNI's page asks for, over 10,000 trials with 100 metrics each.
//!
//! ```text
//! cargo run --release -p ts-manager --features rest --example rest_speed [TRIALS [METRICS]]
//! ```
//!
//! Prints a JSON object with each route: the median of nine requests over the loopback interface, from the request to the last byte,
//! and how many bytes came.

use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};
use ts_core::{
    CodeDirectory, Ctx, ExperimentId, ExperimentSpec, JournalCursor, Parameters, Result, Timestamp, TrialId, TrialSpec,
    TrialStatus,
};
use ts_manager::{
    ExperimentDirectory,
    rest::{Api, Listen, OverSocket, Port, serve},
    store::{Change, Limits, MetricKind, NewExperiment, Optimize, Store},
};

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
    say(&report);
    drop(served);
    ctx.tasks.close().await;
    std::fs::remove_dir_all(&dir).map_err(|e| ts_core::Error::io("remove", &dir, e))
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
                cursor: JournalCursor {
                    base: 0,
                    offset: u64::from(seq) * 100,
                    check: 0,
                },
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
