//! A server that lets few in at a time.

use super::{
    lab::{Lab, USER},
    machine::Machine,
    study::Study,
};
use crate::e2e::{
    Place,
    experiment::{Experiment, wait_until},
};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::{fs, net::TcpStream};

/// Entries of the list of machines that lead to the one server.
const ENTRIES: usize = 8;
/// Connections per entry that are no hammering: waits double from one to the next.
const TRIES: u64 = 6;

/// Eight entries want in at once, and the server refuses everybody while two are not logged in yet.
pub(super) fn narrow(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &["MaxStartups 2:100:3"])?;
    let experiment = Experiment::new(place, "ssh-narrow", None)?;
    let folder = experiment.home().join(".ssh");
    fs::create_dir(&folder)?;
    let config = format!(
        "Host door-*\n  HostName {}\n  User {USER}\n  IdentityFile {}\n",
        machine.address,
        lab.key("ed25519").display(),
    );
    fs::write(folder.join("config"), config)?;
    let entry = |n: usize| -> Value {
        let folder = lab.home(USER).join(format!("door-{n}"));
        json!({ "host": format!("door-{n}"), "hostKeyPolicy": "off", "directory": folder })
    };
    let study = Study {
        trials: 320,
        concurrency: 32,
        pause: 0.2,
        ..Study::short((0..ENTRIES).map(entry).collect())
    };
    let file = study.file(lab, "narrow")?;
    let mut run = experiment.start(&["run", &file.to_string_lossy()])?;
    wait_until("every entry is in and trials run", || {
        // There is no experiment to read in the first moment.
        let n_trials = experiment.trials().map_or(0, |trials| trials.len());
        Ok((machine.n_sessions()? == ENTRIES && n_trials > ENTRIES).then_some(()))
    })?;
    let before = machine.n_connections()?;
    machine.kill_sessions();
    // Two stand in the door and say nothing: everybody else is refused.
    let idlers: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect((machine.address.as_str(), 22)))
        .collect::<Result<_, _>>()?;
    wait_until("every entry was refused", || {
        Ok((machine.n_connections()? >= before + idlers.len() as u64 + ENTRIES as u64).then_some(()))
    })?;
    drop(idlers);
    experiment.finish(&mut run)?;
    study.check(&experiment)?;
    let n_connections = machine.n_connections()?;
    let most = ENTRIES as u64 * TRIES;
    ensure!(
        n_connections <= most,
        "{n_connections} connections for {ENTRIES} entries"
    );
    Ok(())
}
