//! Trials that ask for further parameters by NNI's real SDK, from a tuner of one's own in NNI's real dispatcher: each gets what the
//! tuner made for it, and the tuner hears each result with its own parameters.

use super::{Place, experiment::Experiment, nni::Step, nni_tuners::configuration, python::Release};
use crate::report::Outcome;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{collections::HashMap, fs, path::Path};

/// Runs all of them with one release.
pub(super) fn run(place: &Place, release: &Release, bin: &Path, step: &mut Step<'_>) {
    let version = release.version;
    step(&format!("NNI {version}: further parameters"), &|| {
        let experiment = Experiment::new(place, &format!("nni-{version}-phases"), Some(bin))?;
        experiment.run(&["run", &configuration(place, "phases")])?;
        compare(&experiment, &[3; 8], Results::AllTold)
    });
    step(&format!("NNI {version}: further parameters come to an end"), &|| {
        let experiment = Experiment::new(place, &format!("nni-{version}-phases-end"), Some(bin))?;
        experiment.run(&["run", &configuration(place, "phases-end")])?;
        compare(&experiment, &[3, 1], Results::AllTold)
    });
    step(
        &format!("NNI {version}: further parameters under a manager that is killed"),
        &|| {
            let experiment = Experiment::new(place, &format!("nni-{version}-phases-killed"), Some(bin))?;
            let mut manager = experiment.start(&["run", &configuration(place, "phases")])?;
            let waited = experiment.in_the_middle();
            manager.kill()?;
            waited?;
            experiment.run(&["resume"])?;
            compare(&experiment, &[3; 8], Results::SomeImported)
        },
    );
}

/// How the tuner came to know the results.
#[derive(Clone, Copy, PartialEq)]
enum Results {
    AllTold,
    /// A process that took over imports those of the first one.
    SomeImported,
}

/// Every trial has so many sets of parameters, each as the tuner made it, and the result of each is its own.
fn compare(experiment: &Experiment, n_sets: &[usize], results: Results) -> Result<Outcome> {
    let trials = experiment.trials()?;
    ensure!(
        trials.len() == n_sets.len(),
        "{} trials instead of {}",
        trials.len(),
        n_sets.len()
    );
    let log = experiment.directory()?.join("log");
    let mut sent = counted(&log.join("sent.jsonl"))?;
    let mut told = counted(&log.join("told.jsonl"))?;
    for (trial, n) in trials.iter().zip(n_sets) {
        let id = &trial["id"];
        ensure!(
            trial["status"] == "SUCCEEDED",
            "trial {id} ended as {}",
            trial["status"]
        );
        let phases = trial["phases"]
            .as_array()
            .with_context(|| format!("trial {id} has no phases"))?;
        let usable: Vec<&Value> = phases
            .iter()
            .filter(|phase| !phase["parameters"]["parameters"].is_null())
            .collect();
        ensure!(
            usable.len() == *n,
            "trial {id} has {} sets of parameters, not {n}",
            usable.len()
        );
        let mut best = f64::MIN;
        for phase in usable {
            let packed = &phase["parameters"];
            let (key, x) = (packed["parameters"].to_string(), packed["parameters"]["x"].as_f64());
            ensure!(
                packed["parameter_index"] == phase["index"],
                "trial {id} has a wrong index in {packed}"
            );
            ensure!(
                phase["finalNumber"].as_f64() == x && x.is_some(),
                "trial {id} has the result {} of {packed}",
                phase["finalValue"]
            );
            best = best.max(x.unwrap_or_default());
            ensure!(
                take(&mut sent, &key),
                "trial {id} has {packed}, which the tuner sent to another or not at all"
            );
            let is_told = take(&mut told, &key);
            ensure!(
                is_told || results == Results::SomeImported,
                "the tuner was not told the result of {packed}"
            );
        }
        ensure!(
            trial["finalNumber"].as_f64() == Some(best),
            "trial {id} has the result {}",
            trial["finalNumber"]
        );
    }
    Ok(Outcome::Passed)
}

/// How often the tuner noted each set of parameters.
fn counted(notes: &Path) -> Result<HashMap<String, usize>> {
    let text = fs::read_to_string(notes).with_context(|| format!("cannot read `{}`", notes.display()))?;
    let mut counts = HashMap::new();
    for line in text.lines() {
        let note: Value = serde_json::from_str(line)?;
        *counts.entry(note["parameters"].to_string()).or_default() += 1;
    }
    Ok(counts)
}

fn take(counts: &mut HashMap<String, usize>, key: &str) -> bool {
    match counts.get_mut(key) {
        Some(n @ 1..) => {
            *n -= 1;
            true
        }
        _ => false,
    }
}
