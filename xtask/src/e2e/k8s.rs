//! A real Kubernetes, brought up on this machine in namespaces of its own: which scenarios there are.
//!
//! Needs root and control groups of version 1, and is skipped by name where these are not. What runs in pods comes from images
//! made here; what Kubernetes itself is made of is built from Debian's source package at the first run.

pub(crate) mod account;
mod archive;
mod audit;
mod basics;
mod binaries;
mod cache;
mod certificates;
mod cluster;
mod control_plane;
mod dns;
mod ending;
mod faults;
mod images;
mod jobs;
mod kinds;
pub(crate) mod loan;
mod machine;
mod node;
mod operators;
mod reasons;
mod sandbox;
mod study;
mod traces;
mod trouble;

use super::{Place, packages::Lacking};
use crate::report::{Outcome, Report};
use anyhow::{Context, Result};
use cluster::{Cluster, Options};
use images::Images;
use std::fs;

type Sharing = fn(&Place, &Lab, &Cluster) -> Result<()>;
type Alone = fn(&Place, &Lab) -> Result<()>;

/// A scenario with a server on the user's machine, which outlives whoever started it.
const NETWORK: &str = "a pod has a name and finds the user's machine";

/// Scenarios that share a cluster, each in a namespace of its own, so that most of them take seconds.
const SHARING: &[(&str, Sharing)] = &[
    (
        "a pod runs, its log is read, a command runs in it, it goes",
        basics::pod,
    ),
    (NETWORK, basics::network),
    ("a pod waits for GPUs", basics::gpus),
    ("NNI's SDK is in an image", basics::nni),
    (
        "an experiment is run from the user's machine",
        study::on_the_users_machine,
    ),
    ("a pod goes on without the API server", faults::api_server),
    ("the user's machine loses the cluster and finds it again", faults::cable),
    ("a pod that ended without the kubelet", faults::kubelet),
    ("jobs: every trial once, nothing left, four writes each", jobs::plain),
    ("jobs: the code comes onto a claim once", jobs::claim),
    ("jobs: the manager is killed and goes on", ending::killed),
    ("jobs: Ctrl-C", ending::interrupted),
    ("jobs: stopped by a command", ending::stopped),
    ("jobs: one trial is canceled", ending::canceled),
    ("jobs: what a dead manager left is removed", ending::forsaken),
    ("jobs: a pod and a job are deleted by hand", ending::deleted),
    ("jobs: why they wait", reasons::waiting),
    ("jobs: a quota", reasons::quota),
    ("jobs: rights that are missing are named", reasons::rights),
    ("jobs: the API server is killed", trouble::api_server),
    ("jobs: the network is cut", trouble::cable),
    ("jobs: the kubelet is killed", trouble::kubelet),
    ("kinds: TFJob, file of schema 1", kinds::tf_v1),
    ("kinds: TFJob, file of schema 2, a claim", kinds::tf_v2),
    ("kinds: PyTorchJob, file of schema 1", kinds::pytorch),
    ("kinds: Framework, file of schema 1", kinds::framework_v1),
    ("kinds: Framework, file of schema 2, a claim", kinds::framework_v2),
    ("kinds: TrainJob", kinds::train_job),
];

/// Scenarios that bring up clusters of their own.
const ALONE: &[(&str, Alone)] = &[
    ("an API server alone", basics::api_only),
    ("a cluster that goes leaves nothing", traces::of_an_ended_cluster),
    ("a killed run leaves nothing", traces::of_a_killed_run),
];

/// The name of the cluster that is shared.
const SHARED: &str = "shared";

/// What all scenarios use.
#[derive(Debug)]
struct Lab {
    images: Images,
}

/// Runs the scenarios whose names contain `only`, or skips all by one name.
pub(super) fn run(place: &Place, report: &mut Report, only: &str) {
    let (sharing, alone) = (chosen(SHARING, only), chosen(ALONE, only));
    if sharing.is_empty() && alone.is_empty() {
        return;
    }
    let mut lab = None;
    report.step("Kubernetes: its programs, and images for pods", || {
        skipping_what_is_lacking(|| {
            lab = Some(Lab::new()?);
            Ok(())
        })
    });
    // Reported already.
    let Some(lab) = lab else { return };
    let mut shared: Option<Cluster> = None;
    for (name, scenario) in sharing {
        report.step(&format!("Kubernetes: {name}"), || {
            skipping_what_is_lacking(|| {
                let ended = in_shared(place, &lab, &mut shared, *scenario);
                if ended.as_ref().is_err_and(|why| !why.is::<Lacking>()) {
                    // One that something went wrong in serves nobody else.
                    shared = None;
                    keep_logs(place, name);
                }
                ended
            })
        });
    }
    drop(shared);
    for (name, scenario) in alone {
        report.step(&format!("Kubernetes: {name}"), || {
            skipping_what_is_lacking(|| scenario(place, &lab))
        });
    }
}

fn chosen<T>(scenarios: &'static [(&'static str, T)], only: &str) -> Vec<&'static (&'static str, T)> {
    scenarios.iter().filter(|(name, _)| name.contains(only)).collect()
}

/// Runs a scenario in the shared cluster, which is brought up unless it is there, and must outlast it.
fn in_shared(place: &Place, lab: &Lab, shared: &mut Option<Cluster>, scenario: Sharing) -> Result<()> {
    let cluster = match shared.take() {
        Some(cluster) => cluster,
        None => Cluster::up(place, SHARED, &lab.options())?,
    };
    let cluster = shared.insert(cluster);
    scenario(place, lab, cluster)?;
    cluster.check().context("the cluster did not outlast it")
}

/// Puts the shared cluster's logs where the next one does not replace them.
fn keep_logs(place: &Place, scenario: &str) {
    let name = scenario.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let (logs, kept) = (
        place.work.join("k8s").join(SHARED).join("logs"),
        place.work.join("k8s/failed").join(name),
    );
    // Those of a run before.
    let _ = fs::remove_dir_all(&kept);
    let moved = fs::create_dir_all(place.work.join("k8s/failed")).and_then(|()| fs::rename(&logs, &kept));
    match moved {
        Ok(()) => println!("the logs of its cluster are in `{}`", kept.display()),
        Err(why) => println!("no logs of its cluster: {why}"),
    }
}

impl Lab {
    /// Makes what takes minutes, but once only.
    fn new() -> Result<Self> {
        machine::check(true)?;
        binaries::folder()?;
        Ok(Self {
            images: Images::provide()?,
        })
    }

    /// A cluster with a node that knows the basic images.
    fn options(&self) -> Options {
        Options {
            api_only: false,
            images: self.images.basic(),
        }
    }
}

fn skipping_what_is_lacking(step: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    match step() {
        Err(error) if error.is::<Lacking>() => Ok(Outcome::Skipped(format!("{error:#}"))),
        ended => ended.map(|()| Outcome::Passed),
    }
}
