//! `KubernetesConfig`: which kind of job a trial becomes, what its pods are like, and where the cluster is.
//!
//! Reading it from both schemas of an experiment file is in `config/read.rs`.

mod adl;
mod read;
mod template;

pub(crate) use adl::{RETIRED as ADL_RETIRED, TRIAL_KEYS as ADL_TRIAL_KEYS, refuse as refuse_adl};

use std::{path::PathBuf, time::Duration};
use ts_core::{
    DEFAULT_GRACE,
    config::{PlatformSection, Problems, SecretRef},
};

/// Where containers see the storage.
///
/// Source: nni v1.9, `src/nni_manager/training_service/kubernetes/kubernetesTrainingService.ts`, `CONTAINER_MOUNT_PATH`.
const DEFAULT_MOUNT: &str = "/tmp/mount";

/// Settings of an experiment on Kubernetes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KubernetesConfig {
    /// What a trial becomes in the cluster.
    pub kind: JobKind,
    /// Version of the kind's API group, such as `v1`. `None`: the one that the cluster prefers. A version that the cluster does
    /// not serve is replaced by one that it does, with a warning: NNI's files name versions of operators long gone.
    pub api_version: Option<String>,
    /// The roles of a trial; one for [`JobKind::Job`] and [`JobKind::TrainJob`].
    pub roles: Vec<Role>,
    /// The user's own Framework (NNI's `configPath`), whose containers get our command.
    pub framework_template: Option<serde_json::Value>,
    /// Name of the runtime that those of a [`JobKind::TrainJob`] are made of. Default `torch-distributed`.
    pub runtime: Option<String>,
    /// Where the cluster is.
    pub access: Access,
    /// Storage that the pods mount; `None`: the code is streamed into each pod.
    pub storage: Option<Storage>,
    /// What all pods have.
    pub pods: Pods,
    /// Time between the request to end and the forced end of a pod, in whole seconds. Default 5 s.
    pub grace_period: Duration,
    /// How long a trial may wait for what does not mend itself, such as a wrong image. Default 10 min.
    pub start_timeout: Duration,
    /// What happens to the objects of trials that have ended.
    pub deletion_policy: DeletionPolicy,
    /// After how much time the cluster itself removes an ended job, where its kind can. Default: never.
    pub ttl_after_finished: Option<Duration>,
}

/// What a trial becomes in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobKind {
    /// `batch/v1` `Job`.
    Job,
    /// `kubeflow.org` `TFJob`; roles `worker` and `ps`.
    TfJob,
    /// `kubeflow.org` `PyTorchJob`; roles `master` and `worker`.
    PyTorchJob,
    /// `trainer.kubeflow.org` `TrainJob`.
    TrainJob,
    /// `frameworkcontroller.microsoft.com` `Framework`; roles as the user names them.
    Framework,
}

impl JobKind {
    /// Name of the container that runs the trial; operators know theirs by it.
    ///
    /// Sources: kubeflow/training-operator v1.9, `pkg/apis/kubeflow.org/v1/{tensorflow,pytorch}_types.go`; kubeflow/trainer
    /// v2.0, `pkg/constants/constants.go`; nni v1.9, `frameworkcontrollerTrainingService.ts`.
    pub(crate) fn container(self) -> &'static str {
        match self {
            Self::Job => "trial",
            Self::TfJob => "tensorflow",
            Self::PyTorchJob => "pytorch",
            Self::TrainJob => "node",
            Self::Framework => "framework",
        }
    }
}

/// One role of a trial.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Role {
    /// `worker`, `ps`, `master`, or the name of a task role.
    pub name: String,
    /// How many pods, at least 1 (a Framework's may be 0).
    pub replicas: u32,
    /// Shell command; `None`: that of the trial.
    pub command: Option<String>,
    /// Whole GPUs of each pod.
    pub gpus: u32,
    /// CPUs of each pod as a Kubernetes quantity, such as `2` or `500m`. `None`: the cluster's default.
    pub cpus: Option<String>,
    /// Memory of each pod in MiB.
    pub memory_mib: Option<u64>,
    /// Container image.
    pub image: String,
    /// A `config.json` of docker with credentials for the image's registry.
    pub private_registry_auth: Option<PathBuf>,
    /// When a Framework's attempt is over.
    pub completion: CompletionPolicy,
}

impl Role {
    /// A role of one pod.
    pub fn new(name: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            replicas: 1,
            command: None,
            gpus: 0,
            cpus: None,
            memory_mib: None,
            image: image.into(),
            private_registry_auth: None,
            completion: CompletionPolicy::default(),
        }
    }
}

/// When a Framework's attempt is over; -1 stands for never.
///
/// Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/types.go`, `CompletionPolicySpec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the two counts of FrameworkController")]
pub struct CompletionPolicy {
    /// It fails once so many tasks of the role have failed.
    pub min_failed: i32,
    /// It succeeds once so many tasks of the role have succeeded.
    pub min_succeeded: i32,
}

impl Default for CompletionPolicy {
    fn default() -> Self {
        Self {
            min_failed: 1,
            min_succeeded: -1,
        }
    }
}

/// Where the cluster is, and where in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Access {
    /// A kubeconfig file. `None`: in a pod its service account, else `$KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context of it. `None`: its current one.
    pub context: Option<String>,
    /// The namespace. `None`: `default`, as in NNI.
    pub namespace: Option<String>,
}

/// Storage that the pods mount.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Storage {
    /// What it is.
    pub kind: StorageKind,
    /// Absolute path where containers see it. Default `/tmp/mount`, as in NNI.
    pub mount_path: String,
}

