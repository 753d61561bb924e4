//! Faults that a cluster can be given: what it does then, so that other scenarios can rely on it.

use super::{
    Lab,
    basics::{pod_of, remove, wait_for_phase},
    cluster::Cluster,
    images::BUSYBOX,
};
use crate::e2e::{Place, experiment::wait_until, processes};
use anyhow::{Result, ensure};
use std::fs;

/// The API server is killed while a pod runs; nothing is lost.
pub(super) fn api_server(_: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    cluster.create(&pod_of("outlasts", BUSYBOX, "sleep 4; echo outlasted"))?;
    wait_for_phase(cluster, "outlasts", "Running")?;
    cluster.restart_api_server()?;
    wait_for_phase(cluster, "outlasts", "Succeeded")?;
    let told = cluster.output(&["logs", "outlasts"])?;
    ensure!(told == "outlasted\n", "{told}");
    remove(cluster, "outlasts")
}

/// The cable to the user's machine is pulled while a pod runs to its end.
pub(super) fn cable(_: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    cluster.create(&pod_of("unseen", BUSYBOX, "sleep 2; echo unseen"))?;
    wait_for_phase(cluster, "unseen", "Running")?;
    cluster.cut_network()?;
    let refused = cluster.output(&["get", "pods", "--request-timeout=2s"]);
    // Plugged in again whatever was seen.
    cluster.mend_network()?;
    ensure!(
        refused.is_err(),
        "the API server answered through a cable that was pulled"
    );
    wait_for_phase(cluster, "unseen", "Succeeded")?;
    remove(cluster, "unseen")
}

/// The kubelet is killed while a pod runs; the pod ends, and that is told when the kubelet is there again.
pub(super) fn kubelet(_: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    cluster.create(&pod_of("untold", BUSYBOX, "sleep 3; date +%s"))?;
    wait_for_phase(cluster, "untold", "Running")?;
    cluster.kill_kubelet()?;
    let field = "jsonpath={.metadata.resourceVersion} {.status.phase}";
    let state = || cluster.output(&["get", "pod", "untold", "-o", field]);
    let before = state()?;
    wait_until("the pod's processes end", || {
        Ok((!runs("sleep 3; date +%s")?).then_some(()))
    })?;
    let after = state()?;
    ensure!(
        before == after && after.ends_with("Running"),
        "without a kubelet the pod went from `{before}` to `{after}`"
    );
    cluster.start_kubelet()?;
    wait_for_phase(cluster, "untold", "Succeeded")?;
    remove(cluster, "untold")
}

/// Whether a process has this argument.
fn runs(argument: &str) -> Result<bool> {
    let has = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
    };
    Ok(processes::all()?.into_iter().any(has))
}
