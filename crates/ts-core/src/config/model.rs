//! The one model that both schemas are read into.
//!
//! Holds values only: how they are spelled in a file is in `v1.rs` and `v2.rs`, what a platform needs is in its
//! [`PlatformSection`].

use super::{platform_section::PlatformSection, secret_ref::SecretRef, source::Schema};
use crate::{CodeDirectory, GpuCount, Verdict};
use std::{path::PathBuf, time::Duration};

/// An experiment as its file describes it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
#[non_exhaustive]
pub struct ExperimentConfig {
    /// The file as the user named it.
    pub file: PathBuf,
    /// The schema it is written in.
    pub schema: Schema,
    /// Name for people.
    pub name: Option<String>,
    /// Description for people (schema 1 only).
    pub description: Option<String>,
    /// Search space with its keys in their order. Absent only for custom tuners of schema 1.
    pub search_space: Option<serde_json::Value>,
    /// Shell command of a trial. Absent only where each role of a job has its own.
    pub trial_command: Option<String>,
    /// Code directory (absolute, and it existed when the file was read) with its limits.
    pub code: CodeDirectory,
    /// Most trials at a time, at least 1.
    pub trial_concurrency: u32,
    /// GPUs per trial; unset, 0 and n differ.
    pub trial_gpus: GpuCount,
    /// Most time that the experiment runs. Schema 1 defaults to 999 days.
    pub max_experiment_duration: Option<Duration>,
    /// Most trials in total. Schema 1 defaults to 99999.
    pub max_trial_number: Option<u32>,
    /// Most time that a trial runs.
    pub max_trial_duration: Option<Duration>,
    /// Where parameters come from. Absent exactly if there is an advisor.
    pub tuner: Option<Algorithm>,
    /// What stops poor trials early.
    pub assessor: Option<Algorithm>,
    /// Tuner and assessor in one.
    pub advisor: Option<Algorithm>,
    /// Directory that holds a directory per experiment. Default `~/nni-experiments`.
    pub working_dir: PathBuf,
    /// How much is logged. Default `info`, or `debug` with `debug: true`.
    pub log_level: LogLevel,
    /// Whether to log in detail.
    pub debug: bool,
    /// Address under which workers reach the manager.
    pub nni_manager_ip: Option<String>,
    /// GPUs that the tuner may see.
    pub tuner_gpu_indices: Option<Vec<u32>>,
    /// Whether a trial may ask for further parameters.
    pub multi_phase: bool,
    /// Storage that manager and workers share.
    pub shared_storage: Option<SharedStorage>,
    /// The platform, or several for a hybrid experiment. Never empty.
    pub platforms: Vec<PlatformSection>,
    /// How often a failed trial is tried again, per verdict.
    pub retry: RetryLimits,
    /// Seed of the built-in parameter sources, for experiments that repeat.
    pub seed: Option<u64>,
    /// Python that has NNI's package: an absolute path, or a name to look for on the path.
    pub python: Option<String>,
    /// Whether NNI's package also does what we have ourselves. Default false.
    pub prefer_nni: bool,
    /// Whether trials report and are told their parameters by NNI 3.0's HTTP channel (local platform only). Default false.
    pub trial_channel: bool,
}

/// A tuner, assessor or advisor.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Algorithm {
    /// Which one.
    pub kind: AlgorithmKind,
    /// Its arguments.
    pub class_args: serde_json::Map<String, serde_json::Value>,
    /// Whether it wants intermediate results of trials that were stopped early.
    pub include_intermediate_results: bool,
}

/// Which algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "by name or by class, as in both schemas")]
pub enum AlgorithmKind {
    /// Built-in or registered, by its name as written.
    Named(String),
    /// A Python class of the user.
    Class {
        /// Dotted path: module and class.
        class_name: String,
        /// Directory that the module is looked up in.
        code_directory: PathBuf,
    },
}

/// How much is logged. `warning` and `fatal` are NNI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LogLevel {
    /// Nothing but what ends the experiment. Also `critical`.
    Fatal,
    /// Failures.
    Error,
    /// Things to look at.
    Warning,
    /// What happens.
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All spellings, `critical` included, which the manager of nni v3.0 takes instead of `fatal`.
    pub(super) const NAMES: [&'static str; 7] = ["trace", "debug", "info", "warning", "error", "fatal", "critical"];

    pub(super) fn parse(name: &str) -> Self {
        match name {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "warning" => Self::Warning,
            "error" => Self::Error,
            "fatal" | "critical" => Self::Fatal,
            _ => Self::Info,
        }
    }
    /// NNI's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How often a failed trial is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RetryLimits {
    /// After an error of the user's code. Default 0.
    pub user_code: u32,
    /// After memory ran out. Default 0.
    pub memory: u32,
    /// After a failure of the platform. Default 1.
    pub platform: u32,
    /// After an error of the configuration. Default 0.
    pub configuration: u32,
}

impl Default for RetryLimits {
    fn default() -> Self {
        Self {
            user_code: 0,
            memory: 0,
            platform: 1,
            configuration: 0,
        }
    }
}

impl RetryLimits {
    /// The limit for a verdict. What somebody asked to end is never tried again.
    pub const fn of(self, verdict: Verdict) -> u32 {
        match verdict {
            Verdict::UserCode => self.user_code,
            Verdict::Memory => self.memory,
            Verdict::Platform => self.platform,
            Verdict::Configuration => self.configuration,
            Verdict::Canceled => 0,
        }
    }
}

/// Storage that manager and workers share.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SharedStorage {
    /// Where it is mounted on the manager's machine, absolute.
    pub local_mount_point: PathBuf,
    /// Where it is mounted on the workers.
    pub remote_mount_point: String,
    /// Who mounts it on the manager's machine.
    pub local_mounted: LocalMounted,
    /// What it is.
    pub kind: SharedStorageKind,
}

/// Who mounts shared storage on the manager's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LocalMounted {
    /// The user has mounted it.
    UserMount,
    /// We mount it.
    NniMount,
    /// It is not mounted there.
    NoMount,
}

/// What shared storage is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SharedStorageKind {
    /// A network file system.
    Nfs {
        /// Host name or address.
        server: String,
        /// Directory that it exports.
        exported_directory: String,
    },
    /// A container of Azure blobs.
    AzureBlob {
        /// Storage account.
        account: String,
        /// Its key.
        key: Option<SecretRef>,
        /// Container.
        container: String,
    },
}
