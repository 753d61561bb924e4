//! That a cluster leaves nothing on the machine, whether it was taken down or whoever made it was killed.

use super::{
    Lab, NETWORK, SHARED,
    basics::{pod_of, wait_for_phase},
    cluster::{Cluster, MARK, Options},
    images::BUSYBOX,
    node::ControlGroup,
};
use crate::e2e::{Place, experiment::wait_until, processes};
use anyhow::{Context, Result, ensure};
use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
};

const NAME: &str = "traces";

/// Settings of the kernel that a kubelet changes where it can.
const SETTINGS: &[&str] = &[
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Folders in which containerd, the network plugins and the kubelet have files.
const FOLDERS: &[&str] = &[
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/opt/containerd",
    "/opt/cni",
    "/etc/cni",
    "/usr/libexec/kubernetes",
];

/// A cluster that ran a pod, and a program of its user, is taken down.
pub(super) fn of_an_ended_cluster(place: &Place, lab: &Lab) -> Result<()> {
    let before = Machine::look()?;
    let cluster = Cluster::up(place, NAME, &lab.options())?;
    let marks = cluster.marks()?;
    cluster.create(&pod_of("stays", BUSYBOX, "sleep 1000"))?;
    wait_for_phase(&cluster, "stays", "Running")?;
    let mut stays = cluster.command("sleep").arg("1000").spawn()?;
    ensure!(!traces(NAME, &marks)?.is_empty(), "what is there is not seen");
    drop(cluster);
    // Our child until it is waited for.
    stays.wait()?;
    let left = traces(NAME, &marks)?;
    ensure!(left.is_empty(), "left: {}", left.join(", "));
    before.compare()?;
    let folder = place.work.join("k8s").join(NAME);
    let files: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(files == ["logs"], "left: {files:?}");
    Ok(())
}

/// Another run of this program is killed when its cluster is there; the next cluster of that name finds nothing of it.
pub(super) fn of_a_killed_run(place: &Place, _: &Lab) -> Result<()> {
    let before = Machine::look()?;
    let group = ControlGroup::of(SHARED);
    let mut other = Command::new(env::current_exe()?);
    other.args(["e2e", "k8s", "--only", NETWORK]);
    let mut other = other.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // Its server was started before its first pod.
    let seen = wait_until("the other run has a pod", || {
        ensure!(other.try_wait()?.is_none(), "the other run has ended");
        let pods: Vec<_> = group
            .folders()?
            .into_iter()
            .map(|folder| folder.join("kubepods"))
            .collect();
        let has_pod = |folder: &Path| -> bool {
            let inner = fs::read_dir(folder.join("besteffort")).into_iter().flatten().flatten();
            inner
                .into_iter()
                .any(|entry| entry.file_name().to_string_lossy().starts_with("pod"))
        };
        Ok(pods.iter().any(|folder| has_pod(folder)).then_some(()))
    });
    let marks = marks_below(other.id());
    other.kill()?;
    other.wait()?;
    seen?;
    let marks = marks?;
    ensure!(!marks.is_empty(), "the other run had no namespaces");
    ensure!(
        !traces(SHARED, &marks)?.is_empty(),
        "what was killed left nothing to remove"
    );
    let options = Options {
        api_only: true,
        images: Vec::new(),
    };
    drop(Cluster::up(place, SHARED, &options)?);
    let left = traces(SHARED, &marks)?;
    ensure!(left.is_empty(), "left: {}", left.join(", "));
    before.compare()
}

/// What is there of a cluster with this name and these namespaces.
fn traces(name: &str, marks: &[u64]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for pid in processes::all()? {
        let inode = |space: &str| fs::metadata(format!("/proc/{pid}/ns/{space}")).map(|facts| facts.ino());
        if ["net", "pid", "mnt"]
            .iter()
            .any(|space| inode(space).is_ok_and(|inode| marks.contains(&inode)))
        {
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.push(format!("process {pid} ({})", command.trim()));
        }
    }
    for pid in processes::with_stamp(&format!("{MARK}={name}"))? {
        found.push(format!("process {pid} of its user"));
    }
    for folder in ControlGroup::of(name).folders()? {
        found.push(folder.display().to_string());
    }
    Ok(found)
}

/// The namespaces of processes below this one that are not its own.
fn marks_below(pid: u32) -> Result<Vec<u64>> {
    let own = |pid: u32, space: &str| Ok::<_, anyhow::Error>(fs::metadata(format!("/proc/{pid}/ns/{space}"))?.ino());
    let mut marks = Vec::new();
    let mut family = vec![pid];
    while let Some(parent) = family.pop() {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            family.push(child);
            for space in ["net", "pid", "mnt"] {
                // One that has just ended has none.
                if let Ok(inode) = own(child, space)
                    && inode != own(pid, space)?
                    && !marks.contains(&inode)
                {
                    marks.push(inode);
                }
            }
        }
    }
    Ok(marks)
}

/// What of the machine a cluster could change.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    mounts: Vec<String>,
    settings: Vec<String>,
    links: Vec<String>,
    folders: Vec<bool>,
}

impl Machine {
    fn look() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let setting = |name: &&str| {
            fs::read_to_string(format!("/proc/sys/{name}")).with_context(|| format!("no setting `{name}`"))
        };
        let mut links = Vec::new();
        for entry in fs::read_dir("/sys/class/net")? {
            links.push(entry?.file_name().to_string_lossy().into_owned());
        }
        links.sort();
        Ok(Self {
            mounts: mounts.lines().map(str::to_owned).collect(),
            settings: SETTINGS.iter().map(setting).collect::<Result<_>>()?,
            links,
            folders: FOLDERS.iter().map(|folder| Path::new(folder).exists()).collect(),
        })
    }

    fn compare(&self) -> Result<()> {
        let now = Self::look()?;
        ensure!(*self == now, "the machine was {self:?} and is {now:?}");
        Ok(())
    }
}
