//! What a trial costs the manager when the platform costs nothing: 100,000 of them in virtual time.

use super::{
    Bench,
    table::{Row, at_most},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;

const SECONDS: f64 = 60.0;
const MEBIBYTES: f64 = 200.0;
/// How much more the last thousand may cost than the first.
const GROWTH: f64 = 1.2;

/// Runs the example `simulated`.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let trials = bench.count(100_000);
    let mut example = Command::new(bench.examples.join("simulated"));
    let text = crate::shell::output(example.arg(trials.to_string()))?;
    let report: Value = serde_json::from_str(&text)?;
    ensure!(report["status"] == "DONE", "the experiment did not end well: {report}");
    let figure = |key: &str| {
        report[key]
            .as_f64()
            .with_context(|| format!("`simulated` tells no {key}"))
    };
    let seconds = figure("seconds")?;
    let memory = figure("peakMemoryKiB")? / 1024.0;
    let growth = figure("lastThousandSeconds")? / figure("firstThousandSeconds")?;
    let row = |what: &str, ours: String, target: String, outcome: String| Row {
        what: format!("{trials} trials on the simulated platform: {what}"),
        ours,
        beside: "–".to_owned(),
        target,
        outcome,
    };
    Ok(vec![
        row(
            "time",
            format!("{seconds:.1} s"),
            format!("{SECONDS:.0} s"),
            at_most(seconds, SECONDS),
        ),
        row(
            "peak memory",
            format!("{memory:.0} MiB"),
            format!("{MEBIBYTES:.0} MiB"),
            at_most(memory, MEBIBYTES),
        ),
        row(
            "last thousand / first",
            format!("{growth:.2} ×"),
            format!("{GROWTH} ×"),
            at_most(growth, GROWTH),
        ),
    ])
}
