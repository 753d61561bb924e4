//! Trials per minute of a command that only writes one final metric, beside a pool of processes that keeps no records.

use super::{
    Bench,
    experiment::{Experiment, fresh},
    measure,
    table::{Row, at_least},
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

const SCRIPT: &str = r#"printf "NNISDK_MEb'%s'\n" '{"type": "FINAL", "value": 0.93}' >>"$NNI_SYS_DIR/.nni/metrics""#;
const AT_A_TIME: usize = 8;
const ROUNDS: usize = 3;
/// Part of the bare pool's pace to reach.
const TARGET: f64 = 0.8;

/// Alternates between both, so that a busy machine slows both. Every folder is made, and everything written so far is on
/// disk, before a clock starts: nobody pays for what another wrote or removed.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let trials = bench.count(2_000);
    let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let rounds: Vec<(Experiment, Vec<PathBuf>)> = (1..=ROUNDS)
        .map(|round| {
            let experiment = Experiment::new(bench, &format!("pool-{round}"), SCRIPT, trials, AT_A_TIME)?;
            Ok((
                experiment,
                folders(&bench.work.join(format!("pool-bare-{round}")), trials)?,
            ))
        })
        .collect::<Result<_>>()?;
    for (round, (experiment, folders)) in rounds.iter().enumerate() {
        let per_minute = |seconds: f64| trials as f64 * 60.0 / seconds;
        settle()?;
        let pool = per_minute(measure::seconds(|| run_bare(&experiment.code(), folders))?);
        ensure!(
            folders.iter().all(|folder| reported(folder)),
            "a metric of the bare pool is missing"
        );
        settle()?;
        let run = per_minute(measure::seconds(|| experiment.run().map(drop))?);
        experiment.check(trials, 1)?;
        println!("  round {}: tsctl {run:.0}, bare pool {pool:.0} trials/min", round + 1);
        ours.push(run);
        bare.push(pool);
        ratios.push(run / pool);
    }
    let (ours, bare, ratio) = (
        measure::median(&ours)?,
        measure::median(&bare)?,
        measure::median(&ratios)?,
    );
    Ok(vec![Row {
        what: format!(
            "trials per minute, command that only writes one final metric, {AT_A_TIME} at a time ({trials} trials)"
        ),
        ours: format!("{ours:.0}"),
        beside: format!("bare pool {bare:.0}"),
        target: format!("{TARGET} of the bare pool"),
        outcome: format!("{ratio:.2}: {}", at_least(ratio, TARGET)),
    }])
}

/// Waits until the disk has what was written.
fn settle() -> Result<()> {
    crate::shell::output(&mut Command::new("sync")).map(drop)
}

fn reported(folder: &Path) -> bool {
    fs::metadata(folder.join(".nni/metrics")).is_ok_and(|file| file.len() > 0)
}

/// What each trial of the bare pool finds, made beforehand.
fn folders(root: &Path, trials: usize) -> Result<Vec<PathBuf>> {
    fresh(root)?;
    let folders: Vec<PathBuf> = (0..trials).map(|n| root.join(format!("trial-{n}"))).collect();
    for folder in &folders {
        fs::create_dir_all(folder.join(".nni"))?;
    }
    Ok(folders)
}

/// The same command with the same variables from threads that start and wait, and do nothing else.
fn run_bare(code: &Path, folders: &[PathBuf]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some((n, folder)) = {
            let n = next.fetch_add(1, Ordering::Relaxed);
            folders.get(n).map(|folder| (n, folder))
        } {
            let mut command = Command::new("sh");
            command.arg("trial.sh").current_dir(code).stdin(Stdio::null());
            for (name, value) in [
                ("NNI_PLATFORM", "local"),
                ("NNI_EXP_ID", "bare"),
                ("MULTI_PHASE", "false"),
            ] {
                command.env(name, value);
            }
            command
                .env("NNI_TRIAL_JOB_ID", format!("bare{n}"))
                .env("NNI_TRIAL_SEQ_ID", n.to_string());
            for name in ["NNI_SYS_DIR", "NNI_OUTPUT_DIR"] {
                command.env(name, folder);
            }
            let status = command
                .env("NNI_CODE_DIR", code)
                .status()
                .context("cannot start `sh`")?;
            ensure!(status.success(), "a command of the bare pool ended with {status}");
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}
