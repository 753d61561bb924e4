//! What every other scenario takes for granted: pods, their logs, names and networks, and a cluster without a node.

use super::{
    Lab,
    cluster::{Cluster, Options},
    images::{BUSYBOX, NNI, PYTHON},
    sandbox::USER_ADDRESS,
};
use crate::{
    e2e::{Place, experiment::wait_until},
    shell,
};
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
};

/// A pod of one container that runs a shell's command and is not started again.
pub(super) fn pod_of(name: &str, image: &str, command: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "main", "image": image, "command": ["sh", "-c", command] }],
        },
    })
}

/// Waits until the phase of a pod of the namespace `default` is this.
pub(super) fn wait_for_phase(cluster: &Cluster, pod: &str, wanted: &str) -> Result<()> {
    wait_for_phase_in(cluster, "default", pod, wanted)
}

/// Waits until a pod's phase is this.
pub(super) fn wait_for_phase_in(cluster: &Cluster, namespace: &str, pod: &str, wanted: &str) -> Result<()> {
    let named = ["pod", "--namespace", namespace, pod];
    wait_until(&format!("pod `{pod}` is {wanted}"), || {
        // Connections may be broken on purpose.
        let phase = cluster.output(&[&["get"], &named[..], &["-o", "jsonpath={.status.phase}"]].concat());
        match phase.unwrap_or_default().as_str() {
            phase if phase == wanted => Ok(Some(())),
            "Succeeded" | "Failed" => {
                let told = cluster.output(&[&["describe"], &named[..]].concat())?;
                bail!("pod `{pod}` has ended:\n{told}")
            }
            _ => Ok(None),
        }
    })
}

/// Removes a pod and waits until it is gone.
pub(super) fn remove(cluster: &Cluster, pod: &str) -> Result<()> {
    cluster.output(&["delete", "pod", pod, "--timeout=60s"]).map(drop)
}

/// A pod runs, its log is followed to its end, a command runs in it, its exit code is told, it goes.
pub(super) fn pod(_: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let command = "echo begun; until [ -e /tmp/end ]; do sleep 0.1; done; cat /tmp/end; exit 3";
    cluster.create(&pod_of("basic", BUSYBOX, command))?;
    wait_for_phase(cluster, "basic", "Running")?;
    let mut follow = cluster.kubectl(&["logs", "--follow", "basic"]);
    let followed = follow.stdout(Stdio::piped()).spawn()?;
    cluster.output(&[
        "exec",
        "basic",
        "--",
        "sh",
        "-c",
        "echo told >/tmp/part; mv /tmp/part /tmp/end",
    ])?;
    let followed = followed.wait_with_output()?;
    ensure!(
        followed.stdout == b"begun\ntold\n",
        "followed: {}",
        String::from_utf8_lossy(&followed.stdout)
    );
    wait_for_phase(cluster, "basic", "Failed")?;
    let field = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}";
    let code = cluster.output(&["get", "pod", "basic", "-o", field])?;
    ensure!(code == "3", "exit code {code}");
    remove(cluster, "basic")?;
    let left = cluster.output(&["get", "pods", "-o", "name"])?;
    ensure!(left.is_empty(), "left: {left}");
    Ok(())
}

