//! An experiment that NNI's own manager ran, imported and continued: every trial as it recorded itself, and NNI's folder untouched.
//! Then the same from the archive that `nnictl experiment save` makes of it.

use super::{
    Place,
    experiment::{Experiment, wait_until},
    nni::find_records,
    record::Record,
};
use crate::{report::Outcome, shell};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

/// So many trials of `e2e/nni/v2.yml` are enough: NNI 3.0 starts no more once some have ended, now and then.
const ENOUGH: usize = 5;
/// How many more are run after the import.
const MORE: usize = 2;
/// The one that fails by itself.
const FAILING: usize = 3;

/// Runs it with one release.
pub(super) fn run(place: &Place, version: &str, bin: &Path) -> Result<Outcome> {
    let experiment = Experiment::new(place, &format!("nni-{version}-import"), Some(bin))?;
    let nni = Nni {
        bin,
        home: experiment.home(),
    };
    let configuration = place.root.join("xtask/e2e/nni/v2.yml");
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    nni.nnictl(&[
        "create",
        "--config",
        &configuration.to_string_lossy(),
        "--port",
        &port.to_string(),
    ])?;
    let folders = experiment.home().join("nni-experiments");
    let ran = nni.wait(&folders).and_then(|id| {
        let refused = experiment.refused(&["import", &id])?;
        ensure!(refused.contains("runs experiment"), "{refused}");
        Ok(id)
    });
    nni.nnictl(&["stop", "--all"])?;
    let id = ran?;

    let folder = folders.join(&id);
    let before = contents(&folder)?;
    experiment.run(&["import", &id])?;
    compare_and_go_on(&experiment, version, &id, &folder)?;
    ensure!(contents(&folder)? == before, "NNI's folder is not as it was");
    archived(place, &experiment, &nni, version, &id)?;
    Ok(Outcome::Passed)
}

/// Loads the experiment from NNI's archive, as a user of tsctl does and as one of `nnictl` does.
fn archived(place: &Place, experiment: &Experiment, nni: &Nni<'_>, version: &str, id: &str) -> Result<()> {
    let home = experiment.home();
    let saved = home.join("saved");
    nni.nnictl(&["experiment", "save", id, "--path", &saved.to_string_lossy()])?;
    let archive = saved.join(format!("nni_experiment_{id}.zip"));
    let archive = archive.to_string_lossy();
    let places = ["loaded", "loaded-by-nnictl"].map(|name| home.join(name));
    let [to, to_by_nnictl] = places.each_ref().map(|path| path.to_string_lossy());

    let load = ["load", &*archive, "--to", &*to];
    let refused = experiment.refused(&load)?;
    ensure!(refused.contains("is there already"), "{refused}");
    experiment.run(&["gc", id, "--yes"])?;
    experiment.run(&load)?;
    compare_and_go_on(experiment, version, id, &places[0].join(id).join("nni"))?;

    experiment.run(&["gc", id, "--yes"])?;
    let link = home.join("nnictl");
    std::os::unix::fs::symlink(&place.tsctl, &link)?;
    // NNI saves no code of an experiment in schema 2: its user brings that along.
    let code = home.join("code");
    fs::create_dir(&code)?;
    fs::copy(place.root.join("xtask/e2e/nni/trial.py"), code.join("trial.py"))?;
    let (code, space) = (code.to_string_lossy(), home.join("space.json"));
    let mut nnictl = Command::new(&link);
    nnictl.args(["experiment", "load", "--path", &*archive, "--codeDir", &*code]);
    nnictl
        .args(["--logDir", &*to_by_nnictl, "--searchSpacePath"])
        .arg(&space);
    nnictl.env("HOME", home).env_remove("XDG_STATE_HOME");
    shell::output(&mut nnictl)?;
    let space: Value = serde_json::from_str(&fs::read_to_string(space)?)?;
    let given: Value = serde_json::from_str(&fs::read_to_string(place.root.join("xtask/e2e/nni/search_space.json"))?)?;
    ensure!(space == given, "the search space became {space}");
    let config = fs::read_to_string(places[1].join(id).join("config.yml"))?;
    ensure!(config.contains(&*code), "the code is not where it was put: {config}");
    compare_and_go_on(experiment, version, id, &places[1].join(id).join("nni"))
}

/// Compares every trial with its own record below `folder`, and runs some more.
fn compare_and_go_on(experiment: &Experiment, version: &str, id: &str, folder: &Path) -> Result<()> {
    let mut records = HashMap::new();
    find_records(folder, &mut records)?;
    let trials = experiment.trials()?;
    let n_trials = trials.len();
    for (at, trial) in trials.iter().enumerate() {
        let reason = trial["reason"]["message"].as_str().unwrap_or_default();
        if trial["status"] == "SYS_CANCELED" && reason.contains("had not ended") {
            // NNI began it while it was told to stop.
            continue;
        }
        let expected = if at == FAILING { "FAILED" } else { "SUCCEEDED" };
        ensure!(
            trial["status"] == expected,
            "trial {at} is {}, not {expected}",
            trial["status"]
        );
        let name = trial["id"].as_str().context("a trial without id")?;
        let record = records
            .get(name)
            .with_context(|| format!("trial {name} left no record"))?;
        let mut trial = trial.clone();
        if version == "3.0" {
            // Its manager may hand a trial the parameters of another that asks at the same time.
            let opening: Value = serde_json::from_str(record.lines().next().unwrap_or_default())?;
            trial["parameters"] = opening["parameters"].clone();
        }
        Record::parse(record)?.compare(&trial, &experiment.metrics(name)?)?;
    }
    ensure!(records.len() >= ENOUGH, "only {} trials left a record", records.len());
    let all = n_trials + MORE;
    experiment.run(&["resume", id, "--max-trials", &all.to_string()])?;
    let trials = experiment.trials()?;
    ensure!(trials.len() == all, "{} trials instead of {all}", trials.len());
    for trial in &trials[n_trials..] {
        ensure!(
            trial["status"] == "SUCCEEDED",
            "trial {} is {}",
            trial["id"],
            trial["status"]
        );
    }
    Ok(())
}

/// NNI's command line in a home of its own.
struct Nni<'a> {
    bin: &'a Path,
    home: &'a Path,
}

impl Nni<'_> {
    fn nnictl(&self, arguments: &[&str]) -> Result<String> {
        println!("  $ nnictl {}", arguments.join(" "));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [self.bin.to_owned()].into_iter().chain(std::env::split_paths(&path));
        let mut command = Command::new(self.bin.join("python"));
        command
            .args(["-m", "nni.tools.nnictl.nnictl"])
            .args(arguments)
            .env("HOME", self.home)
            .env("PATH", std::env::join_paths(path)?);
        shell::output(&mut command)
    }

    /// Waits until enough trials have ended and none runs; the experiment's id.
    fn wait(&self, folders: &Path) -> Result<String> {
        let latest = fs::read_link(folders.join("_latest")).context("NNI names no experiment")?;
        let id = latest
            .file_name()
            .context("NNI names no experiment")?
            .to_string_lossy()
            .into_owned();
        wait_until("NNI's trials end", || {
            let listed = self.nnictl(&["trial", "ls", &id])?;
            let ended = listed.matches("SUCCEEDED").count() + listed.matches("FAILED").count();
            Ok((ended >= ENOUGH && !listed.contains("RUNNING")).then_some(()))
        })?;
        Ok(id)
    }
}

/// Every file below a folder.
fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.append(&mut contents(&path)?);
        } else {
            found.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(found)
}
