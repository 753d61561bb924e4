//! Memory of a manager that waits and of one that took in many metrics, and how soon a reader has the newest of them.

use super::{
    Bench,
    experiment::Experiment,
    measure,
    table::{Row, at_most},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{process::Command, time::Duration};

const IDLE: &str = r#"sleep 4
printf "NNISDK_MEb'%s'\n" '{"type": "FINAL", "value": 1}' >>"$NNI_SYS_DIR/.nni/metrics""#;
/// When the manager of one sleeping trial counts as idle.
const SETTLED: Duration = Duration::from_secs(2);
const METRICS: usize = 100;
const BUSY: &str = r#"{
n=0
while [ $n -lt 99 ]; do
  printf "NNISDK_MEb'{\"type\": \"PERIODICAL\", \"sequence\": %s, \"value\": 0.%s}'\n" $n $n
  n=$((n + 1))
done
printf "NNISDK_MEb'%s'\n" '{"type": "FINAL", "value": 0.93}'
} >>"$NNI_SYS_DIR/.nni/metrics""#;

const IDLE_TARGET_MIB: f64 = 12.0;
const BUSY_TARGET_MIB: f64 = 30.0;
const NEWEST_TARGET_MS: f64 = 5.0;

/// The idle manager, the busy one, then the newest metrics in the store that the busy one leaves.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let waiting = Experiment::new(bench, "idle", IDLE, 1, 1)?;
    let mut manager = waiting.start()?;
    let (idle, ended) = measure::watch(&mut manager, |elapsed| elapsed > SETTLED)?;
    waiting.wait(&mut manager)?;
    ensure!(ended.is_none(), "the manager ended before it was idle");

    let trials = bench.count(1_000);
    let busy = Experiment::new(bench, "metrics", BUSY, trials, 8)?;
    let memory = busy.run()?;
    busy.check(trials, METRICS)?;

    let mut reader = Command::new(bench.examples.join("latency"));
    let text = crate::shell::output(reader.arg("newest").arg(busy.directory()?))?;
    let newest: Value = serde_json::from_str(&text)?;
    ensure!(
        newest["trials"] == trials,
        "not every trial has a newest metric: {newest}"
    );
    let ms = newest["medianMs"].as_f64().context("`latency` tells no median")?;
    Ok(vec![
        Row {
            what: "manager memory, one trial asleep".to_owned(),
            ours: format!("{:.1} MiB, peak {:.1} MiB", idle.resident, idle.peak),
            beside: "–".to_owned(),
            target: format!("{IDLE_TARGET_MIB:.0} MiB"),
            outcome: at_most(idle.resident, IDLE_TARGET_MIB),
        },
        Row {
            what: format!("manager memory after {trials} trials × {METRICS} metrics"),
            ours: format!("{:.1} MiB, peak {:.1} MiB", memory.resident, memory.peak),
            beside: "–".to_owned(),
            target: format!("{BUSY_TARGET_MIB:.0} MiB"),
            outcome: at_most(memory.peak, BUSY_TARGET_MIB),
        },
        Row {
            what: format!(
                "newest metrics of {trials} trials among {} (median of 20)",
                trials * METRICS
            ),
            ours: format!("{ms:.2} ms"),
            beside: "–".to_owned(),
            target: format!("{NEWEST_TARGET_MS:.0} ms"),
            outcome: at_most(ms, NEWEST_TARGET_MS),
        },
    ])
}
