//! A server that lets few in at a time.

use super::{
    lab::{Lab, USER},
    machine::Machine,
    study::Study,
};
use crate::e2e::{Place, experiment::Experiment};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::fs;

/// Entries of the list of machines that lead to the one server.
const ENTRIES: usize = 8;
/// Connections per entry that are no hammering: waits double from one to the next.
const TRIES: u64 = 6;

/// Eight entries want in at once, and the server refuses all but two that are not logged in yet.
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
        trials: 160,
        concurrency: 32,
        pause: 0.2,
        ..Study::short((0..ENTRIES).map(entry).collect())
    };
    study.run_in(&experiment, lab, "narrow")?;
    let n_connections = machine.n_connections()?;
    let most = ENTRIES as u64 * TRIES;
    ensure!(
        n_connections > ENTRIES as u64,
        "nobody was refused: {n_connections} connections for {ENTRIES} entries"
    );
    ensure!(
        n_connections <= most,
        "{n_connections} connections for {ENTRIES} entries"
    );
    Ok(())
}
