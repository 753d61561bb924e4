//! `PaiConfig`: where the cluster is, whose jobs they are, what a job is like, and where the shared storage is mounted.
//!
//! Reading it from both schemas of an experiment file is in `config/read.rs`; what a job document of the user's may say in
//! `config/document.rs`.

mod document;
mod push;
mod read;
mod yarn;

pub use document::Document;
pub(crate) use document::{as_map, masked};
pub(crate) use read::TRIAL_KEYS as V1_TRIAL_KEYS;
pub(crate) use yarn::{RETIRED as YARN_RETIRED, TRIAL_KEYS as YARN_TRIAL_KEYS, refuse as refuse_yarn};

use crate::Push;
use std::{path::PathBuf, time::Duration};
use ts_core::{
    DEFAULT_GRACE,
    config::{PlatformSection, Problems, SecretRef},
    http::Url,
};

/// Settings of an experiment on OpenPAI.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PaiConfig {
    /// Address of the cluster's web portal, such as `https://pai.example.org`.
    pub host: Url,
    /// Whose jobs the trials are.
    pub user_name: String,
    /// What shows that we may act for that user.
    pub credential: Credential,
    /// GPUs, CPUs and memory of a trial, and its image. `None` with a job document of the user's, which has its own.
    pub resources: Option<Resources>,
    /// The user's own job document (NNI's `paiConfigPath`, `openpaiConfig`), whose commands we surround.
    pub document: Option<Document>,
    /// The virtual cluster. `None`: the document's, else the server's `default`.
    pub virtual_cluster: Option<String>,
    /// Name of the storage in OpenPAI. `None`: the document's.
    pub storage_name: Option<String>,
    /// Where the storage is mounted on this machine; absolute. Unused with `push`.
    pub local_mount: PathBuf,
    /// Without a mount here: where trials push what they write. Default none.
    pub push: Option<Push>,
    /// Where containers see the same folder; with `push` a folder of their own; absolute.
    pub container_mount: String,
    /// Certificate authorities in PEM, trusted beside the machine's.
    pub ca_file: Option<PathBuf>,
    /// Time between the request to end and the forced end of a trial's processes. Default 5 s; at most 30 s, after which Kubernetes
    /// ends the container anyway.
    pub grace_period: Duration,
    /// Priority of the jobs, where the cluster's scheduler is HiveD. `None`: its own default.
    pub job_priority: Option<JobPriority>,
    /// Whether trials run one after another in long-running jobs. Default false; never with a document of the user's.
    pub reuse: bool,
    /// How long such a job waits for a trial before it leaves, in whole seconds. Default 2 min.
    pub idle_timeout: Duration,
    /// Least time between two calls that list the jobs. Default 2 s.
    pub poll_interval: Duration,
    /// How long a job that was taken may be unknown to the server before it counts as lost. Default 60 s.
    ///
    /// Source: microsoft/pai v1.8: status is read from a database that is fed later.
    pub vanish_after: Duration,
}

/// What shows that we may act for the user.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "the two ways of NNI")]
pub enum Credential {
    /// A token of the profile page: an application token lives until it is revoked.
    Token(SecretRef),
    /// A password, where the cluster has users of its own; exchanged for tokens.
    Password(SecretRef),
}

/// What a trial's container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what the job protocol asks for")]
pub struct Resources {
    /// Whole GPUs.
    pub gpus: u32,
    /// CPUs, at least 1.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Container image; it needs `sh` and `tar`.
    pub image: String,
}

/// Classes of priority of HiveD.
///
/// Source: microsoft/pai v1.8, `src/rest-server/src/middlewares/v2/hived.js`, `convertPriority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobPriority {
    /// May take what others' opportunistic jobs use.
    Prod,
    /// The default.
    Test,
    /// Uses what nobody is guaranteed, and may lose it at any time.
    Oppo,
}

impl JobPriority {
    /// As the job protocol spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Test => "test",
            Self::Oppo => "oppo",
        }
    }
}

impl PaiConfig {
    /// Jobs of `user_name` at `host`, over a storage of this name that is mounted here and there.
    pub fn new(
        host: Url,
        user_name: impl Into<String>,
        credential: Credential,
        storage: (impl Into<String>, impl Into<PathBuf>, impl Into<String>),
        resources: Resources,
    ) -> Self {
        Self {
            host,
            user_name: user_name.into(),
            credential,
            resources: Some(resources),
            document: None,
            virtual_cluster: None,
            storage_name: Some(storage.0.into()),
            local_mount: storage.1.into(),
            push: None,
            container_mount: storage.2.into(),
            ca_file: None,
            grace_period: DEFAULT_GRACE,
            job_priority: None,
            reuse: false,
            idle_timeout: Duration::from_mins(2),
            poll_interval: Duration::from_secs(2),
            vanish_after: Duration::from_mins(1),
        }
    }

    /// Reads the platform's section of an experiment file; all problems go to `problems`. `None` only beside a problem.
    pub fn read(section: &PlatformSection, problems: &mut Problems) -> Option<Self> {
        read::read(section, problems)
    }
}
