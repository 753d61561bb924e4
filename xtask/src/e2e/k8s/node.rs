//! What makes a cluster run pods: a control group, containerd with its network plugins, the scheduler and the kubelet.
//!
//! Names of services are answered by `dns.rs`.

use super::{
    control_plane::kubeconfig,
    images::PAUSE,
    machine::{self, Hierarchy},
    sandbox::{Daemon, NODE_ADDRESS, STATE, Sandbox},
};
use crate::e2e::experiment::wait_until;
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

/// The node's name.
pub(super) const NAME: &str = "node";

/// The configuration of containerd. A machine may forbid even root to lower a process's `oom_score_adj`, and then runc fails
/// at every pod unless that is restricted. Source: containerd v1.6, `docs/cri/config.md`.
const CONTAINERD: &str = include_str!("../../../e2e/k8s/containerd.toml");

/// The root of all pods in every hierarchy.
#[derive(Debug)]
pub(super) struct ControlGroup {
    name: String,
}

impl ControlGroup {
    pub(super) fn of(cluster: &str) -> Self {
        Self {
            name: format!("ts-e2e-k8s-{cluster}"),
        }
    }

    /// A group may hold nothing before it is told its processors and memory.
    /// Source: Linux, `Documentation/admin-guide/cgroup-v1/cpusets.rst`, "cpuset.cpus".
    fn make(&self) -> Result<()> {
        for Hierarchy { path, .. } in machine::hierarchies()? {
            fs::create_dir_all(path.join(&self.name))
                .with_context(|| format!("cannot write to `{}`", path.display()))?;
        }
        for hierarchy in machine::hierarchies()?.iter().filter(|h| h.has("cpuset")) {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let inherited = fs::read(hierarchy.path.join(file))?;
                fs::write(hierarchy.path.join(&self.name).join(file), inherited)?;
            }
        }
        Ok(())
    }

    /// Its folders.
    pub(super) fn folders(&self) -> Result<Vec<PathBuf>> {
        let all = machine::hierarchies()?;
        // The runtime also makes one in the hierarchy of version 2 where there is one beside the others.
        let unified = fs::read_to_string("/proc/mounts")?;
        let unified = unified.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (path, kind) = (fields.next()?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(path))
        });
        let folders = all.into_iter().map(|hierarchy| hierarchy.path).chain(unified);
        Ok(folders
            .map(|path| path.join(&self.name))
            .filter(|path| path.exists())
            .collect())
    }

    /// Removes it, when its last process has ended.
    pub(super) fn remove(&self) -> Result<()> {
        wait_until("the pods' control groups are removed", || {
            for folder in self.folders()? {
                // One of a process that is about to end is tried again.
                let _ = remove_tree(&folder);
            }
            Ok(self.folders()?.is_empty().then_some(()))
        })
    }
}

/// The files in such folders cannot be removed, and go with them.
fn remove_tree(folder: &Path) -> Result<()> {
    for inner in fs::read_dir(folder)? {
        let inner = inner?;
        if inner.file_type()?.is_dir() {
            remove_tree(&inner.path())?;
        }
    }
    Ok(fs::remove_dir(folder)?)
}

/// Starts containerd, with a network for pods that leads nowhere but to the node and the user's machine.
pub(super) fn start_containerd(sandbox: &Sandbox, folder: &Path, group: &ControlGroup) -> Result<Daemon> {
    group.make()?;
    let networks = folder.join("networks");
    fs::create_dir_all(&networks)?;
    // Source: CNI specification 0.4.0, plugins 1.1: `bridge`, `host-local`, `portmap`.
    let network = json!({ "cniVersion": "0.4.0", "name": "pods", "plugins": [
        { "type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.244.0.0/24" }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        }},
        { "type": "portmap", "capabilities": { "portMappings": true } },
    ]});
    fs::write(networks.join("pods.conflist"), network.to_string())?;
    fs::write(folder.join("containerd.toml"), CONTAINERD)?;
    sandbox.start("containerd", &["--config", &format!("{STATE}/containerd.toml")])
}

/// Waits until containerd takes images.
pub(super) fn containerd_answers(sandbox: &Sandbox, containerd: &mut Daemon) -> Result<()> {
    wait_until("containerd answers", || {
        containerd.check()?;
        let answered = sandbox.inside("ctr").arg("version").output()?;
        Ok(answered.status.success().then_some(()))
    })
}

/// Makes an image known to the node.
pub(super) fn load_image(sandbox: &Sandbox, archive: &Path) -> Result<()> {
    let mut import = sandbox.inside("ctr");
    import.args([
        "--namespace",
        "k8s.io",
        "images",
        "import",
        "--snapshotter",
        "overlayfs",
        "-",
    ]);
    import.stdin(Stdio::from(fs::File::open(archive)?));
    let output = import.output()?;
    if !output.status.success() {
        bail!(
            "`{}` is not taken as an image:\n{}",
            archive.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

pub(super) fn start_scheduler(sandbox: &Sandbox) -> Result<Daemon> {
    let flags = ["--leader-elect=false", "--port=0", "--secure-port=0"];
    sandbox.start("kube-scheduler", &[&flags[..], &[&kubeconfig()]].concat())
}

/// Writes the kubelet's configuration; it limits pods, not the node as a whole, and tells the node's state each second.
/// Source: kubernetes v1.20.2, `staging/src/k8s.io/kubelet/config/v1beta1/types.go`.
pub(super) fn configure_kubelet(folder: &Path, group: &ControlGroup) -> Result<()> {
    let certificates = format!("{STATE}/certificates");
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": false },
            "x509": { "clientCAFile": format!("{certificates}/ca.crt") },
        },
        "authorization": { "mode": "AlwaysAllow" },
        "tlsCertFile": format!("{certificates}/server.crt"),
        "tlsPrivateKeyFile": format!("{certificates}/server.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", group.name),
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": format!("{STATE}/resolv.conf"),
        "volumePluginDir": "/var/lib/kubelet/plugins-exec",
        "imageGCHighThresholdPercent": 100,
        "evictionHard": { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
        "nodeStatusUpdateFrequency": "1s",
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
    });
    fs::write(folder.join("resolv.conf"), format!("nameserver {NODE_ADDRESS}\n"))?;
    Ok(fs::write(folder.join("kubelet.json"), config.to_string())?)
}

pub(super) fn start_kubelet(sandbox: &Sandbox) -> Result<Daemon> {
    let flags = [
        kubeconfig(),
        format!("--config={STATE}/kubelet.json"),
        format!("--hostname-override={NAME}"),
        format!("--node-ip={NODE_ADDRESS}"),
        "--container-runtime=remote".to_owned(),
        "--container-runtime-endpoint=unix:///run/containerd/containerd.sock".to_owned(),
        format!("--pod-infra-container-image=docker.io/{PAUSE}"),
    ];
    sandbox.start("kubelet", &flags.each_ref().map(String::as_str))
}
