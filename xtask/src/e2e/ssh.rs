//! Real OpenSSH servers in network namespaces under `tsctl run`: which scenarios there are.
//!
//! Needs root, because machines get cables and accounts of their own.

mod access;
mod busybox;
mod disk;
mod door;
mod faults;
mod gpus;
mod lab;
mod line;
mod links;
mod load;
mod machine;
mod storage;
mod study;
mod verdicts;

use super::{Place, packages::Lacking};
use crate::report::{Outcome, Report};
use anyhow::Result;
use lab::Lab;

type Scenario = fn(&Place, &Lab) -> Result<()>;

const SCENARIOS: &[(&str, Scenario)] = &[
    (
        "password, every kind of key, passphrase and agent",
        access::every_credential,
    ),
    (
        "a machine behind two jump hosts, by OpenSSH's configuration",
        access::jumps,
    ),
    ("unknown, known and changed host keys", access::host_keys),
    ("what is refused is explained", access::refusals),
    (
        "restricted shell, banner, one or two sessions, home not writable",
        access::odd_machines,
    ),
    ("doctor shows every step", access::doctor),
    ("NNI's SDK on a machine", load::sdk),
    ("8 machines, 400 trials", load::many),
    ("cancel ends the whole tree", load::cancel),
    ("logs of a trial, while it runs and afterwards", load::logs),
    ("links on which nothing happens", faults::quiet),
    ("a cable pulled and plugged in again", faults::cable),
    ("a server killed and started again", faults::server),
    ("a manager killed while the cable is pulled", faults::manager),
    ("a full disk", faults::full_disk),
    ("a slow link that loses packets", links::slow),
    ("a cable pulled in the middle of an upload", links::cut_upload),
    ("2 machines with 2 GPUs each", gpus::each_its_own),
    ("rules for GPUs and those that others use", gpus::rules),
    ("a trial waits for a GPU and says so", gpus::waits),
    ("a trial's directory is removed", verdicts::directory_removed),
    ("a trial's processes are killed", verdicts::all_killed),
    ("a trial's shells are killed, not its children", verdicts::shells_killed),
    ("a machine of busybox alone", busybox::alone),
    ("2 machines with shared storage", storage::shared),
    ("doctor says where shared storage is missing", storage::missing),
    ("8 entries for a server that lets in 2 at a time", door::narrow),
];

/// Runs the scenarios whose names contain `only`, or skips all by one name.
pub(super) fn run(place: &Place, report: &mut Report, only: &str) {
    let lab = match Lab::new(&place.root) {
        Ok(lab) => lab,
        Err(why) => {
            report.step("OpenSSH", || Ok(Outcome::Skipped(format!("{why:#}"))));
            return;
        }
    };
    for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| name.contains(only)) {
        report.step(&format!("OpenSSH: {name}"), || match scenario(place, &lab) {
            Err(error) if error.is::<Lacking>() => Ok(Outcome::Skipped(format!("{error:#}"))),
            ended => ended.map(|()| Outcome::Passed),
        });
    }
}
