//! The kinds of jobs and of storage for which the suite runs, each with the settings of an ordinary user.

use crate::world::Variant;
use ts_k8s::{CompletionPolicy, JobKind, KubernetesConfig, Role, Storage, StorageKind};
use ts_k8s_testkit::{Generation, Minor, Options, SharedVolume};

/// What a role does that only serves the others. Its shell would tell that it was ended.
const FOR_EVER: &str = "exec 2>/dev/null; while :; do sleep 1; done";
const IMAGE: &str = "local/busybox:1";
const CLAIM: SharedVolume<'static> = SharedVolume::Claim {
    namespace: "default",
    name: "data",
};
const NFS: SharedVolume<'static> = SharedVolume::Nfs {
    server: "files.example",
    path: "/export/nni",
};

/// A role that runs the trial's command.
fn role(name: &str) -> Role {
    Role::new(name, IMAGE)
}

/// A role that runs another command.
pub(crate) fn role_with(name: &str, command: &str) -> Role {
    let mut role = role(name);
    role.command = Some(command.to_owned());
    role
}

fn on(volume: &SharedVolume<'_>, mut config: KubernetesConfig) -> KubernetesConfig {
    let kind = match volume {
        SharedVolume::Nfs { server, path } => StorageKind::Nfs {
            server: (*server).to_owned(),
            path: (*path).to_owned(),
        },
        SharedVolume::Claim { name, .. } => StorageKind::Claim {
            name: (*name).to_owned(),
            sub_path: String::new(),
        },
        SharedVolume::AzureFile { .. } => unreachable!("no variant has one"),
    };
    config.storage = Some(Storage::new(kind));
    config
}

/// Plain jobs; the code comes into each pod.
pub(crate) struct Jobs;

impl Variant for Jobs {
    fn config() -> KubernetesConfig {
        KubernetesConfig::new(JobKind::Job, vec![role("worker")])
    }
}

/// Plain jobs with a claim.
pub(crate) struct JobsOnClaim;

impl Variant for JobsOnClaim {
    fn config() -> KubernetesConfig {
        on(&CLAIM, Jobs::config())
    }
    fn storage() -> Option<SharedVolume<'static>> {
        Some(CLAIM)
    }
}

/// Plain jobs with a network file system.
pub(crate) struct JobsOnNfs;

impl Variant for JobsOnNfs {
    fn config() -> KubernetesConfig {
        on(&NFS, Jobs::config())
    }
    fn storage() -> Option<SharedVolume<'static>> {
        Some(NFS)
    }
}

/// TFJobs with a worker, which is the trial, and a parameter server.
pub(crate) struct TfJobs;

impl Variant for TfJobs {
    fn config() -> KubernetesConfig {
        KubernetesConfig::new(JobKind::TfJob, vec![role("worker"), role_with("ps", FOR_EVER)])
    }
    fn operators(options: &mut Options) {
        options.tf = Some(Generation::TrainingOperator);
    }
}

/// PyTorchJobs with a master, which is the trial, and a worker.
pub(crate) struct PyTorchJobs;

impl Variant for PyTorchJobs {
    fn config() -> KubernetesConfig {
        KubernetesConfig::new(JobKind::PyTorchJob, vec![role("master"), role_with("worker", FOR_EVER)])
    }
    fn operators(options: &mut Options) {
        options.pytorch = Some(Generation::TrainingOperator);
    }
}

/// Frameworks of two task roles; the first is the trial.
pub(crate) struct Frameworks;

impl Variant for Frameworks {
    fn config() -> KubernetesConfig {
        let mut worker = role("worker");
        worker.completion = CompletionPolicy {
            min_failed: 1,
            min_succeeded: 1,
        };
        KubernetesConfig::new(JobKind::Framework, vec![worker, role_with("ps", FOR_EVER)])
    }
    fn operators(options: &mut Options) {
        options.frameworks = true;
    }
}

/// Frameworks with a network file system, NNI's own way.
pub(crate) struct FrameworksOnNfs;

impl Variant for FrameworksOnNfs {
    fn config() -> KubernetesConfig {
        on(&NFS, Frameworks::config())
    }
    fn operators(options: &mut Options) {
        Frameworks::operators(options);
    }
    fn storage() -> Option<SharedVolume<'static>> {
        Some(NFS)
    }
}

/// TrainJobs of one node.
pub(crate) struct TrainJobs;

impl Variant for TrainJobs {
    fn config() -> KubernetesConfig {
        KubernetesConfig::new(JobKind::TrainJob, vec![role("worker")])
    }
    fn operators(options: &mut Options) {
        options.trainer = Some(Minor::V2_2);
    }
}
