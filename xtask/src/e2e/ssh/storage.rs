//! Storage that machines share: the code comes once, all of them run trials from it, and where it is missing is said.

use super::{
    disk::Disk,
    lab::{Lab, USER},
    links::{SIZE, with_large_code},
    machine::Machine,
    study::Study,
};
use crate::e2e::{Place, experiment::Experiment};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// Two machines that see nothing of each other but one folder.
pub(super) fn shared(place: &Place, lab: &Lab) -> Result<()> {
    let disk = Disk::new(lab.dir.join("exported"), "64m")?;
    let point = lab.dir.join("shared");
    fs::create_dir(&point)?;
    let machines = [mounted(lab, &disk, &point)?, mounted(lab, &disk, &point)?];
    let entries = machines.iter().map(|machine| machine.entry(lab, USER, &json!({})));
    let mut study = with_large_code(lab, "shared", entries.collect())?;
    (study.trials, study.concurrency, study.pause) = (12, 4, 0.1);
    study.more["sharedStorage"] = storage(disk.path(), &point);
    let experiment = study.run(place, lab, "shared")?;
    let n_bytes = machines.iter().map(Machine::n_bytes_sent).sum::<Result<u64>>()?;
    let size = SIZE as u64;
    ensure!(
        n_bytes > size && n_bytes < size * 2,
        "{n_bytes} bytes were sent for code of {size}"
    );
    let mut used: Vec<String> = Vec::new();
    for trial in experiment.trials()? {
        let id = trial["id"].as_str().context("a trial without id")?;
        let url = trial["url"].as_str().unwrap_or_default();
        used.extend(
            machines
                .iter()
                .map(|m| m.address.clone())
                .filter(|address| url.contains(address.as_str())),
        );
        let experiment = trial["experimentId"].as_str().context("a trial without experiment")?;
        let result = disk.path().join("nni").join(experiment).join("trials").join(id);
        ensure!(result.is_dir(), "trial {id} is not on the shared storage");
    }
    used.sort();
    used.dedup();
    ensure!(used.len() == 2, "only {used:?} ran trials");
    Ok(())
}

/// One machine has it mounted, one has an empty folder in its place, and one not even that.
pub(super) fn missing(place: &Place, lab: &Lab) -> Result<()> {
    let disk = Disk::new(lab.dir.join("exported-here"), "8m")?;
    let point = lab.dir.join("only-here");
    fs::create_dir(&point)?;
    let has = mounted(lab, &disk, &point)?;
    let lacks = Machine::new(lab, &[])?;
    let entries = [&has, &lacks].map(|machine| machine.entry(lab, USER, &json!({})));
    let study = Study {
        more: json!({ "sharedStorage": storage(disk.path(), &point) }),
        ..Study::short(entries.to_vec())
    };
    let experiment = Experiment::new(place, "ssh-storage-missing", None)?;
    let said = experiment.refused(&["doctor", &study.file(lab, "storage-missing")?.to_string_lossy()])?;
    // Below a mount point of something else, that nothing is mounted can only be seen by who may not write there.
    let is_root_disk = fs::metadata(&lab.dir)?.dev() == fs::metadata("/")?.dev();
    let expected = if is_root_disk {
        "nothing is mounted"
    } else {
        "Permission denied"
    };
    let point = point.to_string_lossy();
    let told = |address: &str, what: &str| said.lines().any(|line| line.contains(address) && line.contains(what));
    ensure!(
        told(&has.address, &format!("mounted at `{point}`")) && told(&lacks.address, expected),
        "it is not said where `{point}` is missing:\n{said}"
    );
    fs::remove_dir(&*point)?;
    let gone = Experiment::new(place, "ssh-storage-gone", None)?;
    let said = gone.refused(&["doctor", &study.file(lab, "storage-missing")?.to_string_lossy()])?;
    ensure!(
        said.contains(&format!("`{point}` (sharedStorage.remoteMountPoint) does not exist")),
        "it is not said that `{point}` does not exist:\n{said}"
    );
    Ok(())
}

/// A machine that has the disk mounted there, where no other machine sees it, and whose processes are its own.
fn mounted(lab: &Lab, disk: &Disk, point: &Path) -> Result<Machine> {
    Machine::inside(
        lab,
        &[
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            "mount --bind -- \"$0\" \"$1\" && shift && exec \"$@\"",
            &disk.path().to_string_lossy(),
            &point.to_string_lossy(),
        ],
    )
}

fn storage(here: &Path, there: &Path) -> Value {
    json!({
        "storageType": "NFS",
        "nfsServer": "10.231.0.1",
        "exportedDirectory": here,
        "localMountPoint": here,
        "remoteMountPoint": there,
        "localMounted": "usermount",
    })
}
