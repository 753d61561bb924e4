//! NNI's real trial SDK, as released, under `tsctl run`: unchanged scripts and files of both schemas, and a manager that is
//! killed in the middle.

use super::{
    Place,
    experiment::{Experiment, wait_until},
    nni_clients, nni_import, nni_phases, nni_pushing, nni_tuners,
    python::{self, RELEASES, Release},
    record::Record,
};
use crate::report::{Outcome, Report};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{collections::HashMap, fs, path::Path};

/// Takes a scenario by its name, and runs it if it is wanted.
pub(super) type Step<'a> = dyn FnMut(&str, &dyn Fn() -> Result<Outcome>) + 'a;

/// Trials of `e2e/nni/trial.py` with this sequence id end with this exit code.
const FAILING: (u64, &str) = (3, "3");

/// Runs the scenarios whose names contain `only`, with every release that can be installed here.
pub(super) fn run(place: &Place, report: &mut Report, only: &str) {
    let mut step = |name: &str, scenario: &dyn Fn() -> Result<Outcome>| {
        if name.contains(only) {
            report.step(name, scenario);
        }
    };
    step("example quickstart", &|| example(place, "quickstart", None, 10));
    for (position, release) in RELEASES.iter().enumerate() {
        let version = release.version;
        let bin = match python::environment(place, release) {
            Ok(bin) => bin,
            Err(why) => {
                step(&format!("NNI {version}"), &|| Ok(Outcome::Skipped(format!("{why:#}"))));
                continue;
            }
        };
        for (schema, trials) in [("v1", 8), ("v2", 8)] {
            step(&format!("NNI {version}: SDK under a file of schema {schema}"), &|| {
                sdk(place, release, &bin, schema, trials)
            });
        }
        step(&format!("NNI {version}: manager killed and resumed"), &|| {
            crash(place, release, &bin)
        });
        nni_tuners::run(place, release, &bin, &mut step);
        nni_phases::run(place, release, &bin, &mut step);
        nni_clients::run(place, release, &bin, &mut step);
        nni_pushing::run(place, release, &bin, &mut step);
        // The manager of 1.9 comes without the Node.js that it needs.
        if version != "1.9" {
            step(
                &format!("NNI {version}: what NNI ran is imported and continued"),
                &|| nni_import::run(place, version, &bin),
            );
        }
        if position == 0 {
            for name in ["python-sdk", "nni-v1", "nni-v2", "nni-tuner"] {
                step(&format!("example {name}"), &|| example(place, name, Some(&bin), 6));
            }
        }
    }
}

/// Runs a folder of `examples` as its first line says, from the workspace's root.
fn example(place: &Place, name: &str, bin: Option<&Path>, n_trials: usize) -> Result<Outcome> {
    let experiment = Experiment::new(place, &format!("example-{name}"), bin)?;
    let file = place.root.join(format!("examples/{name}/config.yml"));
    experiment.run(&["run", &file.to_string_lossy()])?;
    let trials = experiment.trials()?;
    ensure!(
        trials.len() == n_trials,
        "{} trials instead of {n_trials}",
        trials.len()
    );
    for trial in &trials {
        let good = trial["status"] == "SUCCEEDED" && trial["finalNumber"].is_number();
        ensure!(
            good,
            "trial {} has status {} and result {}",
            trial["id"],
            trial["status"],
            trial["finalValue"]
        );
    }
    Ok(Outcome::Passed)
}

/// Runs the probing trial to the end and compares every trial.
fn sdk(place: &Place, release: &Release, bin: &Path, schema: &str, n_trials: usize) -> Result<Outcome> {
    let experiment = Experiment::new(place, &format!("nni-{}-{schema}", release.version), Some(bin))?;
    experiment.run(&["run", &configuration(place, schema)])?;
    compare_all(&experiment, &experiment.directory()?, n_trials)?;
    Ok(Outcome::Passed)
}

/// Kills the manager while trials run and after some have ended, goes on, and compares every trial.
fn crash(place: &Place, release: &Release, bin: &Path) -> Result<Outcome> {
    let experiment = Experiment::new(place, &format!("nni-{}-crash", release.version), Some(bin))?;
    let mut manager = experiment.start(&["run", &configuration(place, "crash")])?;
    let waited = wait_until("some trials have ended and some run", || {
        // There is no experiment to read in the first moment.
        let Ok(trials) = experiment.trials() else {
            return Ok(None);
        };
        let count = |status: &str| trials.iter().filter(|t| t["status"] == status).count();
        Ok((count("SUCCEEDED") >= 2 && count("RUNNING") >= 1).then_some(()))
    });
    manager.kill()?;
    waited?;
    experiment.run(&["resume"])?;
    compare_all(&experiment, &experiment.directory()?, 12)?;
    Ok(Outcome::Passed)
}

pub(super) fn configuration(place: &Place, name: &str) -> String {
    place
        .root
        .join(format!("xtask/e2e/nni/{name}.yml"))
        .to_string_lossy()
        .into_owned()
}

/// Every trial there, with its status, and equal to its own record below the folder `trials_at`.
pub(super) fn compare_all(experiment: &Experiment, trials_at: &Path, n_trials: usize) -> Result<()> {
    let trials = experiment.trials()?;
    ensure!(
        trials.len() == n_trials,
        "{} trials instead of {n_trials}",
        trials.len()
    );
    let mut records = HashMap::new();
    find_records(trials_at, &mut records)?;
    for (expected, trial) in (0..).zip(&trials) {
        let id = trial["id"].as_str().context("a trial without id")?;
        ensure!(
            trial["sequenceId"] == expected,
            "trial {id} has sequence id {}",
            trial["sequenceId"]
        );
        ended_as_it_should(trial)?;
        let record = records.get(id).with_context(|| format!("trial {id} left no record"))?;
        let metrics = experiment.metrics(id)?;
        Record::parse(record)?.compare(trial, &metrics)?;
    }
    Ok(())
}

fn ended_as_it_should(trial: &Value) -> Result<()> {
    let (sequence_id, code) = FAILING;
    let fails = trial["sequenceId"] == sequence_id;
    let expected = if fails { "FAILED" } else { "SUCCEEDED" };
    ensure!(
        trial["status"] == expected,
        "trial {} ended as {}, not {expected}",
        trial["id"],
        trial["status"]
    );
    if fails {
        let message = trial["reason"]["message"].as_str().unwrap_or_default();
        ensure!(
            message.contains(code),
            "the reason does not name exit code {code}: {}",
            trial["reason"]
        );
    }
    Ok(())
}

/// Records below a folder, by the name of the trial that they state.
pub(super) fn find_records(folder: &Path, records: &mut HashMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find_records(&entry.path(), records)?;
        } else if entry.file_name() == "record.jsonl" {
            let text = fs::read_to_string(entry.path())?;
            let opening: Value = serde_json::from_str(text.lines().next().unwrap_or_default())?;
            let id = opening["trial"].as_str().context("a record that names no trial")?;
            records.insert(id.to_owned(), text);
        }
    }
    Ok(())
}