impl Storage {
    /// Storage that containers see at the default path.
    pub fn new(kind: StorageKind) -> Self {
        Self {
            kind,
            mount_path: DEFAULT_MOUNT.to_owned(),
        }
    }
}

/// What the storage is.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "what NNI knows; each needs its own volume")]
pub enum StorageKind {
    /// A network file system, mounted by the kubelet.
    Nfs {
        /// Host name or address, as nodes see it.
        server: String,
        /// Absolute exported directory.
        path: String,
    },
    /// A share of Azure Files.
    AzureFiles {
        /// Storage account.
        account: String,
        /// Share.
        share: String,
        /// Where its key comes from.
        key: AzureKey,
    },
    /// A claim that exists in the namespace.
    Claim {
        /// Its name.
        name: String,
        /// Directory in the volume to use, relative; empty for all of it.
        sub_path: String,
    },
}

/// Where the key of an Azure storage account comes from.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the vault of NNI, a secret of ours, one of the cluster"
)]
pub enum AzureKey {
    /// A secret in Azure Key Vault.
    KeyVault {
        /// Name of the vault.
        vault: String,
        /// Name of the secret.
        secret: String,
    },
    /// Written in the file or referred to there.
    Given(SecretRef),
    /// A Secret in the namespace that holds `azurestorageaccountname` and `azurestorageaccountkey`.
    Existing(String),
}

/// What all pods of the experiment have.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Pods {
    /// Service account of the pods.
    pub service_account: Option<String>,
    /// Labels that a node must have.
    pub node_selector: Vec<(String, String)>,
    /// Tolerations, as in a pod's specification.
    pub tolerations: Vec<serde_json::Value>,
    /// Names of Secrets with registry credentials in the namespace.
    pub image_pull_secrets: Vec<String>,
    /// `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: Option<String>,
    /// Secrets of the namespace whose keys become environment variables.
    pub env_from_secrets: Vec<String>,
    /// Further variables.
    pub env: Vec<(String, String)>,
    /// Further volumes, as in a pod's specification.
    pub volumes: Vec<serde_json::Value>,
    /// Where containers see them, as in a container's specification.
    pub volume_mounts: Vec<serde_json::Value>,
    /// Size of `/dev/shm` in MiB; `None` leaves the runtime's 64 MiB.
    pub shm_mib: Option<u64>,
    /// Name of the extended resource that GPUs are. Default `nvidia.com/gpu`.
    pub gpu_resource: Option<String>,
    /// Priority class.
    pub priority_class: Option<String>,
    /// Name of the queue of Kueue that jobs go through.
    pub queue: Option<String>,
    /// A pod template that is merged strategically over ours.
    pub template: Option<serde_json::Value>,
}

/// What happens to the objects of trials that have ended, once all they said is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeletionPolicy {
    /// Those of trials that succeeded are removed.
    #[default]
    Succeeded,
    /// All are removed.
    Ended,
    /// They stay until `tsctl gc`.
    Never,
}

impl KubernetesConfig {
    /// Trials of this kind with these roles, in a cluster found as `kubectl` finds it, without storage.
    pub fn new(kind: JobKind, roles: Vec<Role>) -> Self {
        Self {
            kind,
            api_version: None,
            roles,
            framework_template: None,
            runtime: None,
            access: Access::default(),
            storage: None,
            pods: Pods::default(),
            grace_period: DEFAULT_GRACE,
            start_timeout: Duration::from_mins(10),
            deletion_policy: DeletionPolicy::default(),
            ttl_after_finished: None,
        }
    }

    /// The longest time that a pod of a trial may take to end, also by a template of the user's.
    pub(crate) fn longest_grace(&self) -> Duration {
        const SECONDS: &str = "/spec/terminationGracePeriodSeconds";
        let of_template = self.pods.template.iter().filter_map(|pod| pod.pointer(SECONDS));
        let roles = self
            .framework_template
            .iter()
            .filter_map(|own| own.pointer("/spec/taskRoles"));
        let roles = roles.filter_map(serde_json::Value::as_array).flatten();
        let of_roles = roles.filter_map(|role| role.pointer("/task/pod")?.pointer(SECONDS));
        let seconds = of_template.chain(of_roles).filter_map(serde_json::Value::as_u64);
        let longest = seconds.map(Duration::from_secs).max().unwrap_or_default();
        longest.max(self.grace_period)
    }

    /// How many pods a trial has in all.
    pub(crate) fn n_pods(&self) -> u32 {
        self.roles.iter().map(|role| role.replicas).sum()
    }

    /// The role whose first pod speaks for the trial: the one by which its operator tells how a job ended.
    ///
    /// Sources: kubeflow/training-operator 1.9, `pkg/controller.v1/{tensorflow,pytorch}`, `UpdateJobStatus`;
    /// microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/types.go`, `CompletionPolicySpec`.
    pub(crate) fn first_role(&self) -> Option<&Role> {
        let counts = |role: &&Role| match self.kind {
            JobKind::TfJob => role.name == "worker",
            JobKind::PyTorchJob => role.name == "master",
            JobKind::Framework => role.completion.min_succeeded > 0,
            JobKind::Job | JobKind::TrainJob => true,
        };
        self.roles.iter().find(counts).or(self.roles.first())
    }

    /// The runtime that those of trials are made of, where their kind has one.
    pub(crate) fn runtime(&self) -> Option<&str> {
        let name = self.runtime.as_deref().unwrap_or("torch-distributed");
        (self.kind == JobKind::TrainJob).then_some(name)
    }

    /// Reads the platform's section of an experiment file; all problems go to `problems`.
    pub fn read(section: &PlatformSection, problems: &mut Problems) -> Self {
        read::read(section, problems)
    }
}
