//! Trials on a machine that is reached by SSH: how soon, how many, and how the code gets there, beside `ssh`, `tar` and `rsync`.
//!
//! The machine is a server of our own on the loopback interface, so both ends share its processors.

mod server;

use super::{
    Bench,
    experiment::{Experiment, fresh},
    measure, pack,
    pairs::Pairs,
    table::{Row, at_least, at_most},
};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use server::Server;
use std::{fs, path::Path, time::Duration};

/// Notes when it began, and reports a result.
const START: &str = r#"date +%s.%N >"$(cat notes)/started.$NNI_TRIAL_SEQ_ID"
printf "NNISDK_MEb'%s'\n" '{"type": "FINAL", "value": 1}' >>"$NNI_SYS_DIR/.nni/metrics""#;
const METRIC: &str = r#"printf "NNISDK_MEb'%s'\n" '{"type": "FINAL", "value": 0.93}' >>"$NNI_SYS_DIR/.nni/metrics""#;
const ASLEEP: &str = r#"sleep 20
printf "NNISDK_MEb'%s'\n" '{"type": "FINAL", "value": 1}' >>"$NNI_SYS_DIR/.nni/metrics""#;

const FILES_BYTES: usize = 100_000_000;
const ROUNDS: usize = 3;
const AT_A_TIME: usize = 8;
/// Parts of what the others need.
const START_TARGET: f64 = 2.0;
const UPLOAD_TARGET: f64 = 1.1;
const UNCHANGED_TARGET: f64 = 1.0;
const PER_MINUTE_TARGET: f64 = 3_000.0;
const PER_TRIAL_TARGET_KIB: f64 = 100.0;

/// All rows about SSH.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let server = Server::start(&bench.work.join("ssh"))?;
    let alone = start(bench, &server)?;
    let mut rows = vec![alone.row()];
    rows.extend(upload(bench, &server, &alone)?);
    rows.push(pace(bench, &server)?);
    rows.push(memory(bench, &server)?);
    Ok(rows)
}

/// An experiment on the server's machine.
fn experiment(
    bench: &Bench,
    server: &Server,
    name: &str,
    script: &str,
    (trials, concurrency): (usize, usize),
) -> Result<Experiment> {
    let platform = json!({ "platform": "remote", "machineList": [server.entry()] });
    let experiment = Experiment::new(bench, name, script, trials, concurrency)?.on(&platform)?;
    // The trial runs in a copy of the code, in the surroundings of a login.
    let notes = experiment.notes();
    fs::write(experiment.code().join("notes"), notes.to_string_lossy().as_bytes())?;
    Ok(experiment)
}

/// Seconds from the command to the first trial's own first step, and to the code in its place, which our log tells.
fn run_once(experiment: &Experiment) -> Result<(f64, f64)> {
    let began = measure::now()?;
    experiment.run()?;
    let started = fs::read_to_string(experiment.notes().join("started.0"))?;
    let started: f64 = started.trim().parse().context("the trial noted no time")?;
    Ok((started - began, experiment.told("the code is there")? - began))
}

/// Seconds with nothing to speak of to bring.
struct Start {
    runs: usize,
    /// From the command to the trial's first step.
    ours: f64,
    /// From the command to the code in its place.
    code: f64,
    /// The same of the next experiment, whose code is there.
    again: f64,
    ssh: f64,
}

fn start(bench: &Bench, server: &Server) -> Result<Start> {
    let runs = bench.count(10).max(3);
    let (mut ours, mut codes, mut again, mut theirs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        server.forget()?;
        let (first, code) = run_once(&experiment(bench, server, "ssh-start", START, (1, 1))?)?;
        ours.push(first);
        codes.push(code);
        again.push(run_once(&experiment(bench, server, "ssh-start", START, (1, 1))?)?.1);
        theirs.push(measure::seconds(|| server.ssh("true"))?);
    }
    Ok(Start {
        runs,
        ours: measure::median(&ours)?,
        code: measure::median(&codes)?,
        again: measure::median(&again)?,
        ssh: measure::median(&theirs)?,
    })
}

impl Start {
    fn row(&self) -> Row {
        let ratio = self.ours / self.ssh;
        Row {
            what: format!(
                "SSH: command → first trial running, one machine, small code directory (median of {})",
                self.runs
            ),
            ours: format!("{:.0} ms", self.ours * 1_000.0),
            beside: format!("`ssh true` {:.0} ms", self.ssh * 1_000.0),
            target: format!("{START_TARGET} × that"),
            outcome: format!("{ratio:.2} ×: {}", at_most(ratio, START_TARGET)),
        }
    }
}

