//! Ways to get in, machines that are odd, and what is said where one cannot get in.

use super::{
    lab::{EXPIRED, HOMELESS, Lab, PASSPHRASE, PASSWORD, RESTRICTED, USER},
    machine::Machine,
    study::Study,
};
use crate::{
    e2e::{Place, experiment::Experiment},
    shell,
};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{fs, process::Command};

/// One machine for each way in; each runs trials.
pub(super) fn every_credential(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let ways = [
        ("password", json!({ "password": PASSWORD })),
        ("rsa", json!({ "sshKeyFile": lab.key("rsa") })),
        ("ecdsa", json!({ "sshKeyFile": lab.key("ecdsa") })),
        (
            "passphrase",
            json!({ "sshKeyFile": lab.key("locked"), "sshPassphrase": PASSPHRASE }),
        ),
    ];
    for (name, way) in ways {
        let study = Study::short(vec![machine.entry(lab, USER, &way)]);
        study.run(place, lab, &format!("way-{name}"))?;
    }
    let socket = lab.dir.join("agent");
    let mut agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).spawn()?;
    let added =
        crate::e2e::experiment::wait_until("the agent listens", || Ok(socket.exists().then_some(()))).and_then(|()| {
            let mut add = Command::new("ssh-add");
            shell::output(add.arg("-q").arg(lab.key("ed25519")).env("SSH_AUTH_SOCK", &socket))
        });
    let ran = added.and_then(|_| {
        let experiment = Experiment::new(place, "ssh-way-agent", None)?.with_agent(socket);
        let mut entry = machine.entry(lab, USER, &json!({}));
        entry.as_object_mut().context("no entry")?.remove("sshKeyFile");
        Study::short(vec![entry]).run_in(&experiment, lab, "way-agent")
    });
    agent.kill()?;
    agent.wait()?;
    ran?;
    super::study::no_secret_below(&lab.home(USER))
}

/// Only the first machine has a cable to here.
pub(super) fn jumps(place: &Place, lab: &Lab) -> Result<()> {
    let first = Machine::new(lab, &[])?;
    let second = Machine::behind(lab, &first, &[])?;
    let third = Machine::behind(lab, &second, &[])?;
    let experiment = Experiment::new(place, "ssh-jumps", None)?;
    let folder = experiment.home().join(".ssh");
    fs::create_dir(&folder)?;
    let known = [&first, &second, &third].map(Machine::known_hosts_line);
    let known: Vec<String> = known.into_iter().collect::<Result<_>>()?;
    fs::write(folder.join("known_hosts"), known.concat())?;
    fs::write(
        folder.join("config"),
        format!(
            "Host first\n  HostName {}\nHost second\n  HostName {}\n  ProxyJump first\n\
             Host third\n  HostName {}\n  ProxyJump second\nHost *\n  User {USER}\n  IdentityFile {}\n",
            first.address,
            second.address,
            third.address,
            lab.key("ed25519").display(),
        ),
    )?;
    Study::short(vec![json!({ "host": "third" })]).run_in(&experiment, lab, "jumps")
}

/// Nothing is trusted that nobody said to trust.
pub(super) fn host_keys(place: &Place, lab: &Lab) -> Result<()> {
    let mut machine = Machine::new(lab, &[])?;
    let entry = |policy: &str| machine.entry(lab, USER, &json!({ "hostKeyPolicy": policy }));
    let (strict, new) = (
        Study::short(vec![entry("strict")]),
        Study::short(vec![entry("acceptNew")]),
    );
    let experiment = Experiment::new(place, "ssh-host-keys", None)?;
    let file = strict.file(lab, "strict")?;
    let said = experiment.refused(&["run", &file.to_string_lossy()])?;
    ensure!(
        said.contains("SHA256:") && said.contains(&machine.address),
        "no fingerprint:\n{said}"
    );
    let learned = new.run(place, lab, "host-key-new")?;
    let known = fs::read_to_string(learned.home().join(".ssh/known_hosts"))?;
    ensure!(known.contains(&machine.address), "not written down: {known}");
    let experiment = Experiment::new(place, "ssh-host-key-known", None)?;
    fs::create_dir(experiment.home().join(".ssh"))?;
    fs::write(experiment.home().join(".ssh/known_hosts"), known)?;
    strict.run_in(&experiment, lab, "host-key-known")?;
    machine.kill_server()?;
    machine.new_host_key()?;
    machine.start()?;
    let file = new.file(lab, "changed")?;
    let said = experiment.refused(&["run", &file.to_string_lossy()])?;
    ensure!(
        said.contains("changed") && said.contains("known_hosts"),
        "not told:\n{said}"
    );
    Ok(())
}

