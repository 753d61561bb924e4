//! A Kubernetes cluster of one node, or of none, that goes with its `Cluster`: up, down, and the faults that can happen to it.
//!
//! What its daemons are told is in `control_plane.rs` and `node.rs`, what holds them in `sandbox.rs`.

use super::{
    audit,
    audit::Request,
    binaries, certificates, control_plane,
    dns::Dns,
    machine,
    node::{self, ControlGroup},
    sandbox::{Daemon, Sandbox},
};
use crate::{
    e2e::{
        Place,
        experiment::{Launcher, wait_until},
        processes,
    },
    shell,
};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard},
};

/// A mark in the environment of every program that is started in the cluster's networks but outside of its processes.
pub(super) const MARK: &str = "TS_E2E_CLUSTER";

/// What a cluster has.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// Nothing to run pods: no node, no scheduler. Such a cluster needs less of the machine.
    pub(super) api_only: bool,
    /// Archives of images that the node knows.
    pub(super) images: Vec<PathBuf>,
}

/// A cluster; dropped, it is gone but for its logs, which lie in `k8s/NAME/logs` beside the experiments.
#[derive(Debug)]
pub(super) struct Cluster {
    sandbox: Sandbox,
    /// Those that can be killed and started again, by name.
    daemons: Mutex<BTreeMap<&'static str, Daemon>>,
    dns: Option<Dns>,
    name: String,
    folder: PathBuf,
    kubectl: PathBuf,
    group: ControlGroup,
    /// Held while it lives: there is one cluster of this name.
    _lock: fs::File,
}

impl Cluster {
    /// Brings one up; what a killed run left of one of this name is removed, and one that is alive elsewhere is waited for.
    ///
    /// # Errors
    /// [`crate::e2e::packages::Lacking`] if this machine cannot have one; otherwise what failed, with the end of its log.
    pub(super) fn up(place: &Place, name: &str, options: &Options) -> Result<Self> {
        machine::check(!options.api_only)?;
        let programs = binaries::folder()?;
        let lock = fs::File::create(env::temp_dir().join(format!("ts-e2e-k8s-{name}.lock")))?;
        lock.lock().context("cannot wait for another run to end")?;
        let group = ControlGroup::of(name);
        remove_leftovers(name, &group)?;
        let folder = place.work.join("k8s").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        let certificates = folder.join("certificates");
        certificates::make(&certificates)?;
        let administrator = certificates::administrator(&certificates)?;
        certificates::write_kubeconfig(&certificates, &folder.join("kubeconfig"), &administrator)?;
        audit::configure(&folder)?;
        let mut cluster = Self {
            sandbox: Sandbox::new(&programs, &folder)?,
            daemons: Mutex::default(),
            dns: None,
            name: name.to_owned(),
            kubectl: programs.join("kubectl"),
            folder,
            group,
            _lock: lock,
        };
        cluster.bring_up(options)?;
        Ok(cluster)
    }

    fn bring_up(&mut self, options: &Options) -> Result<()> {
        self.add(control_plane::start_etcd(&self.sandbox)?);
        self.add(control_plane::start_api_server(&self.sandbox)?);
        if !options.api_only {
            let mut containerd = node::start_containerd(&self.sandbox, &self.folder, &self.group)?;
            node::containerd_answers(&self.sandbox, &mut containerd)?;
            self.add(containerd);
            for image in &options.images {
                self.load_image(image)?;
            }
        }
        self.api_answers()?;
        self.add(control_plane::start_controller_manager(&self.sandbox)?);
        if !options.api_only {
            self.add(node::start_scheduler(&self.sandbox)?);
            self.dns = Some(Dns::start(&self.sandbox, &self.folder)?);
            node::configure_kubelet(&self.folder, &self.group)?;
            self.start_kubelet()?;
            self.node_is_ready()?;
        }
        // Without its account no pod can be made.
        wait_until("the default service account is there", || {
            self.check()?;
            let secrets = self.output(&["get", "serviceaccount", "default", "-o", "jsonpath={.secrets[*].name}"]);
            Ok(secrets.is_ok_and(|secrets| !secrets.is_empty()).then_some(()))
        })
    }

    /// How programs are started on the user's machine, as administrators of the cluster.
    pub(super) fn launcher(&self) -> Launcher {
        self.marked(self.sandbox.beside())
    }

    /// How programs are started on the node, as administrators of the cluster: operators, for example, which a cut cable to the
    /// user's machine does not concern.
    pub(super) fn node_launcher(&self) -> Launcher {
        self.marked(self.sandbox.within())
    }

    fn marked(&self, mut launcher: Launcher) -> Launcher {
        // Proxies of this machine are no way to the cluster.
        let words = [
            "env",
            "-u",
            "http_proxy",
            "-u",
            "https_proxy",
            "-u",
            "HTTP_PROXY",
            "-u",
            "HTTPS_PROXY",
        ];
        launcher.words.extend(words.map(Into::into));
        launcher
            .words
            .extend(["-u", "all_proxy", "-u", "ALL_PROXY"].map(Into::into));
        launcher.variables = vec![
            (MARK, self.name.clone().into()),
            ("KUBECONFIG", self.kubeconfig().into()),
        ];
        launcher
    }

