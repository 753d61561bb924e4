//! Machines that say they have GPUs: who gets which, how many at once, and what a trial is told that waits for one.

use super::{
    lab::{Lab, USER},
    machine::Machine,
    study::Study,
};
use crate::e2e::{
    Place,
    experiment::{Experiment, wait_until},
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Two machines with two GPUs each: four trials at a time, each on a GPU of its own.
pub(super) fn each_its_own(place: &Place, lab: &Lab) -> Result<()> {
    let machines = [Machine::new(lab, &[])?, Machine::new(lab, &[])?];
    let folder = held(lab, "each-its-own")?;
    let mut entries = Vec::new();
    for (name, machine) in ["a", "b"].into_iter().zip(&machines) {
        let driver = Driver::new(lab, &folder, name, 2)?;
        entries.push(entry(machine, lab, &driver, 1, &json!({})));
    }
    study(entries, 4, 20).run(place, lab, "gpus")?;
    let all = ["a 0 1", "a 1 1", "b 0 1", "b 1 1"];
    let used = used(&folder)?;
    ensure!(used.iter().eq(all), "used were {used:?}");
    Ok(())
}

/// `gpuIndices`, `maxTrialNumberPerGpu` and `useActiveGpu`, each on a machine of its own.
pub(super) fn rules(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let cases = [
        ("indices", &[][..], json!({ "gpuIndices": [1] }), &["m 1 1"][..]),
        (
            "two-on-one",
            &[],
            json!({ "gpuIndices": [0], "maxTrialNumberPerGpu": 2 }),
            &["m 0 1", "m 0 2"],
        ),
        ("active", &[1], json!({}), &["m 0 1"]),
        (
            "used-though-active",
            &[0, 1],
            json!({ "useActiveGpu": true }),
            &["m 0 1", "m 1 1"],
        ),
    ];
    for (name, busy, rules, expected) in cases {
        let folder = held(lab, name)?;
        let driver = Driver::new(lab, &folder, "m", 2)?;
        driver.set_busy(busy)?;
        let most = rules["maxTrialNumberPerGpu"].as_u64().unwrap_or(1);
        let entry = entry(&machine, lab, &driver, most, &rules);
        study(vec![entry], 3, 8)
            .run(place, lab, &format!("gpus-{name}"))
            .context(name)?;
        let used = used(&folder)?;
        ensure!(used.iter().eq(expected), "`{name}`: used were {used:?}");
    }
    Ok(())
}

/// All GPUs are others': the trial waits and says for what, and goes on once they are free.
pub(super) fn waits(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let folder = held(lab, "waits")?;
    let driver = Driver::new(lab, &folder, "m", 2)?;
    driver.set_busy(&[0, 1])?;
    let study = study(vec![entry(&machine, lab, &driver, 1, &json!({}))], 1, 2);
    let experiment = Experiment::new(place, "ssh-gpus-wait", None)?;
    let mut run = experiment.start(&["run", &study.file(lab, "gpus-wait")?.to_string_lossy()])?;
    let why = wait_until("the trial says what it waits for", || {
        let Some(trial) = experiment.trials().ok().and_then(|mut trials| trials.pop()) else {
            return Ok(None);
        };
        let id = trial["id"].as_str().context("a trial without id")?;
        let why = experiment.json(&["explain", id])?["trial"].take();
        Ok((why["reason"]["code"] == "GpuBusy").then_some(why))
    })?;
    let said = why.to_string();
    for part in [
        "GPU 0 runs process 4700",
        "GPU 1 runs process 4701",
        "useActiveGpu",
        &machine.address,
    ] {
        ensure!(said.contains(part), "nothing about `{part}`: {said}");
    }
    ensure!(why["status"] == "WAITING", "it is {}", why["status"]);
    ensure!(
        !experiment.said()?.contains("warning"),
        "it warned:\n{}",
        experiment.said()?
    );
    driver.set_busy(&[])?;
    experiment.finish(&mut run)?;
    study.check(&experiment)
}

/// Trials of one GPU.
fn study(machines: Vec<Value>, concurrency: usize, trials: usize) -> Study {
    Study {
        command: "sh gpu.sh",
        trials,
        concurrency,
        pause: 0.2,
        more: json!({ "trialGpuNumber": 1 }),
        ..Study::short(machines)
    }
}

/// A machine with this driver on which at most `most` trials may be on one GPU.
fn entry(machine: &Machine, lab: &Lab, driver: &Driver, most: u64, rules: &Value) -> Value {
    let Driver { program, name, held } = driver;
    let before = format!("export HELD={} MACHINE={name} MOST={most}", held.display());
    let mut entry = machine.entry(lab, USER, rules);
    entry["nvidiaSmi"] = json!(program);
    entry["trialPrepareCommand"] = json!(before);
    entry
}

/// A folder in which trials note what they hold.
fn held(lab: &Lab, name: &str) -> Result<PathBuf> {
    let folder = lab.dir.join(format!("held-{name}"));
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    Ok(folder)
}

/// Machine, GPU and place on it, each once, that trials have noted; nothing may be held any more.
fn used(held: &Path) -> Result<BTreeSet<String>> {
    let left: Vec<PathBuf> = fs::read_dir(held)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    ensure!(left.is_empty(), "still held: {left:?}");
    let text = fs::read_to_string(held.join("used"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// What a machine answers when it is asked for its GPUs.
#[derive(Debug)]
struct Driver {
    program: PathBuf,
    name: &'static str,
    held: PathBuf,
}

impl Driver {
    fn new(lab: &Lab, held: &Path, name: &'static str, n_gpus: u32) -> Result<Self> {
        let program = lab.dir.join(format!(
            "smi-{}-{name}",
            held.file_name().unwrap_or_default().to_string_lossy()
        ));
        fs::copy(lab.dir.join("code/nvidia-smi.sh"), &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let rows = (0..n_gpus).map(|gpu| format!("{gpu}, GPU-{gpu}, Tesla V100-SXM2-16GB, 16130, 0, 0, [N/A]\n"));
        fs::write(program.with_added_extension("gpus"), rows.collect::<String>())?;
        let driver = Self {
            program,
            name,
            held: held.to_owned(),
        };
        driver.set_busy(&[])?;
        Ok(driver)
    }

    /// Has a process of somebody else on each of these GPUs, and on no other.
    fn set_busy(&self, gpus: &[u32]) -> Result<()> {
        let rows = gpus.iter().map(|gpu| format!("GPU-{gpu}, {}, 11243\n", 4700 + gpu));
        let file = self.program.with_added_extension("processes");
        let draft = file.with_added_extension("new");
        fs::write(&draft, rows.collect::<String>())?;
        Ok(fs::rename(draft, file)?)
    }
}
