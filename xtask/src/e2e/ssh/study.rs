//! An experiment on machines of the laboratory: its file, and whether everything came back as its trials said it.

use super::lab::{Lab, PASSPHRASE, PASSWORD};
use crate::e2e::{
    Place,
    experiment::Experiment,
    processes::{self, nothing_runs},
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Settings of an experiment.
#[derive(Debug, Clone)]
pub(super) struct Study {
    pub(super) command: &'static str,
    pub(super) trials: usize,
    pub(super) concurrency: usize,
    /// Numbers that each trial reports before its result.
    pub(super) steps: usize,
    /// Seconds between them.
    pub(super) pause: f64,
    pub(super) machines: Vec<Value>,
    /// Keys of the experiment file that are added or replaced.
    pub(super) more: Value,
}

impl Study {
    /// A few short trials.
    pub(super) fn short(machines: Vec<Value>) -> Self {
        Self {
            command: "sh trial.sh",
            trials: 4,
            concurrency: 2,
            steps: 3,
            pause: 0.0,
            machines,
            more: json!({}),
        }
    }

    /// Trials that run for about `seconds`, one after another by four.
    pub(super) fn long(machines: Vec<Value>, seconds: f64) -> Self {
        Self {
            trials: 8,
            concurrency: 4,
            steps: 40,
            pause: seconds / 40.0,
            ..Self::short(machines)
        }
    }

    /// Writes its file.
    pub(super) fn file(&self, lab: &Lab, name: &str) -> Result<PathBuf> {
        let mut config = json!({
            "experimentName": name,
            "trialCommand": self.command,
            "trialCodeDirectory": lab.dir.join("code"),
            "trialConcurrency": self.concurrency,
            "maxTrialNumber": self.trials,
            "searchSpace": {
                "x": { "_type": "uniform", "_value": [0, 1] },
                "steps": { "_type": "choice", "_value": [self.steps] },
                "pause": { "_type": "choice", "_value": [self.pause] },
            },
            "tuner": { "name": "Random" },
            "trainingService": { "platform": "remote", "machineList": self.machines },
        });
        for (key, value) in self.more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        let file = lab.dir.join(format!("{name}.json"));
        fs::write(&file, config.to_string())?;
        Ok(file)
    }

    /// Runs it in a home of its own and checks everything.
    pub(super) fn run(&self, place: &Place, lab: &Lab, name: &str) -> Result<Experiment> {
        let experiment = Experiment::new(place, &format!("ssh-{name}"), None)?;
        self.run_in(&experiment, lab, name)?;
        Ok(experiment)
    }

    /// Runs it in this home and checks everything.
    pub(super) fn run_in(&self, experiment: &Experiment, lab: &Lab, name: &str) -> Result<()> {
        experiment.run(&["run", &self.file(lab, name)?.to_string_lossy()])?;
        self.check(experiment)
    }

    /// That every trial is there, reported each number once and in order, and has the result that follows from its own
    /// parameters; that no process and no secret is left.
    pub(super) fn check(&self, experiment: &Experiment) -> Result<()> {
        let trials = experiment.trials()?;
        ensure!(
            trials.len() == self.trials,
            "{} trials of {}",
            trials.len(),
            self.trials
        );
        for trial in &trials {
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
        }
        let id = trials[0]["experimentId"]
            .as_str()
            .context("a trial without experiment")?;
        nothing_runs(&format!("NNI_EXP_ID={id}"))?;
        no_secret_below(experiment.home())
    }
}

/// That no command line shows a secret.
pub(super) fn no_secret_in_command_lines() -> Result<()> {
    for pid in processes::all()? {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        ensure!(!has_secret(&line), "the command line of a process shows a secret");
    }
    Ok(())
}

/// That no file of a folder holds a secret; the configuration file that the user wrote lies elsewhere.
pub(super) fn no_secret_below(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            no_secret_below(&entry.path())?;
        } else if kind.is_file() {
            let text = fs::read(entry.path())?;
            ensure!(!has_secret(&text), "`{}` holds a secret", entry.path().display());
        }
    }
    Ok(())
}

fn has_secret(text: &[u8]) -> bool {
    [PASSWORD, PASSPHRASE]
        .iter()
        .any(|secret| text.windows(secret.len()).any(|window| window == secret.as_bytes()))
}
