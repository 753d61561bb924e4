//! What this machine must have before a cluster can be brought up: rights, control groups, a layered file system, programs.
//!
//! Whatever is missing is named in one go; nobody is asked to try again and again.

use crate::{
    e2e::packages::{self, Lacking, Program},
    shell,
};
use anyhow::{Error, Result};
use std::{fs, path::PathBuf, process::Command};

/// Hierarchies of version 1 that this kubelet looks for.
/// Source: kubernetes v1.20.2, `pkg/kubelet/cm/container_manager_linux.go`, `validateSystemRequirements`; runc 1.1 needs the rest.
const CONTROLLERS: &[&str] = &["cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer"];

/// What the API servers need.
const API_PROGRAMS: &[Program] = &[
    ("etcd", "etcd-server"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("unshare", "util-linux"),
];

/// What a node needs besides.
const NODE_PROGRAMS: &[Program] = &[
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/lib/cni/host-local", "containernetworking-plugins"),
    ("/usr/lib/cni/portmap", "containernetworking-plugins"),
    ("dnsmasq", "dnsmasq-base"),
    ("iptables", "iptables"),
];

/// A hierarchy of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Where it is mounted.
    pub(super) path: PathBuf,
    /// Its options, the names of its controllers among them.
    options: Vec<String>,
}

impl Hierarchy {
    pub(super) fn has(&self, controller: &str) -> bool {
        self.options.iter().any(|option| option == controller)
    }
}

/// Has everything there that a cluster needs, with a node or without.
///
/// # Errors
/// [`Lacking`] with all that is missing.
pub(super) fn check(with_node: bool) -> Result<()> {
    let mut missing = Vec::new();
    if !packages::is_root() {
        missing.push("root".to_owned());
    } else if shell::output(Command::new("unshare").args(["--mount", "--net", "--pid", "--fork", "true"])).is_err() {
        missing.push("permission to make mount, network and process namespaces".to_owned());
    }
    if with_node {
        missing.extend(missing_controllers(&hierarchies()?));
        let _ = Command::new("modprobe").args(["-q", "overlay"]).output();
        let known = fs::read_to_string("/proc/filesystems")?;
        if !known
            .lines()
            .any(|line| line.split_whitespace().last() == Some("overlay"))
        {
            missing.push("overlayfs".to_owned());
        }
    }
    if !missing.is_empty() {
        return Err(Error::new(Lacking(format!(
            "this machine lacks {}",
            missing.join(", ")
        ))));
    }
    packages::provide(API_PROGRAMS)?;
    if with_node {
        packages::provide(NODE_PROGRAMS)?;
    }
    Ok(())
}

/// The hierarchies of version 1 here.
pub(super) fn hierarchies() -> Result<Vec<Hierarchy>> {
    Ok(parse_mounts(&fs::read_to_string("/proc/mounts")?))
}

fn parse_mounts(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let [_, path, "cgroup", options, ..] = fields[..] {
            found.push(Hierarchy {
                path: PathBuf::from(path),
                options: options.split(',').map(str::to_owned).collect(),
            });
        }
    }
    found
}

fn missing_controllers(hierarchies: &[Hierarchy]) -> Vec<String> {
    let lacks = |controller: &&&str| !hierarchies.iter().any(|hierarchy| hierarchy.has(controller));
    CONTROLLERS
        .iter()
        .filter(lacks)
        .map(|controller| format!("the control group hierarchy `{controller}` of version 1"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
";

    #[test]
    fn only_version_1_counts_and_one_mount_may_have_two_controllers() {
        let found = parse_mounts(MOUNTS);
        assert_eq!(found.len(), 2);
        assert!(found[0].has("cpu") && found[0].has("cpuacct") && !found[0].has("cpuset"));
        let missing = missing_controllers(&found);
        assert_eq!(missing.len(), CONTROLLERS.len() - 2);
        assert!(missing[0].contains("`cpuset`"), "{missing:?}");
    }
}
