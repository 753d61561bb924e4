//! Trials that report by HTTP: NNI 3.0's channel, and NNI's own `trial_keeper` around a trial.

use super::{
    Place,
    experiment::Experiment,
    nni::{Step, compare_all, configuration},
    python::Release,
};
use crate::report::Outcome;
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path};

/// Runs the scenario that a release has.
pub(super) fn run(place: &Place, release: &Release, bin: &Path, step: &mut Step<'_>) {
    match release.version {
        "3.0" => step("NNI 3.0: parameters and results by the HTTP channel", &|| {
            channel(place, bin)
        }),
        "2.10" => step("NNI 2.10: its trial keeper reports by HTTP", &|| keeper(place, bin)),
        _ => {}
    }
}

/// Every parameter in the right place, eight trials at a time; nothing went by files.
fn channel(place: &Place, bin: &Path) -> Result<Outcome> {
    let experiment = Experiment::new(place, "nni-channel", Some(bin))?;
    let file = configuration(place, "channel");
    let said = experiment.refused(&["run", &file])?;
    ensure!(said.contains("--port"), "without a port it says: {said}");
    experiment.run(&["run", &file, "--port", "0"])?;
    let directory = experiment.directory()?;
    compare_all(&experiment, &directory, 32)?;
    for trial in experiment.trials()? {
        let id = trial["id"].as_str().context("a trial without id")?;
        let journal = directory.join("trials").join(id).join(".nni/metrics");
        ensure!(fs::metadata(&journal)?.len() == 0, "trial {id} wrote to its journal");
    }
    Ok(Outcome::Passed)
}

fn keeper(place: &Place, bin: &Path) -> Result<Outcome> {
    let experiment = Experiment::new(place, "nni-keeper", Some(bin))?;
    experiment.run(&["run", &configuration(place, "keeper"), "--port", "0"])?;
    let directory = experiment.directory()?;
    compare_all(&experiment, &directory, 4)?;
    for trial in experiment.trials()? {
        let id = trial["id"].as_str().context("a trial without id")?;
        let file = directory.join("trials").join(id).join("stdout_log_collection.log");
        let lines = fs::read_to_string(&file).with_context(|| format!("trial {id} left no lines"))?;
        ensure!(
            lines.contains("subprocess terminated") && !lines.contains("NNISDK_ME"),
            "the keeper of trial {id} said:\n{lines}"
        );
    }
    Ok(Outcome::Passed)
}
