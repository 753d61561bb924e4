//! What goes wrong with the cluster while an experiment runs on it. Nothing may be lost, counted twice, or run again.

use super::{Lab, account::Account, cluster::Cluster, jobs::section, study::Study};
use crate::e2e::{Place, experiment::pause};
use anyhow::{Context, Result};
use serde_json::json;
use std::time::Duration;

/// Longer than a trial of these experiments still runs when it begins.
const CUT: Duration = Duration::from_secs(6);

/// The API server is killed and comes back.
pub(super) fn api_server(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    struck(place, cluster, "api-server", "job-api-server", || {
        cluster.restart_api_server()
    })
}

/// Every packet between the user's machine and the cluster is lost for a while.
pub(super) fn cable(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    struck(place, cluster, "cable", "job-cable", || {
        cluster.cut_network()?;
        pause(CUT);
        cluster.mend_network()
    })
}

/// The node's kubelet is killed and comes back: logs cannot be read meanwhile, and nobody tells what becomes of pods.
pub(super) fn kubelet(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    struck(place, cluster, "kubelet", "job-kubelet", || {
        cluster.kill_kubelet()?;
        pause(CUT);
        cluster.start_kubelet()
    })
}

/// Runs an experiment, does `fault` while some trials have ended and some run, and checks everything.
fn struck(
    place: &Place,
    cluster: &Cluster,
    namespace: &'static str,
    name: &'static str,
    fault: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let account = Account::new(place, cluster, namespace)?;
    let study = Study::long(name, section(&account, json!({})), 4.0);
    let (experiment, mut run) = study.start(place, account.launcher())?;
    experiment.in_the_middle()?;
    let done = fault().with_context(|| format!("{name}: the fault"));
    experiment.finish(&mut run)?;
    done?;
    study.check(&experiment)?;
    account.each_ran_once("jobs", study.trials)?;
    account.is_tidy_after(&experiment, "")
}
