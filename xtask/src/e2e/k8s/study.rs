//! An experiment that is run on the user's machine: its file, its code, and whether everything came back as its trials said it.

use super::{Lab, cluster::Cluster};
use crate::e2e::{
    Place,
    experiment::{Experiment, Launcher, Running},
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// Settings of an experiment.
#[derive(Debug, Clone)]
pub(super) struct Study {
    pub(super) name: &'static str,
    pub(super) command: &'static str,
    pub(super) trials: usize,
    pub(super) concurrency: usize,
    /// Numbers that each trial reports before its result.
    pub(super) steps: usize,
    /// Seconds between them.
    pub(super) pause: f64,
    /// The section `trainingService` of its file.
    pub(super) training_service: Value,
    /// Keys of the file that are added or replaced.
    pub(super) more: Value,
}

impl Study {
    /// Trials that run for about `seconds`, one after another by four.
    pub(super) fn long(name: &'static str, training_service: Value, seconds: f64) -> Self {
        Self {
            trials: 8,
            concurrency: 4,
            steps: 20,
            pause: seconds / 20.0,
            ..Self::short(name, training_service)
        }
    }

    /// A few short trials.
    pub(super) fn short(name: &'static str, training_service: Value) -> Self {
        Self {
            name,
            command: "sh trial.sh",
            trials: 4,
            concurrency: 2,
            steps: 3,
            pause: 0.0,
            training_service,
            more: json!({}),
        }
    }

    /// A home for it, from which it is run on the user's machine.
    pub(super) fn home(&self, place: &Place, launcher: Launcher) -> Result<Experiment> {
        let experiment = Experiment::new(place, &format!("k8s-{}", self.name), None)?;
        Ok(experiment.started_by(launcher))
    }

    /// Writes its code and its file into the home.
    pub(super) fn file(&self, place: &Place, experiment: &Experiment) -> Result<PathBuf> {
        let code = experiment.home().join("code");
        fs::create_dir_all(&code)?;
        fs::copy(place.root.join("xtask/e2e/ssh/trial.sh"), code.join("trial.sh"))?;
        let mut config = json!({
            "experimentName": self.name,
            "trialCommand": self.command,
            "trialCodeDirectory": code,
            "trialConcurrency": self.concurrency,
            "maxTrialNumber": self.trials,
            "searchSpace": {
                "x": { "_type": "uniform", "_value": [0, 1] },
                "steps": { "_type": "choice", "_value": [self.steps] },
                "pause": { "_type": "choice", "_value": [self.pause] },
            },
            "tuner": { "name": "Random" },
            "trainingService": self.training_service,
        });
        for (key, value) in self.more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        let file = experiment.home().join("experiment.json");
        fs::write(&file, config.to_string())?;
        Ok(file)
    }

    /// Starts it and leaves it running.
    pub(super) fn start(&self, place: &Place, launcher: Launcher) -> Result<(Experiment, Running)> {
        let experiment = self.home(place, launcher)?;
        let file = self.file(place, &experiment)?;
        let run = experiment.start(&["run", &file.to_string_lossy()])?;
        Ok((experiment, run))
    }

    /// Runs it to its end and checks everything.
    pub(super) fn run(&self, place: &Place, launcher: Launcher) -> Result<Experiment> {
        let (experiment, mut run) = self.start(place, launcher)?;
        experiment.finish(&mut run)?;
        self.check(&experiment)?;
        Ok(experiment)
    }

    /// That every trial is there, reported each number once and in order, and has the result that follows from its own
    /// parameters.
    pub(super) fn check(&self, experiment: &Experiment) -> Result<()> {
        let trials = experiment.trials()?;
        ensure!(
            trials.len() == self.trials,
            "{} trials of {}",
            trials.len(),
            self.trials
        );
        trials.iter().try_for_each(|trial| self.check_trial(experiment, trial))
    }

    /// The same of one trial.
    pub(super) fn check_trial(&self, experiment: &Experiment, trial: &Value) -> Result<()> {
        let id = trial["id"].as_str().context("a trial without id")?;
        ensure!(
            trial["status"] == "SUCCEEDED",
            "trial {id} is {}: {}",
            trial["status"],
            trial["reason"]
        );
        let metrics = experiment.metrics(id)?;
        let (last, before) = metrics.split_last().context("a trial without metrics")?;
        let numbers: Vec<Option<u64>> = before.iter().map(|metric| metric["value"].as_u64()).collect();
        let expected: Vec<Option<u64>> = (1..=self.steps as u64).map(Some).collect();
        ensure!(numbers == expected, "trial {id} has {numbers:?}");
        let stored = trial["parameters"].get("parameters").unwrap_or(&trial["parameters"]);
        let same = last["kind"] == "FINAL" && last["value"].as_f64() == stored["x"].as_f64();
        ensure!(same, "trial {id} has parameters {stored} and result {last}");
        Ok(())
    }
}

/// Trials that are processes there are in its network.
pub(super) fn on_the_users_machine(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let study = Study {
        // The end of its cable.
        command: "grep -q plug: /proc/net/dev && sh trial.sh",
        ..Study::short("local", json!({ "platform": "local" }))
    };
    study.run(place, cluster.launcher()).map(drop)
}
