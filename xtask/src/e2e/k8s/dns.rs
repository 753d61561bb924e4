//! Stands in for the cluster's name server: dnsmasq with a file of hosts that follows the Endpoints objects.
//!
//! It knows `SERVICE.NAMESPACE.svc.cluster.local` as the addresses of the service's pods, also where the service has an address
//! of its own, because nothing forwards those here; and `HOSTNAME.SERVICE.NAMESPACE.svc.cluster.local`. No other name exists.
//! Source: Kubernetes DNS-Based Service Discovery 1.1.0, sections 2.3 and 2.4.

use super::{
    control_plane::kubeconfig,
    sandbox::{Daemon, NODE_ADDRESS, PROGRAMS, STATE, Sandbox},
};
use crate::e2e::experiment::pause;
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// The name server and the thread that feeds it. The sandbox has to end before this is dropped.
#[derive(Debug)]
pub(super) struct Dns {
    shared: Arc<Shared>,
    feeder: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    is_over: AtomicBool,
    server: Mutex<Daemon>,
    hosts: PathBuf,
}

impl Dns {
    pub(super) fn start(sandbox: &Sandbox, folder: &Path) -> Result<Self> {
        let hosts = folder.join("hosts");
        fs::write(&hosts, "")?;
        let address = format!("--listen-address={NODE_ADDRESS}");
        let file = format!("--addn-hosts={STATE}/hosts");
        let flags = [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--pid-file=",
            "--bind-interfaces",
            "--no-resolv",
            "--no-hosts",
            // Everything else does not exist.
            "--address=/#/",
            "--cache-size=0",
            &address,
            &file,
        ];
        let shared = Arc::new(Shared {
            is_over: AtomicBool::new(false),
            server: Mutex::new(sandbox.start("dnsmasq", &flags)?),
            hosts,
        });
        let mut watch = sandbox.inside(&format!("{PROGRAMS}/kubectl"));
        watch.args([&kubeconfig(), "get", "endpoints", "--all-namespaces"]);
        watch.args(["--watch", "--output-watch-events", "--output=json"]);
        let feeder = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while !shared.is_over.load(Ordering::Relaxed) {
                    // Ends with the API server, for one; it begins again with all that there is.
                    let _ = shared.follow(&mut watch);
                    pause(Duration::from_millis(100));
                }
            }
        });
        Ok(Self {
            shared,
            feeder: Some(feeder),
        })
    }

    /// # Errors
    /// If the server has ended.
    pub(super) fn check(&self) -> Result<()> {
        self.shared.server.lock().expect("no thread panics with it").check()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // The watch has gone with the sandbox, which ends first.
        if let Some(feeder) = self.feeder.take() {
            let _ = feeder.join();
        }
    }
}

impl Shared {
    fn follow(&self, watch: &mut Command) -> Result<()> {
        let mut child = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let ended = self.feed(child.stdout.take().context("no pipe")?);
        let _ = child.kill();
        child.wait()?;
        ended
    }

    fn feed(&self, events: ChildStdout) -> Result<()> {
        let mut known = Names::default();
        for event in serde_json::Deserializer::from_reader(events).into_iter::<Value>() {
            known.take(&event?);
            fs::write(&self.hosts, known.hosts())?;
            self.server.lock().expect("no thread panics with it").hang_up()?;
        }
        Ok(())
    }
}

/// Lines for each object, by its namespace and name.
#[derive(Debug, Default)]
struct Names(BTreeMap<(String, String), BTreeSet<String>>);

impl Names {
    fn take(&mut self, event: &Value) {
        let object = &event["object"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (
            text(&object["metadata"]["namespace"]),
            text(&object["metadata"]["name"]),
        );
        let mut lines = BTreeSet::new();
        if event["type"] != "DELETED" {
            let service = format!("{name}.{namespace}.svc.cluster.local");
            let subsets = object["subsets"].as_array().into_iter().flatten();
            for address in subsets.filter_map(|subset| subset["addresses"].as_array()).flatten() {
                let ip = text(&address["ip"]);
                lines.insert(format!("{ip} {service}\n"));
                if let Some(hostname) = address["hostname"].as_str() {
                    lines.insert(format!("{ip} {hostname}.{service}\n"));
                }
            }
        }
        self.0.insert((namespace, name), lines);
    }

    fn hosts(&self) -> String {
        self.0.values().flatten().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &str, addresses: &Value) -> Value {
        json!({ "type": kind, "object": {
            "metadata": { "name": "job", "namespace": "default" },
            "subsets": [{ "addresses": addresses }],
        }})
    }

    #[test]
    fn names_follow_the_endpoints() {
        let mut names = Names::default();
        names.take(&event(
            "ADDED",
            &json!([{ "ip": "10.244.0.7", "hostname": "job-0" }, { "ip": "10.244.0.8" }]),
        ));
        let expected = "10.244.0.7 job-0.job.default.svc.cluster.local\n10.244.0.7 job.default.svc.cluster.local\n\
                        10.244.0.8 job.default.svc.cluster.local\n";
        assert_eq!(names.hosts(), expected);
        names.take(&event("MODIFIED", &json!([{ "ip": "10.244.0.8" }])));
        assert_eq!(names.hosts(), "10.244.0.8 job.default.svc.cluster.local\n");
        names.take(&event("DELETED", &json!([{ "ip": "10.244.0.8" }])));
        assert_eq!(names.hosts(), "");
    }
}