/// What the code adds: to the time until it is in its place on our side, to `ssh true` on theirs.
fn upload(bench: &Bench, server: &Server, alone: &Start) -> Result<Vec<Row>> {
    let bytes = if bench.quick { FILES_BYTES / 10 } else { FILES_BYTES };
    let code = bench.work.join("ssh-code");
    fresh(&code)?;
    pack::write_code(&code, bytes)?;
    let (mut cold, mut unchanged) = (Pairs::default(), Pairs::default());
    for round in 0..ROUNDS {
        server.forget()?;
        let first = with_code(bench, server, &code)? - alone.code;
        let again = with_code(bench, server, &code)? - alone.again;
        let others: Vec<f64> = [
            measure::seconds(|| server.tar_zstd(&code)),
            measure::seconds(|| server.rsync(&code)),
            measure::seconds(|| server.rsync(&code)),
        ]
        .into_iter()
        .map(|seconds| Ok(seconds? - alone.ssh))
        .collect::<Result<_>>()?;
        let [tar, rsync, rsync_again] = others[..] else {
            unreachable!("three measurements")
        };
        println!(
            "  round {}: cold {first:.2} s, tar {tar:.2} s, rsync {rsync:.2} s; unchanged {again:.2} s, rsync {rsync_again:.2} s",
            round + 1
        );
        cold.add(first, tar.min(rsync));
        unchanged.add(again, rsync_again);
    }
    let what = format!("SSH upload of 1950 files, {} MB", bytes / 1_000_000);
    Ok(vec![
        cold.row(
            format!("{what}: cold"),
            "best of `tar \\| zstd -1 \\| ssh` and `rsync`",
            UPLOAD_TARGET,
        )?,
        unchanged.row(format!("{what}: unchanged"), "`rsync` again", UNCHANGED_TARGET)?,
    ])
}

fn with_code(bench: &Bench, server: &Server, code: &Path) -> Result<f64> {
    let experiment = experiment(bench, server, "ssh-upload", START, (1, 1))?;
    for file in ["trial.sh", "notes"] {
        fs::copy(experiment.code().join(file), code.join(file))?;
    }
    fs::remove_dir_all(experiment.code())?;
    std::os::unix::fs::symlink(code, experiment.code())?;
    Ok(run_once(&experiment)?.1)
}

fn pace(bench: &Bench, server: &Server) -> Result<Row> {
    let trials = bench.count(1_000);
    server.forget()?;
    let experiment = experiment(bench, server, "ssh-pace", METRIC, (trials, AT_A_TIME))?;
    let seconds = measure::seconds(|| experiment.run().map(drop))?;
    experiment.check(trials, 1)?;
    let pace = trials as f64 * 60.0 / seconds;
    Ok(Row {
        what: format!("SSH: trials per minute, {AT_A_TIME} at a time on one machine ({trials} trials)"),
        ours: format!("{pace:.0}"),
        beside: "–".to_owned(),
        target: format!("{PER_MINUTE_TARGET:.0}"),
        outcome: at_least(pace, PER_MINUTE_TARGET),
    })
}

/// What a running trial costs the manager: the memory with many of them, less that with few.
fn memory(bench: &Bench, server: &Server) -> Result<Row> {
    let (few, many) = (8, bench.count(200).max(40));
    let mut resident = Vec::new();
    for trials in [few, many] {
        server.forget()?;
        let experiment = experiment(bench, server, "ssh-memory", ASLEEP, (trials, trials))?;
        let mut manager = experiment.start()?;
        let (memory, ended) = measure::watch(&mut manager, |elapsed| elapsed > Duration::from_secs(15))?;
        ensure!(ended.is_none(), "the manager ended before all trials ran");
        experiment.wait(&mut manager)?;
        experiment.check(trials, 1)?;
        resident.push(memory.resident * 1024.0);
    }
    let each = (resident[1] - resident[0]) / (many - few) as f64;
    Ok(Row {
        what: format!("SSH: manager memory per running trial ({many} trials less {few})"),
        ours: format!("{each:.0} KiB, in all {:.1} MiB", resident[1] / 1024.0),
        beside: "–".to_owned(),
        target: format!("{PER_TRIAL_TARGET_KIB:.0} KiB"),
        outcome: at_most(each, PER_TRIAL_TARGET_KIB),
    })
}
