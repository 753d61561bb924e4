//! How soon things happen: the first trial of an experiment, and what follows from what a trial does.
//!
//! Trials note times with `date`, whose own process (about a millisecond) counts against us.

use super::{
    Bench,
    experiment::Experiment,
    measure,
    table::{Row, at_most},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    process::{Command, Stdio},
};

const START: &str = r#"date +%s.%N >"$BENCH_NOTES/started"
printf "NNISDK_MEb'%s'\n" '{"type": "FINAL", "value": 1}' >>"$NNI_SYS_DIR/.nni/metrics""#;

/// One metric on the way, apart from start and end.
const FOLLOWED: &str = r#"date +%s.%N >"$BENCH_NOTES/started.$NNI_TRIAL_SEQ_ID"
sleep 0.02
printf "NNISDK_MEb'{\"type\": \"FINAL\", \"value\": %s}'\n" "$(date +%s.%N)" >>"$NNI_SYS_DIR/.nni/metrics"
sleep 0.02
date +%s.%N >"$BENCH_NOTES/ended.$NNI_TRIAL_SEQ_ID""#;

const START_TARGET_MS: f64 = 100.0;
const FOLLOW_TARGET_MS: f64 = 10.0;

/// From the command to the first trial's own first step.
pub(super) fn start(bench: &Bench) -> Result<Vec<Row>> {
    let runs = bench.count(10).max(3);
    let (mut ours, mut forks) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let experiment = Experiment::new(bench, "start", START, 1, 1)?;
        let began = measure::now()?;
        experiment.run()?;
        let started = fs::read_to_string(experiment.notes().join("started"))?;
        ours.push((seconds(&started)? - began) * 1_000.0);
        let began = measure::now()?;
        let started = crate::shell::output(Command::new("sh").args(["-c", "date +%s.%N"]))?;
        forks.push((seconds(&started)? - began) * 1_000.0);
    }
    let (ours, fork) = (measure::median(&ours)?, measure::median(&forks)?);
    Ok(vec![Row {
        what: format!("command → first trial's process (median of {runs})"),
        ours: format!("{ours:.0} ms"),
        beside: format!("`sh` alone {fork:.1} ms"),
        target: format!("{START_TARGET_MS:.0} ms"),
        outcome: at_most(ours, START_TARGET_MS),
    }])
}

fn seconds(text: &str) -> Result<f64> {
    text.trim().parse().with_context(|| format!("not a time: {text}"))
}

/// From what a trial does to what a reader of the store sees, and to the next trial in the slot.
pub(super) fn follow(bench: &Bench) -> Result<Vec<Row>> {
    let trials = bench.count(400);
    let experiment = Experiment::new(bench, "latency", FOLLOWED, trials, 1)?;
    let mut reader = Command::new(bench.examples.join("latency"));
    reader
        .arg("follow")
        .arg(experiment.working())
        .arg(experiment.notes())
        .arg(trials.to_string());
    let reader = reader
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the example `latency`")?;
    let ran = experiment.run();
    let seen = reader.wait_with_output()?;
    ran?;
    ensure!(
        seen.status.success(),
        "the example `latency` ended with {}",
        seen.status
    );
    experiment.check(trials, 1)?;
    let seen: Value = serde_json::from_slice(&seen.stdout)?;
    [
        ("metric written → visible in the store", "metric"),
        ("trial exits → final status visible", "status"),
        ("exit → next trial starts in the slot", "slot"),
    ]
    .into_iter()
    .map(|(what, key)| {
        let figure = |name: &str| {
            seen[key][name]
                .as_f64()
                .with_context(|| format!("`latency` tells no {key}.{name}"))
        };
        let p99 = figure("p99")?;
        Ok(Row {
            what: format!("{what} (n = {:.0})", figure("n")?),
            ours: format!("p50 {:.1} ms, p99 {p99:.1} ms", figure("p50")?),
            beside: "–".to_owned(),
            target: format!("p99 {FOLLOW_TARGET_MS:.0} ms"),
            outcome: at_most(p99, FOLLOW_TARGET_MS),
        })
    })
    .collect()
}
