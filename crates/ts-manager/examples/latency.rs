//! Reads a store beside its manager and prints how soon it sees things, as one JSON object.
//!
//! `latency follow FOLDER NOTES TRIALS` follows the experiment that appears below FOLDER. Its trials, one at a time, note
//! seconds since 1970 in `NOTES/started.N` and `NOTES/ended.N` and report such a time as their only metric.
//! `latency newest DIRECTORY` reads the newest metric of every trial of an experiment.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a measurement prints and reads the clock"
)]

use serde_json::{Value, json};
use std::{
    collections::HashSet,
    error::Error,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use ts_manager::{
    ExperimentDirectory,
    store::{StoreReader, TrialFilter},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Longest wait for anything to change.
const DEADLINE: Duration = Duration::from_mins(1);
/// Between looks; short against what is measured, and leaves the processor to the others.
const LOOK: Duration = Duration::from_micros(200);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = match arguments[..] {
        ["follow", folder, notes, trials] => follow(Path::new(folder), Path::new(notes), trials.parse()?)?,
        ["newest", directory] => newest(Path::new(directory))?,
        _ => return Err("usage: latency follow FOLDER NOTES TRIALS | latency newest DIRECTORY".into()),
    };
    println!("{report}");
    Ok(())
}

fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Looks again and again until there is an answer.
fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = look() {
            return Ok(answer);
        }
        if began.elapsed() > DEADLINE {
            return Err(format!("waited for {} s until {what}", DEADLINE.as_secs()).into());
        }
        thread::sleep(LOOK);
    }
}

/// The store below `folder`, as soon as it can be read.
fn store_below(folder: &Path) -> Option<StoreReader> {
    let entry = fs::read_dir(folder).ok()?.next()?.ok()?;
    let reader = StoreReader::open(&ExperimentDirectory::at(entry.path()).store()).ok()?;
    reader.experiment().is_ok().then_some(reader)
}

fn follow(folder: &Path, notes: &Path, trials: u32) -> Result<Value> {
    let reader = wait_until("there is a store", || store_below(folder))?;
    let time_of = |what: &str, n: u32| -> Result<f64> {
        let text = fs::read_to_string(notes.join(format!("{what}.{n}")))?;
        Ok(text.trim().parse()?)
    };
    let (mut metrics, mut statuses, mut slots) = (Vec::new(), Vec::new(), Vec::new());
    let mut reported = HashSet::new();
    let mut version = None;
    let mut ended: u32 = 0;
    while ended < trials {
        version = Some(wait_until("the store changes", || {
            reader.data_version().ok().filter(|new| Some(*new) != version)
        })?);
        // Everything before `ended` is taken in; trials run one at a time, so this reads one or two.
        let filter = match ended.checked_sub(1) {
            Some(last) => TrialFilter::all().after(last),
            None => TrialFilter::all(),
        };
        let rows = reader.trials(&filter)?;
        let seen = now()?;
        for row in rows {
            let n = row.spec.sequence_id;
            if let Some(metric) = &row.newest
                && reported.insert(n)
            {
                metrics.push(seen - metric.value.parse::<f64>()?);
            }
            if row.status.is_terminal() {
                statuses.push(seen - time_of("ended", n)?);
                ended = n + 1;
            }
        }
    }
    for n in 1..trials {
        slots.push(time_of("started", n)? - time_of("ended", n - 1)?);
    }
    Ok(json!({ "metric": quantiles(metrics)?, "status": quantiles(statuses)?, "slot": quantiles(slots)? }))
}

/// Number, median and 99th percentile, in milliseconds.
fn quantiles(mut seconds: Vec<f64>) -> Result<Value> {
    seconds.sort_by(f64::total_cmp);
    let n = seconds.len();
    let at = |percent: usize| seconds.get(n * percent / 100).map(|s| s * 1_000.0);
    let (p50, p99) = at(50).zip(at(99)).ok_or("nothing was measured")?;
    Ok(json!({ "n": n, "p50": p50, "p99": p99 }))
}

fn newest(directory: &Path) -> Result<Value> {
    const TIMES: usize = 20;
    let reader = StoreReader::open(&ExperimentDirectory::at(directory).store())?;
    let mut times = Vec::new();
    let mut trials = 0;
    for _ in 0..TIMES {
        let began = Instant::now();
        trials = reader.latest_metrics()?.len();
        times.push(began.elapsed());
    }
    times.sort();
    Ok(json!({ "trials": trials, "medianMs": times[TIMES / 2].as_secs_f64() * 1_000.0 }))
}
