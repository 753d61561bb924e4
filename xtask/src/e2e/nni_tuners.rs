//! NNI's real tuners, assessors and advisors under `tsctl run`: every trial gets what the tuner sent, every tuner gets what the
//! trial reported, and a crash of either side is mended. `crates/ts-nni/README.md` has the table of all of them.

use super::{Place, experiment::Experiment, nni::Step, processes::nothing_runs, python::Release};
use crate::report::Outcome;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

/// Configurations below `e2e/nni/tuners`, and how many trials each must have.
const SCENARIOS: &[(&str, usize)] = &[
    ("random", 6),
    ("grid", 3),
    ("batch", 3),
    ("tpe", 6),
    ("hyperband", 10),
    ("hyperband-serial", 7),
    ("medianstop", 8),
    ("evolution", 8),
    ("custom", 7),
    ("crash", 9),
    ("pbt", 10),
    ("curvefitting", 6),
    ("anneal", 6),
    ("gp", 7),
    ("metis", 4),
    ("bohb", 10),
];

/// What a release does not have, or not without packages that are installed for another one.
fn is_left_out(version: &str, name: &str) -> bool {
    match name {
        // Hyperband of 1.9 has no such mode.
        "hyperband-serial" => version == "1.9",
        "anneal" => version == "2.10",
        "gp" | "metis" | "bohb" => version != "3.0",
        _ => false,
    }
}

/// Runs all of them with one release.
pub(super) fn run(place: &Place, release: &Release, bin: &Path, step: &mut Step<'_>) {
    let version = release.version;
    for (name, n_trials) in SCENARIOS {
        if is_left_out(version, name) {
            continue;
        }
        step(&format!("NNI {version}: tuner {name}"), &|| {
            let experiment = Experiment::new(place, &format!("nni-{version}-{name}"), Some(bin))?;
            experiment.run(&["run", &configuration(place, name)])?;
            let said = experiment.said()?;
            let has_crashed = said.contains("it is started again") && said.contains("as it was asked to");
            ensure!(
                has_crashed == (*name == "crash"),
                "it crashed against all expectation, or not at all:\n{said}"
            );
            compare(&experiment, *n_trials)?;
            has_done_its_part(&experiment, name)
        });
    }
    step(
        &format!("NNI {version}: what is wrong is told before the start"),
        &|| told_before(place, version, bin),
    );
    step(&format!("NNI {version}: tuner under a manager that is killed"), &|| {
        killed(place, version, bin, "killed")
    });
    if version != "1.9" {
        step(
            &format!("NNI {version}: tuner pbt under a manager that is killed"),
            &|| killed(place, version, bin, "pbt-killed"),
        );
    }
}

/// What the trials of some do not show.
fn has_done_its_part(experiment: &Experiment, name: &str) -> Result<Outcome> {
    match name {
        "curvefitting" => {
            let log = fs::read_to_string(experiment.directory()?.join("log/dispatcher.log"))?;
            ensure!(log.contains("Prediction done"), "it has judged nothing:\n{log}");
        }
        "bohb" => {
            let trials = experiment.trials()?;
            let budgets: HashSet<_> = trials
                .iter()
                .filter_map(|trial| trial["parameters"]["parameters"]["TRIAL_BUDGET"].as_u64())
                .collect();
            ensure!(budgets.len() > 1, "no trial was promoted: {budgets:?}");
        }
        _ => {}
    }
    Ok(Outcome::Passed)
}

pub(super) fn configuration(place: &Place, name: &str) -> String {
    let file = place.root.join(format!("xtask/e2e/nni/tuners/{name}.yml"));
    file.to_string_lossy().into_owned()
}

fn told_before(place: &Place, version: &str, bin: &Path) -> Result<Outcome> {
    let experiment = Experiment::new(place, &format!("nni-{version}-told"), Some(bin))?;
    for (name, key) in [("unknown", "tuner.name"), ("arguments", "tuner.classArgs")] {
        let said = experiment.refused(&["validate", &configuration(place, name)])?;
        ensure!(said.contains(&format!("key: {key}")), "the key is not told:\n{said}");
    }
    if is_left_out(version, "gp") && version != "1.9" {
        let said = experiment.refused(&["validate", &configuration(place, "gp")])?;
        let is_told = said.contains("pip install scikit-learn") && said.contains("key: tuner.name");
        ensure!(is_told, "what GP needs is not told:\n{said}");
    }
    let plan = experiment.output(&["plan", &configuration(place, "custom")])?;
    ensure!(plan.contains("0.5"), "the plan has not the first parameters:\n{plan}");
    let left = experiment.home().join("nni-experiments");
    let is_clean = !left.exists() || fs::read_dir(&left)?.next().is_none();
    ensure!(is_clean, "the plan left something in `{}`", left.display());
    Ok(Outcome::Passed)
}

fn killed(place: &Place, version: &str, bin: &Path, name: &str) -> Result<Outcome> {
    let experiment = Experiment::new(place, &format!("nni-{version}-{name}"), Some(bin))?;
    let mut manager = experiment.start(&["run", &configuration(place, name)])?;
    let waited = experiment.in_the_middle();
    manager.kill()?;
    waited?;
    let log = experiment.directory()?.join("log");
    nothing_runs(&format!("NNI_LOG_DIRECTORY={}", log.display()))?;
    experiment.run(&["resume"])?;
    compare(&experiment, 9)
}

/// Each trial has the parameters that were sent, once, and its result comes from them.
fn compare(experiment: &Experiment, n_trials: usize) -> Result<Outcome> {
    let trials = experiment.trials()?;
    ensure!(
        trials.len() == n_trials,
        "{} trials instead of {n_trials}",
        trials.len()
    );
    let mut used: HashMap<String, usize> = HashMap::new();
    for trial in &trials {
        let (id, packed) = (&trial["id"], &trial["parameters"]);
        match trial["status"].as_str() {
            Some("SUCCEEDED") => ensure!(
                trial["finalNumber"].as_f64() == packed["parameters"]["x"].as_f64() && trial["finalNumber"].is_number(),
                "trial {id} has the result {} of the parameters {packed}",
                trial["finalValue"]
            ),
            // Medianstop and Curvefitting may do that.
            Some("EARLY_STOPPED") => {}
            other => anyhow::bail!("trial {id} ended as {other:?}"),
        }
        *used.entry(packed["parameters"].to_string()).or_default() += 1;
    }
    let log = experiment.directory()?.join("log");
    ensure!(log.join("dispatcher.log").exists(), "NNI's dispatcher did not run");
    let notes = log.join("sent.jsonl");
    if notes.exists() {
        let text = fs::read_to_string(&notes).with_context(|| format!("cannot read `{}`", notes.display()))?;
        let mut sent: HashMap<String, usize> = HashMap::new();
        for line in text.lines() {
            let note: Value = serde_json::from_str(line)?;
            *sent.entry(note["parameters"].to_string()).or_default() += 1;
        }
        for (parameters, n) in used {
            let sent = sent.get(&parameters).copied().unwrap_or_default();
            ensure!(n <= sent, "{n} trials have {parameters}, which was sent {sent} times");
        }
    }
    Ok(Outcome::Passed)
}