/// A pod is found by its service's name, and reaches a server on the user's machine.
pub(super) fn network(_: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let folder = cluster.kubeconfig().with_file_name("served");
    fs::create_dir(&folder)?;
    fs::write(folder.join("file"), "from the user")?;
    let mut serve = cluster.command("python3");
    serve
        .args(["-m", "http.server", "8000", "--bind", USER_ADDRESS])
        .current_dir(&folder);
    let _server = Ended(serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    cluster.create(&json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "found" },
        "spec": { "clusterIP": "None", "selector": { "app": "found" }, "ports": [{ "port": 80 }] },
    }))?;
    let answering = "mkdir /www; echo from a pod >/www/file; httpd -f -h /www";
    cluster.create(&pod_of("found", BUSYBOX, answering))?;
    let asking = format!(
        "for url in found:80/file {USER_ADDRESS}:8000/file; do until wget -q -O - http://$url 2>/dev/null; do sleep 0.2; done; done"
    );
    cluster.create(&pod_of("asking", BUSYBOX, &asking))?;
    wait_for_phase(cluster, "asking", "Succeeded")?;
    let told = cluster.output(&["logs", "asking"])?;
    ensure!(told == "from a pod\nfrom the user", "{told}");
    remove(cluster, "asking")?;
    remove(cluster, "found")?;
    cluster.output(&["delete", "service", "found"]).map(drop)
}

/// Debian's Python runs, and with another image NNI's released SDK.
pub(super) fn nni(place: &Place, lab: &Lab, cluster: &Cluster) -> Result<()> {
    cluster.create(&pod_of(
        "python",
        PYTHON,
        "python3 -c 'import ssl, json; print(json.dumps([1]))'",
    ))?;
    cluster.load_image(&lab.images.nni(place)?)?;
    let command = "python3 -c 'import nni; print(nni.__version__)'";
    cluster.create(&pod_of("nni", NNI, command))?;
    for (pod, expected) in [("python", "[1]\n"), ("nni", "2.10\n")] {
        wait_for_phase(cluster, pod, "Succeeded")?;
        let told = cluster.output(&["logs", pod])?;
        ensure!(told == expected, "{pod}: {told}");
        remove(cluster, pod)?;
    }
    Ok(())
}

/// A pod that asks for GPUs waits for a node that has as many.
pub(super) fn gpus(_: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let mut asking = pod_of("gpus", BUSYBOX, "true");
    asking["spec"]["containers"][0]["resources"] = json!({ "limits": { "nvidia.com/gpu": 2 } });
    cluster.create(&asking)?;
    let reason = "jsonpath={.status.conditions[?(@.type==\"PodScheduled\")].reason}";
    wait_until("the pod cannot be scheduled", || {
        let reason = cluster.output(&["get", "pod", "gpus", "-o", reason])?;
        Ok((reason == "Unschedulable").then_some(()))
    })?;
    cluster.set_gpus(2)?;
    wait_for_phase(cluster, "gpus", "Succeeded")?;
    cluster.set_gpus(0)?;
    remove(cluster, "gpus")
}

/// Without a node: a pod waits, what belongs to an object goes with it, and so does what is in a namespace.
pub(super) fn api_only(place: &Place, _: &Lab) -> Result<()> {
    let options = Options {
        api_only: true,
        images: Vec::new(),
    };
    let cluster = Cluster::up(place, "api", &options)?;
    cluster.create(&pod_of("waits", BUSYBOX, "true"))?;
    wait_for_phase(&cluster, "waits", "Pending")?;
    let uid = cluster.output(&["get", "pod", "waits", "-o", "jsonpath={.metadata.uid}"])?;
    let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": "waits", "uid": uid });
    cluster.create(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "owned", "ownerReferences": [owner] },
    }))?;
    remove(&cluster, "waits")?;
    wait_until("the pod's own object is removed", || {
        let left = cluster.output(&["get", "configmap", "owned", "--ignore-not-found", "-o", "name"])?;
        Ok(left.is_empty().then_some(()))
    })?;
    cluster.output(&["create", "namespace", "short"])?;
    cluster.output(&["delete", "namespace", "short", "--timeout=60s"])?;
    let nodes = cluster.output(&["get", "nodes", "-o", "name"])?;
    ensure!(nodes.is_empty(), "nodes: {nodes}");
    ensure!(
        shell::output(cluster.command(Path::new("ip")).args(["-o", "link", "show", "plug"]))?.contains("plug"),
        "the command ran in another network"
    );
    Ok(())
}

/// A program that is killed when it is dropped.
#[derive(Debug)]
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
