//! Runs an experiment on the simulated platform and prints what a trial costs: `simulated [TRIALS]`, one JSON object.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a measurement prints and reads the clock"
)]

mod experiment;

use std::time::{Duration, Instant};
use ts_manager::ExperimentDirectory;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let trials: u32 = std::env::args().nth(1).map_or(Ok(100_000), |n| n.parse())?;
    let tmp = tempfile::tempdir()?;
    let directory = ExperimentDirectory::at(tmp.path().join("simulated"));
    directory.create()?;
    let (manager, _cluster) = experiment::manager(&directory, tmp.path(), trials)?;
    let mut snapshots = manager.handle().snapshot();
    let start = Instant::now();
    let mut thousands: Vec<Duration> = Vec::new();
    let watch = async {
        let mut next = 1_000;
        while snapshots.changed().await.is_ok() {
            if snapshots.borrow_and_update().ended() >= next {
                thousands.push(start.elapsed());
                next += 1_000;
            }
        }
    };
    let run = async {
        let outcome = manager.run().await;
        (outcome, start.elapsed())
    };
    // The snapshots end when the manager does.
    let ((outcome, elapsed), ()) = tokio::join!(run, watch);
    let first = thousands.first().copied().unwrap_or(elapsed);
    let last = thousands
        .windows(2)
        .last()
        .map_or(first, |pair| pair[1].saturating_sub(pair[0]));
    let report = serde_json::json!({
        "trials": trials,
        "status": outcome?.status.as_str(),
        "seconds": elapsed.as_secs_f64(),
        "firstThousandSeconds": first.as_secs_f64(),
        "lastThousandSeconds": last.as_secs_f64(),
        "peakMemoryKiB": peak_memory(),
    });
    println!("{report}");
    Ok(())
}

/// `VmHWM` of this process; none off Linux.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?
        .trim()
        .strip_suffix(" kB")?
        .trim()
        .parse()
        .ok()
}
