//! One machine of the laboratory: a network namespace on a cable of its own, and the OpenSSH server in it.

use super::lab::{Lab, NAMESPACE, remove_namespace};
use crate::{e2e::experiment::wait_until, shell};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command},
    sync::atomic::{AtomicU8, Ordering},
};

/// Cables so far; each has a network of its own.
static CABLES: AtomicU8 = AtomicU8::new(0);

/// A machine; dropped, it is gone with its server and its cable.
#[derive(Debug)]
pub(super) struct Machine {
    /// Where it listens, on port 22.
    pub(super) address: String,
    namespace: String,
    /// Our end of its cable, and the namespace in which that is; none is ours.
    cable: (String, Option<String>),
    /// Its own end.
    far_end: String,
    dir: PathBuf,
    /// What stands before the command of its server.
    inside: Vec<String>,
    server: Option<Child>,
}

impl Machine {
    /// A machine at the other end of a cable from here. `extra` are lines of its `sshd_config`.
    pub(super) fn new(lab: &Lab, extra: &[&str]) -> Result<Self> {
        Self::at(lab, None, extra, &[])
    }

    /// The same whose server is started by this command, to whose end its own is added.
    pub(super) fn inside(lab: &Lab, command: &[&str]) -> Result<Self> {
        Self::at(lab, None, &[], command)
    }

    /// A machine that only `jump` has a cable to.
    pub(super) fn behind(lab: &Lab, jump: &Self, extra: &[&str]) -> Result<Self> {
        Self::at(lab, Some(jump.namespace.clone()), extra, &[])
    }

    fn at(lab: &Lab, near: Option<String>, extra: &[&str], inside: &[&str]) -> Result<Self> {
        let number = CABLES.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("{NAMESPACE}{number}");
        let (ours, theirs) = (format!("ts-e2e-n{number}"), format!("ts-e2e-f{number}"));
        // Locally administered.
        let hardware = format!("02:e2:e0:00:00:{number:02x}");
        let mut machine = Self {
            address: format!("10.231.{number}.2"),
            dir: lab.dir.join(&namespace),
            namespace,
            cable: (ours.clone(), near),
            far_end: theirs.clone(),
            inside: inside.iter().map(ToString::to_string).collect(),
            server: None,
        };
        fs::create_dir_all(&machine.dir)?;
        ip(&["netns", "add", &machine.namespace])?;
        machine.near(&[
            "link",
            "add",
            &ours,
            "type",
            "veth",
            "peer",
            "name",
            &theirs,
            "netns",
            &machine.namespace,
        ])?;
        machine.near(&["address", "add", &format!("10.231.{number}.1/30"), "dev", &ours])?;
        machine.near(&["link", "set", &ours, "up"])?;
        machine.far(&["link", "set", &theirs, "address", &hardware])?;
        // Known for good, so that a machine that is away is not reported as unreachable by our own kernel.
        let known = [
            "neighbour",
            "replace",
            &machine.address,
            "lladdr",
            &hardware,
            "dev",
            &ours,
            "nud",
            "permanent",
        ];
        machine.near(&known)?;
        machine.far(&["address", "add", &format!("{}/30", machine.address), "dev", &theirs])?;
        machine.far(&["link", "set", &theirs, "up"])?;
        machine.far(&["link", "set", "lo", "up"])?;
        machine.new_host_key()?;
        // The first of two values counts.
        let config = format!(
            "{}\nPort 22\nListenAddress {}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication yes\nKbdInteractiveAuthentication no\nMaxStartups 100\n",
            extra.join("\n"),
            machine.address,
            machine.host_key().display(),
            lab.dir.join("authorized_keys").display(),
        );
        fs::write(machine.dir.join("sshd_config"), config)?;
        machine.start()?;
        Ok(machine)
    }

    /// Its entry of `machineList` for a login by key, with `more` added or replaced.
    pub(super) fn entry(&self, lab: &Lab, user: &str, more: &Value) -> Value {
        let mut entry = json!({ "host": self.address, "user": user, "hostKeyPolicy": "off", "connectTimeout": "5s" });
        if more.get("password").is_none() {
            entry["sshKeyFile"] = json!(lab.key("ed25519"));
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            entry[key] = value.clone();
        }
        entry
    }

