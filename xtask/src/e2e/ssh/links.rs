//! Links that are slow, that lose packets, and that are cut in the middle of an upload. Nothing may be lost or counted twice.

use super::{
    lab::{Lab, USER},
    line::Line,
    machine::Machine,
    study::Study,
};
use crate::{
    e2e::{
        Place,
        experiment::{Experiment, pause, wait_until},
    },
    shell,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Size of the code; at the rate below it takes about seven seconds.
pub(super) const SIZE: usize = 2_500_000;
const RATE: &str = "3mbit";
/// Longer than a lost link stays unseen.
const CUT: Duration = Duration::from_secs(6);

/// Code and metrics come through a slow cable with a short queue that also loses packets at random.
pub(super) fn slow(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let line = Line::slow(&machine, RATE)?;
    line.lose(2)?;
    let study = Study {
        trials: 24,
        concurrency: 8,
        steps: 100,
        pause: 0.02,
        ..with_large_code(lab, "slow", vec![machine.entry(lab, USER, &json!({}))])?
    };
    study.run(place, lab, "slow")?;
    let (full, random) = line.n_lost()?;
    ensure!(full > 0 && random > 0, "lost were {full} and {random}: no bad link");
    Ok(())
}

/// What has arrived of the code when the cable is pulled is not taken for all of it, and is not left behind.
pub(super) fn cut_upload(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let line = Line::slow(&machine, RATE)?;
    let folder = lab.home(USER).join("cut");
    let more = json!({ "keepalive": "1s", "directory": folder });
    let study = with_large_code(lab, "cut-upload", vec![machine.entry(lab, USER, &more)])?;
    let experiment = Experiment::new(place, "ssh-cut-upload", None)?;
    let file = study.file(lab, "cut-upload")?;
    let mut run = experiment.start(&["run", &file.to_string_lossy()])?;
    wait_until("part of the code is there", || {
        Ok((size_of(&folder) > SIZE as u64 / 10).then_some(()))
    })?;
    machine.pull_cable()?;
    let part = size_of(&folder);
    ensure!(part < SIZE as u64, "the upload was too fast to be cut");
    pause(CUT);
    machine.plug_cable()?;
    experiment.finish(&mut run)?;
    line.fast_again()?;
    study.check(&experiment)?;
    // The cut upload may end after the whole one.
    wait_until("one folder of code is left", || {
        Ok((code_folders(&folder).len() == 1).then_some(()))
    })
    .with_context(|| format!("{:?}", code_folders(&folder)))?;
    let [code] = &code_folders(&folder)[..] else {
        anyhow::bail!("no code is left");
    };
    let same = fs::read(code.join("data"))? == fs::read(lab.dir.join("code-cut-upload/data"))?;
    ensure!(same, "the code is not what was sent");
    Ok(())
}

/// Trials that look first whether their code came whole.
pub(super) fn with_large_code(lab: &Lab, name: &str, machines: Vec<Value>) -> Result<Study> {
    let code = lab.dir.join(format!("code-{name}"));
    fs::create_dir(&code)?;
    fs::copy(lab.dir.join("code/trial.sh"), code.join("trial.sh"))?;
    let mut data = Command::new("head");
    data.args(["-c", &SIZE.to_string(), "/dev/urandom"]);
    let file = fs::File::create(code.join("data"))?;
    let made = data.stdout(file).status()?;
    ensure!(made.success(), "no random data");
    let sum = shell::output(Command::new("sha256sum").arg("data").current_dir(&code))?;
    fs::write(code.join("sum"), sum)?;
    Ok(Study {
        command: "sha256sum -c sum && sh trial.sh",
        more: json!({ "trialCodeDirectory": code }),
        ..Study::short(machines)
    })
}

/// Folders of code, whole or not, below this folder of a machine; beside each is one with notes of who uses it.
fn code_folders(folder: &Path) -> Vec<PathBuf> {
    let is_store = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(".code-"))
    };
    let kept = children(folder).into_iter().filter(is_store);
    kept.flat_map(|store| children(&store))
        .filter(|path| path.extension().is_none_or(|extension| extension != "users"))
        .collect()
}

/// Paths below folders of code that are on their way.
fn arrived(folder: &Path) -> Vec<PathBuf> {
    code_folders(folder).iter().flat_map(|code| children(code)).collect()
}

fn size_of(folder: &Path) -> u64 {
    arrived(folder)
        .iter()
        .filter_map(|file| fs::metadata(file).ok())
        .map(|file| file.len())
        .sum()
}

/// What is in a folder; nothing while it is not there.
fn children(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}
