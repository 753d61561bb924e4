//! Many trials on many machines, NNI's own SDK there, and the end of a whole tree.

use super::{
    lab::{Lab, PASSWORD, USER},
    machine::Machine,
    study::{Study, no_secret_in_command_lines},
};
use crate::e2e::{
    Place,
    experiment::{Experiment, wait_until},
    nni,
    processes::nothing_runs,
    python::{self, RELEASES},
};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::{fs, thread};

/// All machines take part, over one connection each, and nobody's password is seen.
pub(super) fn many(place: &Place, lab: &Lab) -> Result<()> {
    let machines: Vec<Machine> = (0..8).map(|_| Machine::new(lab, &[])).collect::<Result<_>>()?;
    // All machines share one file system, so each gets a folder of its own.
    let entry = |(n, machine): (usize, &Machine)| {
        let folder = lab.home(USER).join(format!("machine-{n}"));
        machine.entry(lab, USER, &json!({ "password": PASSWORD, "directory": folder }))
    };
    let study = Study {
        trials: 400,
        concurrency: 64,
        steps: 5,
        pause: 0.1,
        ..Study::short(machines.iter().enumerate().map(entry).collect())
    };
    let experiment = Experiment::new(place, "ssh-many", None)?;
    let mut run = experiment.start(&["run", &study.file(lab, "many")?.to_string_lossy()])?;
    let ran = thread::scope(|scope| {
        let seen = scope.spawn(|| -> Result<usize> {
            let mut most = 0;
            wait_until("most trials have ended", || {
                no_secret_in_command_lines()?;
                for machine in &machines {
                    most = most.max(machine.n_sessions()?);
                }
                let Ok(trials) = experiment.trials() else {
                    return Ok(None);
                };
                Ok((trials.iter().filter(|t| t["status"] == "SUCCEEDED").count() >= 300).then_some(()))
            })?;
            Ok(most)
        });
        let ran = experiment.finish(&mut run);
        (ran, seen.join())
    });
    ran.0?;
    let most = ran.1.map_err(|_| anyhow::anyhow!("the observer panicked"))??;
    ensure!(most == 1, "a machine had {most} connections");
    study.check(&experiment)?;
    for n in 0..8 {
        super::study::no_secret_below(&lab.home(USER).join(format!("machine-{n}")))?;
    }
    let mut used: Vec<String> = Vec::new();
    for trial in experiment.trials()? {
        // Such as `file://10.231.4.2:/folder`.
        let url = trial["url"].as_str().unwrap_or_default();
        let host = url.strip_prefix("file://").and_then(|rest| rest.split_once(":/"));
        used.push(host.map(|(host, _)| host.to_owned()).unwrap_or_default());
    }
    used.sort();
    used.dedup();
    ensure!(used.len() == 8, "only {used:?} ran trials");
    Ok(())
}

/// The released SDK, which a folder of `pythonPath` has.
pub(super) fn sdk(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let release = &RELEASES[0];
    let bin = python::environment(place, release)?;
    let folder = lab.dir.join("sdk");
    // The environment belongs to root.
    let entry = machine.entry(lab, "root", &json!({ "directory": folder, "pythonPath": bin }));
    let config = json!({
        "experimentName": "ssh-sdk",
        "trialCommand": "python3 trial.py",
        "trialCodeDirectory": place.root.join("xtask/e2e/nni"),
        "searchSpaceFile": place.root.join("xtask/e2e/nni/search_space.json"),
        "trialConcurrency": 4,
        "maxTrialNumber": 8,
        "tuner": { "name": "TPE", "classArgs": { "optimize_mode": "maximize" } },
        "trainingService": { "platform": "remote", "machineList": [entry] },
    });
    let file = lab.dir.join("sdk.json");
    fs::write(&file, config.to_string())?;
    let experiment = Experiment::new(place, "ssh-sdk", None)?;
    experiment.run(&["run", &file.to_string_lossy()])?;
    nni::compare_all(&experiment, &folder, 8)
}

/// Processes in sessions of their own and deaf ones end as well.
pub(super) fn cancel(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    canceled(place, lab, "cancel", machine.entry(lab, USER, &json!({})))
}

/// Cancels a trial on the machine of this entry; its whole tree ends.
pub(super) fn canceled(place: &Place, lab: &Lab, name: &str, entry: Value) -> Result<()> {
    let study = Study {
        command: "sh tree.sh",
        trials: 1,
        concurrency: 1,
        ..Study::short(vec![entry])
    };
    let experiment = Experiment::new(place, &format!("ssh-{name}"), None)?;
    let mut run = experiment.start(&["run", &study.file(lab, name)?.to_string_lossy()])?;
    let id = experiment.reported_once()?;
    experiment.run(&["cancel", &id])?;
    // An experiment without a result has an exit code of its own.
    experiment.end_of(&mut run)?;
    let ended = experiment.trials()?;
    ensure!(
        ended[0]["status"] == "USER_CANCELED",
        "it ended as {}",
        ended[0]["status"]
    );
    nothing_runs(&format!("NNI_TRIAL_JOB_ID={id}"))
}

/// What a trial writes on its machine is shown while it runs, to its end, and afterwards.
pub(super) fn logs(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let study = Study {
        command: "echo begun; sh trial.sh; echo done",
        trials: 1,
        concurrency: 1,
        steps: 1,
        pause: 3.0,
        ..Study::short(vec![machine.entry(lab, USER, &json!({}))])
    };
    let experiment = Experiment::new(place, "ssh-logs", None)?;
    let mut run = experiment.start(&["run", &study.file(lab, "logs")?.to_string_lossy()])?;
    let id = experiment.reported_once()?;
    let followed = experiment.output(&["logs", "--follow", &id])?;
    ensure!(followed == "begun\ndone\n", "followed: {followed}");
    experiment.finish(&mut run)?;
    study.check(&experiment)?;
    let shown = experiment.output(&["logs", &id])?;
    ensure!(shown == "begun\ndone\n", "shown afterwards: {shown}");
    Ok(())
}
