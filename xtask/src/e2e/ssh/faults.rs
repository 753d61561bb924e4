//! What goes wrong in the middle: the cable, the server, the manager, the disk. Nothing may be lost or counted twice.

use super::{
    disk::Disk,
    lab::{Lab, USER},
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
use std::{fs, process::Command, time::Duration};

/// How long it takes a machine to end what it was told to; and longer than a lost link stays unseen.
const CUT: Duration = Duration::from_secs(6);

/// Links on which nothing happens for much longer than a machine may be silent are not taken for lost ones.
pub(super) fn quiet(place: &Place, lab: &Lab) -> Result<()> {
    let machines: Vec<Machine> = (0..8).map(|_| Machine::new(lab, &[])).collect::<Result<_>>()?;
    let study = Study {
        command: "sh tree.sh",
        trials: 1,
        concurrency: 1,
        ..Study::short(machines.iter().map(|machine| entry(machine, lab)).collect())
    };
    let experiment = Experiment::new(place, "ssh-quiet", None)?;
    let mut run = experiment.start(&["run", &study.file(lab, "quiet")?.to_string_lossy()])?;
    let id = experiment.reported_once()?;
    pause(CUT * 5);
    let said = experiment.said()?;
    experiment.run(&["cancel", &id])?;
    experiment.end_of(&mut run)?;
    ensure!(!said.contains("no link"), "a link was lost:\n{said}");
    Ok(())
}

/// Packets are dropped, not refused.
pub(super) fn cable(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let study = Study::long(vec![entry(&machine, lab)], 4.0);
    interrupted(place, lab, "cable", &study, |_| {
        machine.pull_cable()?;
        pause(CUT);
        machine.plug_cable()
    })
}

/// Server and sessions get SIGKILL; trials go on without them.
pub(super) fn server(place: &Place, lab: &Lab) -> Result<()> {
    let mut machine = Machine::new(lab, &[])?;
    let study = Study::long(vec![entry(&machine, lab)], 4.0);
    interrupted(place, lab, "server", &study, |_| {
        machine.kill_server()?;
        ensure!(!machine.answers(), "it still answers");
        pause(CUT);
        machine.start()
    })
}

/// The next manager starts before the machine can be reached again.
pub(super) fn manager(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let study = Study::long(vec![entry(&machine, lab)], 3.0);
    let experiment = Experiment::new(place, "ssh-manager", None)?;
    let mut first = experiment.start(&["run", &study.file(lab, "manager")?.to_string_lossy()])?;
    experiment.in_the_middle()?;
    machine.pull_cable()?;
    first.kill()?;
    let mut second = experiment.start(&["resume"])?;
    pause(CUT);
    machine.plug_cable()?;
    experiment.finish(&mut second)?;
    study.check(&experiment)
}

/// A disk that is full at first keeps trials waiting with a reason; once there is space, they run.
pub(super) fn full_disk(place: &Place, lab: &Lab) -> Result<()> {
    // Mounted before the machine takes its view of the file systems.
    let disk = Disk::new(lab.home(USER).join("disk"), "2m")?;
    let machine = Machine::new(lab, &[])?;
    let filler = disk.path().join("filler");
    // Ends with an error when the disk is full.
    let _ = shell::output(
        Command::new("dd")
            .args(["if=/dev/zero", "bs=64k"])
            .arg(format!("of={}", filler.display())),
    );
    let study = Study::short(vec![machine.entry(lab, USER, &json!({ "directory": disk.path() }))]);
    let experiment = Experiment::new(place, "ssh-full-disk", None)?;
    let file = study.file(lab, "full-disk")?;
    let mut run = experiment.start(&["run", &file.to_string_lossy()])?;
    wait_until("the reason is told", || {
        Ok(experiment.said()?.contains("No space left").then_some(()))
    })?;
    fs::remove_file(filler)?;
    experiment.finish(&mut run)?;
    study.check(&experiment)
}

/// A machine whose silence is noticed after three seconds.
fn entry(machine: &Machine, lab: &Lab) -> Value {
    machine.entry(lab, USER, &json!({ "keepalive": "1s" }))
}

/// Runs it, does `fault` while some trials have ended and some run, and checks everything.
fn interrupted(
    place: &Place,
    lab: &Lab,
    name: &str,
    study: &Study,
    fault: impl FnOnce(&Experiment) -> Result<()>,
) -> Result<()> {
    let experiment = Experiment::new(place, &format!("ssh-{name}"), None)?;
    let mut run = experiment.start(&["run", &study.file(lab, name)?.to_string_lossy()])?;
    experiment.in_the_middle()?;
    let done = fault(&experiment).with_context(|| format!("{name}: the fault"));
    experiment.finish(&mut run)?;
    done?;
    study.check(&experiment)
}
