//! NNI's own clients, its Python client and `nnictl`, against the HTTP API of an experiment that `tsctl run --port` serves.

use super::{
    Place,
    experiment::{Experiment, wait_until},
    nni::Step,
    python::Release,
};
use crate::report::Outcome;
use anyhow::{Context, Result, ensure};
use std::{path::Path, process::Command};

/// Runs `e2e/nni/clients.py` with one release.
pub(super) fn run(place: &Place, release: &Release, bin: &Path, step: &mut Step<'_>) {
    // Its Python package has no such client.
    if release.version == "1.9" {
        return;
    }
    step(
        &format!("NNI {}: its clients against the HTTP API", release.version),
        &|| clients(place, release, bin),
    );
}

fn clients(place: &Place, release: &Release, bin: &Path) -> Result<Outcome> {
    let folder = place.root.join("xtask/e2e/nni");
    let experiment = Experiment::new(place, &format!("nni-{}-clients", release.version), Some(bin))?;
    let configuration = folder.join("clients.yml");
    let mut running = experiment.start(&["run", &configuration.to_string_lossy(), "--port", "0"])?;
    let url = wait_until("the experiment is served", || {
        // There is no experiment to read in the first moment.
        let status = experiment.json(&["status"]).unwrap_or_default();
        Ok(status["experiment"]["url"].as_str().map(str::to_owned))
    })?;
    let port = url.rsplit(':').next().context("an address without a port")?;
    let mut python = Command::new(bin.join("python"));
    python
        .arg(folder.join("clients.py"))
        .arg(port)
        .env("HOME", experiment.home())
        .env_remove("XDG_STATE_HOME");
    let said = python.output().context("cannot start Python")?;
    ensure!(
        said.status.success(),
        "the clients failed:\n{}{}\nand `tsctl` said:\n{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr),
        experiment.said()?
    );
    experiment.finish(&mut running)?;
    let trials = experiment.trials()?;
    let in_status = |status: &str| trials.iter().filter(|trial| trial["status"] == status).count();
    ensure!(
        (trials.len(), in_status("SUCCEEDED"), in_status("USER_CANCELED")) == (32, 31, 1),
        "{} trials, {} succeeded, {} cancelled",
        trials.len(),
        in_status("SUCCEEDED"),
        in_status("USER_CANCELED")
    );
    let added = |trial: &&serde_json::Value| trial["parameters"]["parameters"]["added"] == 77;
    ensure!(
        trials.iter().filter(added).count() >= 20,
        "the new search space did not reach the tuner"
    );
    Ok(Outcome::Passed)
}