/// Each refusal names the machine, what was tried, and what to do.
pub(super) fn refusals(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let cases = [
        (
            "expired",
            machine.entry(lab, EXPIRED, &json!({ "password": PASSWORD })),
            "expired",
        ),
        (
            "wrong-password",
            machine.entry(lab, USER, &json!({ "password": "not this one" })),
            "password: refused",
        ),
        (
            "wrong-passphrase",
            machine.entry(
                lab,
                USER,
                &json!({ "sshKeyFile": lab.key("locked"), "sshPassphrase": "not this one" }),
            ),
            "passphrase",
        ),
        ("nobody", machine.entry(lab, "ts-e2e-nobody", &json!({})), "refused"),
    ];
    for (name, entry, expected) in cases {
        let experiment = Experiment::new(place, &format!("ssh-refused-{name}"), None)?;
        let file = Study::short(vec![entry]).file(lab, name)?;
        let said = experiment.refused(&["run", &file.to_string_lossy()])?;
        let is_told = said.contains(expected) && said.contains(&machine.address) && !said.contains("not this one");
        ensure!(is_told, "`{name}` is not explained by `{expected}`:\n{said}");
    }
    Ok(())
}

/// Where others fail: sessions are few, the shell is restricted or talks, the home is read only.
pub(super) fn odd_machines(place: &Place, lab: &Lab) -> Result<()> {
    let banner = lab.dir.join("banner");
    fs::write(&banner, "Authorized use only.\n".repeat(40))?;
    fs::write(lab.home(USER).join(".profile"), "echo welcome\n")?;
    for (name, user, extra) in [
        ("two-sessions", USER, "MaxSessions 2".to_owned()),
        ("one-session", USER, "MaxSessions 1".to_owned()),
        ("restricted", RESTRICTED, "MaxSessions 2".to_owned()),
        ("banner", USER, format!("Banner {}\nPrintMotd yes", banner.display())),
        ("no-home", HOMELESS, "MaxSessions 2".to_owned()),
    ] {
        let machine = Machine::new(lab, &[&extra])?;
        let study = Study::short(vec![machine.entry(lab, user, &json!({}))]);
        study.run(place, lab, name).with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// A report for a machine that is fine and for one that is not there.
pub(super) fn doctor(place: &Place, lab: &Lab) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let experiment = Experiment::new(place, "ssh-doctor", None)?;
    let missing = machine.entry(lab, USER, &json!({ "port": 2222 }));
    let good = machine.entry(lab, USER, &json!({}));
    let file = Study::short(vec![good, missing]).file(lab, "doctor")?;
    let said = experiment.refused(&["doctor", &file.to_string_lossy()])?;
    for step in [
        "TCP",
        "key",
        "authentication",
        "shell",
        "directory",
        "tar",
        "disk",
        "clock",
        "python",
        "GPUs",
        "2222",
    ] {
        ensure!(said.contains(step), "nothing about {step}:\n{said}");
    }
    let left = fs::read_dir(lab.home(USER).join("nni-experiments"))?.flatten();
    let left: Vec<_> = left
        .filter(|e| e.file_name().to_string_lossy().starts_with("doctor"))
        .collect();
    ensure!(left.is_empty(), "it left {left:?}");
    Ok(())
}
