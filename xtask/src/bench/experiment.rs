//! An experiment of the built `tsctl` with a home of its own: its files, its command, and whether everything is stored.

use super::{Bench, measure};
use crate::e2e::experiment::Launcher;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Variable that tells trials where to note times.
pub(super) const NOTES: &str = "BENCH_NOTES";

/// Empties a folder of earlier runs.
pub(super) fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    Ok(fs::create_dir_all(folder)?)
}

/// An experiment whose trials run a shell script.
#[derive(Debug)]
pub(super) struct Experiment {
    tsctl: PathBuf,
    folder: PathBuf,
    /// Whether the log has more than warnings.
    tells_steps: bool,
    launcher: Launcher,
}

impl Experiment {
    /// Writes its files; nothing runs yet.
    pub(super) fn new(bench: &Bench, name: &str, script: &str, trials: usize, concurrency: usize) -> Result<Self> {
        let experiment = Self {
            tsctl: bench.tsctl.clone(),
            folder: bench.work.join(name),
            tells_steps: false,
            launcher: Launcher::default(),
        };
        fresh(&experiment.folder)?;
        for folder in [experiment.code(), experiment.notes(), experiment.working()] {
            fs::create_dir(folder)?;
        }
        fs::write(experiment.code().join("trial.sh"), script)?;
        let config = json!({
            "experimentName": name,
            "trialCommand": "sh trial.sh",
            "trialCodeDirectory": experiment.code(),
            "experimentWorkingDirectory": experiment.working(),
            "trialConcurrency": concurrency,
            "maxTrialNumber": trials,
            "searchSpace": { "x": { "_type": "uniform", "_value": [0, 1] } },
            "tuner": { "name": "Random" },
            "trainingService": { "platform": "local" },
        });
        fs::write(experiment.folder.join("config.json"), config.to_string())?;
        Ok(experiment)
    }

    /// Has it run on another platform than this machine, which tells its steps; what the section of the platform says.
    pub(super) fn on(mut self, platform: &Value) -> Result<Self> {
        let path = self.folder.join("config.json");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        config["trainingService"] = platform.clone();
        fs::write(path, config.to_string())?;
        self.tells_steps = true;
        Ok(self)
    }

    /// The same, started elsewhere than here.
    pub(super) fn started_by(mut self, launcher: Launcher) -> Self {
        self.launcher = launcher;
        self
    }

    /// The code directory.
    pub(super) fn code(&self) -> PathBuf {
        self.folder.join("code")
    }
    /// Where trials note times.
    pub(super) fn notes(&self) -> PathBuf {
        self.folder.join("notes")
    }
    /// The folder in which the experiment's directory appears.
    pub(super) fn working(&self) -> PathBuf {
        self.folder.join("experiments")
    }

    /// What `tsctl run` has written so far.
    pub(super) fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("tsctl.txt"))?)
    }

    /// When the log told this, in seconds since 1970.
    pub(super) fn told(&self, what: &str) -> Result<f64> {
        let said = self.said()?;
        let line = said.lines().find(|line| line.contains(what));
        let time = line.and_then(|line| line.split_whitespace().next());
        measure::since_1970(time.with_context(|| format!("the log does not tell that {what}"))?)
    }

    /// Starts it and leaves it running.
    pub(super) fn start(&self) -> Result<Child> {
        let said = File::create(self.folder.join("tsctl.txt"))?;
        let config = self.folder.join("config.json");
        let mut command = self.command();
        command.args(self.tells_steps.then_some("--verbose"));
        command.arg("run").arg(config).stdin(Stdio::null());
        let child = command.stdout(said.try_clone()?).stderr(said).spawn();
        child.context("cannot start `tsctl`")
    }

    /// Runs it to its end. Returns the manager's memory as last seen.
    pub(super) fn run(&self) -> Result<measure::Memory> {
        self.wait(&mut self.start()?)
    }

    /// Waits for the end of what `start` gave.
    pub(super) fn wait(&self, child: &mut Child) -> Result<measure::Memory> {
        match measure::watch(child, |_| false)? {
            (memory, Some(status)) if status.success() => Ok(memory),
            (_, status) => bail!("`tsctl run` ended with {status:?}:\n{}", self.said()?),
        }
    }

    /// The experiment's directory, once there is one.
    pub(super) fn directory(&self) -> Result<PathBuf> {
        let entry = fs::read_dir(self.working())?.next();
        Ok(entry.context("the experiment has no directory")??.path())
    }

    /// That every trial succeeded and each of its metrics is stored.
    pub(super) fn check(&self, trials: usize, metrics_per_trial: usize) -> Result<()> {
        let stored = self.trials()?;
        ensure!(stored.len() == trials, "{} of {trials} trials are stored", stored.len());
        for trial in stored {
            let complete = trial["status"] == "SUCCEEDED"
                && trial["nMetrics"] == metrics_per_trial
                && trial["finalNumber"].is_number();
            ensure!(complete, "a trial is not stored as it was: {trial}");
        }
        Ok(())
    }

    /// All trials as they are stored.
    pub(super) fn trials(&self) -> Result<Vec<Value>> {
        self.list("trials", &["trials".as_ref(), self.directory()?.as_os_str()])
    }

    /// The metrics of a trial as they are stored.
    pub(super) fn metrics(&self, trial: &str) -> Result<Vec<Value>> {
        let directory = self.directory()?;
        let arguments = ["metrics", trial, "--experiment"].map(OsStr::new);
        self.list("metrics", &[&arguments[..], &[directory.as_os_str()]].concat())
    }

    fn list(&self, name: &str, arguments: &[&OsStr]) -> Result<Vec<Value>> {
        let text = crate::shell::output(self.command().args(arguments).arg("--json"))?;
        match serde_json::from_str::<Value>(&text)?[name].take() {
            Value::Array(list) => Ok(list),
            _ => bail!("`tsctl {} --json` has no list", arguments[0].display()),
        }
    }

    fn command(&self) -> Command {
        let mut command = self.launcher.command(&self.tsctl);
        command
            .env("HOME", &self.folder)
            .env(NOTES, self.notes())
            .env_remove("XDG_STATE_HOME");
        command
    }
}
