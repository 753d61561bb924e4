//! Namespaces of a cluster's own, with everything that runs in them: they go with the `Sandbox`, or with whoever made it.
//!
//! Which daemons run there is for others to say. What process 1 sets up is in `e2e/k8s/init.sh`.

use super::binaries::last_lines;
use crate::{
    e2e::experiment::{Launcher, wait_until},
    shell,
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const INIT: &str = include_str!("../../../e2e/k8s/init.sh");

/// Where daemons find the programs of Kubernetes.
pub(super) const PROGRAMS: &str = "/mnt/programs";
/// Where daemons find what lies in the cluster's folder.
pub(super) const STATE: &str = "/mnt/state";
/// The node's address, also for pods and for the user's machine.
pub(super) const NODE_ADDRESS: &str = "10.200.0.1";
/// The address of the user's machine, also for pods.
pub(super) const USER_ADDRESS: &str = "10.201.0.2";

const PATH: &str = "/mnt/programs:/usr/sbin:/usr/bin:/sbin:/bin";

/// Namespaces for mounts, processes and networks, below one process.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// `unshare`, which ends after all processes of the namespaces have.
    outer: Child,
    /// Process 1 of the namespaces, by its number out here.
    init: u32,
    folder: PathBuf,
}

impl Sandbox {
    /// Makes them. `folder` is the cluster's.
    pub(super) fn new(programs: &Path, folder: &Path) -> Result<Self> {
        let logs = folder.join("logs");
        fs::create_dir_all(&logs)?;
        let log = fs::File::create(logs.join("init.log"))?;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--net", "--pid", "--fork", "--kill-child"]);
        unshare.args(["--propagation", "private", "bash", "-c", INIT, "init"]);
        unshare.arg(programs).arg(folder).env_clear().env("PATH", PATH);
        // The pipe ends when this process does, also when it is killed.
        unshare.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let mut sandbox = Self {
            outer: unshare.spawn().context("cannot start `unshare`")?,
            init: 0,
            folder: folder.to_owned(),
        };
        let ready = folder.join("ready");
        wait_until("the namespaces are set up", || {
            if let Some(status) = sandbox.outer.try_wait()? {
                bail!("no namespaces ({status}): {}", last_lines(&logs.join("init.log"), 5));
            }
            Ok(ready.exists().then_some(()))
        })?;
        fs::remove_file(ready)?;
        sandbox.init = children(sandbox.outer.id())
            .first()
            .copied()
            .context("process 1 is gone")?;
        Ok(sandbox)
    }

    /// Starts programs of the machine in the network of the user's machine.
    pub(super) fn beside(&self) -> Launcher {
        in_network(&format!("/proc/{}/root/run/netns/user", self.init))
    }

    /// Starts programs of the machine in the network of the node.
    pub(super) fn within(&self) -> Launcher {
        in_network(&format!("/proc/{}/ns/net", self.init))
    }

    /// A program that sees what daemons see. `nsenter` waits for it and ends as it did.
    pub(super) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init));
        command.args(["--mount", "--net", "--pid", "--root", "--wd", "--", program]);
        command.env_clear().env("PATH", PATH).env("HOME", "/mnt");
        command.stdin(Stdio::null());
        command
    }

    /// Starts a daemon, its output in a log of its own, which goes on where it was.
    pub(super) fn start(&self, name: &'static str, arguments: &[&str]) -> Result<Daemon> {
        let log = self.folder.join("logs").join(format!("{name}.log"));
        let output = fs::File::options().create(true).append(true).open(&log)?;
        let mut command = self.inside(name);
        command.args(arguments).stdout(output.try_clone()?).stderr(output);
        let waiting = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
        Ok(Daemon { name, waiting, log })
    }

    /// Inode numbers of the networks and of the processes' namespace, by which anything that is left of them is known.
    pub(super) fn marks(&self) -> Result<Vec<u64>> {
        use std::os::unix::fs::MetadataExt as _;
        ["ns/net", "ns/pid", "ns/mnt", "root/run/netns/user"]
            .iter()
            .map(|link| Ok(fs::metadata(format!("/proc/{}/{link}", self.init))?.ino()))
            .collect()
    }

    /// Ends all that runs there; once is enough.
    pub(super) fn end(&mut self) {
        // Process 1 reads the end of its input and ends; `unshare` waits until everything below it has ended as well.
        drop(self.outer.stdin.take());
        let _ = wait_until("all processes of the cluster end", || {
            Ok(self.outer.try_wait()?.map(drop))
        });
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end();
    }
}

/// `nsenter` becomes the program: its process is the program's.
fn in_network(network: &str) -> Launcher {
    let words = ["nsenter", &format!("--net={network}"), "--"];
    Launcher {
        words: words.map(OsString::from).to_vec(),
        variables: Vec::new(),
    }
}

/// A process in a sandbox.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) name: &'static str,
    /// `nsenter`.
    waiting: Child,
    log: PathBuf,
}

impl Daemon {
    /// # Errors
    /// If it has ended; with the end of its log.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.waiting.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("`{}` ended ({status}):\n{}", self.name, last_lines(&self.log, 15)),
        }
    }

    /// Kills it, not what it started.
    pub(super) fn kill(&mut self) -> Result<()> {
        let pids = children(self.waiting.id());
        ensure!(!pids.is_empty(), "`{}` is not running", self.name);
        for pid in pids {
            shell::output(Command::new("kill").args(["-KILL", &pid.to_string()]))?;
        }
        self.waiting.wait()?;
        Ok(())
    }

    /// Has it read its files again: sends it SIGHUP, once it is so far that this does not end it.
    pub(super) fn hang_up(&self) -> Result<()> {
        for pid in children(self.waiting.id()) {
            wait_until("the daemon catches SIGHUP", || Ok(catches_hang_up(pid)?.then_some(())))?;
            shell::output(Command::new("kill").args(["-HUP", &pid.to_string()]))?;
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // What it waits for may have gone with the sandbox already.
        let _ = self.kill();
        let _ = self.waiting.kill();
        let _ = self.waiting.wait();
    }
}

/// Source: proc(5), `/proc/pid/status`: the mask of caught signals, whose first bit is that of SIGHUP.
fn catches_hang_up(pid: u32) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    Ok(u64::from_str_radix(mask.context("no mask of signals")?.trim(), 16)? & 1 == 1)
}

/// Source: proc(5), `/proc/pid/task/tid/children`.
fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