    /// Gives it another identity, from its next start on.
    pub(super) fn new_host_key(&self) -> Result<()> {
        for file in [self.host_key(), self.host_key().with_extension("pub")] {
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        let mut keygen = Command::new("ssh-keygen");
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(self.host_key());
        shell::output(&mut keygen).map(drop)
    }

    /// Its public host key as `known_hosts` has it.
    pub(super) fn known_hosts_line(&self) -> Result<String> {
        let key = fs::read_to_string(self.host_key().with_extension("pub"))?;
        Ok(format!("{} {key}", self.address))
    }

    fn host_key(&self) -> PathBuf {
        self.dir.join("host_key")
    }

    pub(super) fn start(&mut self) -> Result<()> {
        let mut server = Command::new("ip");
        server.args(["netns", "exec", &self.namespace]).args(&self.inside);
        server
            .args(["/usr/sbin/sshd", "-D", "-f"])
            .arg(self.dir.join("sshd_config"))
            .arg("-E")
            .arg(self.dir.join("sshd.log"));
        self.server = Some(server.spawn().context("cannot start `sshd`")?);
        wait_until("the server listens", || {
            let mut listening = Command::new("ip");
            listening.args(["netns", "exec", &self.namespace, "cat", "/proc/net/tcp"]);
            // Port 22, state LISTEN.
            Ok(shell::output(&mut listening)?
                .contains(":0016 00000000:0000 0A")
                .then_some(()))
        })
    }

    /// Whether a connection from here is answered; not for one behind another.
    pub(super) fn answers(&self) -> bool {
        TcpStream::connect((self.address.as_str(), 22)).is_ok()
    }

    /// Kills the server and every session of it; what the sessions started and detached goes on.
    pub(super) fn kill_server(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        kill_all(&family(server.id()));
        server.wait()?;
        Ok(())
    }

    /// Kills every session of the server, which goes on to take others.
    pub(super) fn kill_sessions(&self) {
        let server = self.server.as_ref().map(Child::id);
        kill_all(&server.map(|server| family(server)[1..].to_vec()).unwrap_or_default());
    }

    /// Sessions that the server holds now.
    pub(super) fn n_sessions(&self) -> Result<usize> {
        let mut connections = Command::new("ip");
        connections.args(["netns", "exec", &self.namespace, "cat", "/proc/net/tcp"]);
        let text = shell::output(&mut connections)?;
        // Our side of port 22, state ESTABLISHED.
        Ok(text
            .lines()
            .filter(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields.get(1).is_some_and(|local| local.ends_with(":0016")) && fields.get(3) == Some(&"01")
            })
            .count())
    }

    /// Connections that were ever made to it, also those that it refused.
    pub(super) fn n_connections(&self) -> Result<u64> {
        let mut counters = Command::new("ip");
        counters.args(["netns", "exec", &self.namespace, "cat", "/proc/net/snmp"]);
        let text = shell::output(&mut counters)?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let mut counted = names.split_whitespace().zip(values.split_whitespace());
        let (_, value) = counted
            .find(|(name, _)| *name == "PassiveOpens")
            .context("no counter")?;
        Ok(value.parse()?)
    }

    /// Bytes that went from here to it; not for one behind another.
    pub(super) fn n_bytes_sent(&self) -> Result<u64> {
        let file = format!("/sys/class/net/{}/statistics/tx_bytes", self.cable.0);
        Ok(fs::read_to_string(file)?.trim().parse()?)
    }

    /// Pulls the cable at the machine's end: every packet is lost, nobody is told.
    pub(super) fn pull_cable(&self) -> Result<()> {
        self.far(&["link", "set", &self.far_end, "down"])
    }

    pub(super) fn plug_cable(&self) -> Result<()> {
        self.far(&["link", "set", &self.far_end, "up"])
    }

    /// Both ends of its cable, each with its namespace; none is ours.
    pub(super) fn ends(&self) -> [(Option<&str>, &str); 2] {
        [
            (self.cable.1.as_deref(), &self.cable.0),
            (Some(&self.namespace), &self.far_end),
        ]
    }

    /// Its own end of its cable.
    pub(super) fn far_end(&self) -> &str {
        &self.far_end
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    fn near(&self, arguments: &[&str]) -> Result<()> {
        let namespace = self.cable.1.iter().flat_map(|name| ["-n", name.as_str()]);
        ip(&namespace.chain(arguments.iter().copied()).collect::<Vec<_>>())
    }

    fn far(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.namespace], arguments].concat())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.kill_server();
        remove_namespace(&self.namespace);
    }
}

/// A server and all its descendants that serve sessions.
fn family(server: u32) -> Vec<u32> {
    let mut family = vec![server];
    let mut next = 0;
    while let Some(parent) = family.get(next) {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        family.extend(children.filter(|pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("sshd"))
        }));
        next += 1;
    }
    family
}

fn kill_all(pids: &[u32]) {
    for pid in pids {
        // Some have gone with those before them.
        let _ = shell::output(Command::new("kill").args(["-KILL", &pid.to_string()]));
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    shell::output(Command::new("ip").args(arguments)).map(drop)
}