    /// A program of this machine, to be started on the user's.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        self.launcher().command(program.as_ref())
    }

    /// The file with which an administrator comes in.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Writes a file with which somebody else comes in: what they are known by, as in a kubeconfig.
    pub(super) fn add_user(&self, name: &str, user: &Value) -> Result<PathBuf> {
        let file = self.folder.join(format!("kubeconfig-{name}"));
        certificates::write_kubeconfig(&self.folder.join("certificates"), &file, user)?;
        Ok(file)
    }

    /// A folder that the node has under this name in its state folder.
    pub(super) fn folder_on_node(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// All that accounts of the cluster have asked of the API server so far.
    pub(crate) fn requests(&self) -> Result<Vec<Request>> {
        audit::read(&self.folder)
    }

    /// `kubectl` with these arguments. What it learnt of a server it keeps by address, which all these clusters share.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.kubectl);
        command
            .arg("--cache-dir")
            .arg(self.folder.join("cache"))
            .args(arguments);
        command
    }

    /// What `kubectl` says.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<String> {
        shell::output(&mut self.kubectl(arguments))
    }

    /// Creates what a text describes.
    pub(super) fn create(&self, manifest: &Value) -> Result<()> {
        let file = self.folder.join("manifest.json");
        fs::write(&file, manifest.to_string())?;
        self.output(&["create", "-f", &file.to_string_lossy()]).map(drop)
    }

    /// Makes an image known to the node.
    pub(super) fn load_image(&self, archive: &Path) -> Result<()> {
        node::load_image(&self.sandbox, archive)
    }

    /// Gives the node GPUs that only the scheduler knows of.
    ///
    /// Source: kubernetes.io, "Advertise Extended Resources for a Node": whatever is in the node's status, the kubelet keeps.
    pub(super) fn set_gpus(&self, n_gpus: u32) -> Result<()> {
        let path = format!("/api/v1/nodes/{}", node::NAME);
        let file = self.folder.join("node.json");
        // The kubelet writes as well, and a write that is based on an old state is refused.
        wait_until("the node's status is written", || {
            let mut node: Value = serde_json::from_str(&self.output(&["get", "--raw", &path])?)?;
            for list in ["capacity", "allocatable"] {
                node["status"][list]["nvidia.com/gpu"] = json!(n_gpus.to_string());
            }
            fs::write(&file, node.to_string())?;
            let replaced = self.output(&[
                "replace",
                "--raw",
                &format!("{path}/status"),
                "-f",
                &file.to_string_lossy(),
            ]);
            Ok(replaced.ok().map(drop))
        })
    }

    /// Kills the API server and starts it again. Connections break; nothing is lost.
    pub(super) fn restart_api_server(&self) -> Result<()> {
        self.take("kube-apiserver")?.kill()?;
        self.add(control_plane::start_api_server(&self.sandbox)?);
        self.api_answers()
    }

    /// Kills the kubelet. Pods go on; nobody tells what becomes of them.
    pub(super) fn kill_kubelet(&self) -> Result<()> {
        self.take("kubelet")?.kill()
    }

    pub(super) fn start_kubelet(&self) -> Result<()> {
        self.add(node::start_kubelet(&self.sandbox)?);
        Ok(())
    }

    /// Pulls the cable to the user's machine, at the node's end: every packet is lost, nobody is told.
    pub(super) fn cut_network(&self) -> Result<()> {
        self.set_cable("down")
    }

    pub(super) fn mend_network(&self) -> Result<()> {
        self.set_cable("up")
    }

    fn set_cable(&self, state: &str) -> Result<()> {
        let mut ip = self.node_launcher().command(Path::new("ip"));
        shell::output(ip.args(["link", "set", "cable", state])).map(drop)
    }

    /// # Errors
    /// If a daemon has ended or the API server does not answer; with the end of the daemon's log.
    pub(super) fn check(&self) -> Result<()> {
        self.daemons().values_mut().try_for_each(Daemon::check)?;
        self.dns.iter().try_for_each(Dns::check)
    }

    /// Inode numbers of its namespaces.
    pub(super) fn marks(&self) -> Result<Vec<u64>> {
        self.sandbox.marks()
    }

    fn api_answers(&self) -> Result<()> {
        wait_until("the API server is ready", || {
            self.check()?;
            let answer = self.kubectl(&["get", "--raw", "/readyz"]).output()?;
            Ok((answer.stdout == b"ok").then_some(()))
        })
    }

    fn node_is_ready(&self) -> Result<()> {
        // Not only ready, but also open to pods.
        let fields = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status} {.spec.taints}";
        wait_until("the node is ready", || {
            self.check()?;
            let state = self.output(&["get", "node", node::NAME, "-o", fields]);
            Ok(state.is_ok_and(|state| state == "True ").then_some(()))
        })
    }

    fn daemons(&self) -> MutexGuard<'_, BTreeMap<&'static str, Daemon>> {
        self.daemons.lock().expect("no thread panics with it")
    }

    fn add(&self, daemon: Daemon) {
        self.daemons().insert(daemon.name, daemon);
    }

    fn take(&self, name: &str) -> Result<Daemon> {
        self.daemons()
            .remove(name)
            .with_context(|| format!("`{name}` is not running"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.sandbox.end();
        if let Err(why) = remove_leftovers(&self.name, &self.group) {
            println!("something is left of cluster `{}`: {why:#}", self.name);
        }
        // Keys and what the daemons were told; the logs stay until the next cluster of this name.
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let _ = if path.ends_with("logs") {
                Ok(())
            } else if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
        }
    }
}

/// Ends programs that were started in the networks of a cluster of this name, and removes its control groups.
///
/// Its own processes need no care: they end with whoever made it.
fn remove_leftovers(name: &str, group: &ControlGroup) -> Result<()> {
    for pid in processes::with_stamp(&format!("{MARK}={name}"))? {
        // Some have ended with those before them.
        let mut kill = Command::new("kill");
        let _ = kill.args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
    }
    group.remove()
}
