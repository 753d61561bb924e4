//! The HTTP API under Schemathesis, which makes requests from the OpenAPI description and compares every reply with it: beside a
//! running experiment, and where an experiment is only looked at and a token is needed.
//!
//! Tests of `ts-manager` make such requests by themselves; this one is somebody else's reading of the description.

use super::{
    Place,
    experiment::{Experiment, wait_until},
    python,
};
use anyhow::{Result, bail};
use std::{fs, path::Path, process::Command};

/// The fuzzer. Another version finds other things.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
const PYTHONS: [&str; 4] = ["3.12", "3.11", "3.13", "3.10"];
/// Random requests for each operation, beside those that it makes for every bound.
const EXAMPLES: &str = "25";
const SEED: &str = "20260";
/// What would end the experiment, or have it run more than this machine can; tests of `ts-manager` ask for both.
const LEFT_OUT: [&str; 2] = ["stopExperiment", "changeLimits"];
/// Only whoever knows it is answered.
const TOKEN: &str = "0123456789abcdef0123";

/// All of its checks in all of its phases.
pub(super) fn fuzzed(place: &Place) -> Result<()> {
    let probe = "import schemathesis.cli";
    let python = python::packages(place, "schemathesis", &PYTHONS, &[SCHEMATHESIS], probe)?;
    let experiment = Experiment::new(place, "api", None)?;
    let config = place.root.join("xtask/e2e/api/config.yml");

    let mut run = experiment.start(&["run", &config.to_string_lossy(), "--port", "0"])?;
    let left_out = LEFT_OUT.map(|id| format!("--exclude-operation-id={id}"));
    fuzz(place, &python, &url(&experiment)?, &left_out)?;
    experiment.json(&["stop"])?;
    experiment.end_of(&mut run)?;

    let token = experiment.home().join("token");
    fs::write(&token, TOKEN)?;
    let web = experiment.start(&["web", "--token-file", &token.to_string_lossy()])?;
    let header = format!("--header=Authorization: Bearer {TOKEN}");
    fuzz(place, &python, &url(&experiment)?, &[header])?;
    web.signal("TERM")
}

/// Where the experiment is served.
fn url(experiment: &Experiment) -> Result<String> {
    wait_until("the experiment is served", || {
        // There is no experiment to read in the first moment.
        let status = experiment.json(&["status"]).unwrap_or_default();
        Ok(status["experiment"]["url"].as_str().map(str::to_owned))
    })
}

fn fuzz(place: &Place, python: &Path, url: &str, more: &[String]) -> Result<()> {
    let mut fuzzer = Command::new(python.with_file_name("schemathesis"));
    fuzzer
        .arg("run")
        .arg(format!("{url}/api/v2/openapi.json"))
        .args(["--checks=all", "--no-color", "--generation-database=none"])
        // A stream of events is read for so many seconds.
        .args(["--request-timeout=2", "--max-examples", EXAMPLES, "--seed", SEED])
        .args(more)
        .current_dir(place.fresh("api")?);
    let told = fuzzer.output()?;
    let text = String::from_utf8_lossy(&told.stdout);
    if !told.status.success() {
        bail!("{}\n{text}{}", told.status, String::from_utf8_lossy(&told.stderr));
    }
    let counted = text.lines().find(|line| line.contains(" generated"));
    println!("  {}", counted.unwrap_or("nothing was generated").trim());
    Ok(())
}
