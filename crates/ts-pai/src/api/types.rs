//! What the server's answers look like, as far as we read them. Anything may be missing: versions differ.
//!
//! Source: microsoft/pai v1.8, `src/rest-server/src/models/v2/job/k8s.js`, `src/rest-server/docs/swagger.yaml`.

use serde::Deserialize;
use std::collections::BTreeMap;

/// What the server is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Info {
    pub(crate) version: String,
    /// `basic` or `OIDC`.
    pub(crate) authn_method: String,
    pub(crate) launcher_type: String,
}

/// What a job does. The names are the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum JobState {
    Waiting,
    Running,
    Stopping,
    Succeeded,
    Failed,
    Stopped,
    /// And whatever else a version may say.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A job in a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) username: String,
    pub(crate) state: JobState,
    /// Milliseconds since the epoch.
    pub(crate) launched_time: Option<i64>,
    pub(crate) created_time: Option<i64>,
}

/// A job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct JobDetail {
    pub(crate) job_status: JobStatus,
}

/// How a job is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct JobStatus {
    pub(crate) state: JobState,
    /// How often the platform began it again.
    pub(crate) retries: Option<u32>,
    pub(crate) created_time: Option<i64>,
    pub(crate) launched_time: Option<i64>,
    pub(crate) completed_time: Option<i64>,
    pub(crate) app_launched_time: Option<i64>,
    pub(crate) app_completed_time: Option<i64>,
    pub(crate) app_exit_code: Option<i32>,
    pub(crate) app_exit_spec: Option<ExitSpec>,
    pub(crate) app_exit_diagnostics: Option<String>,
    pub(crate) app_exit_trigger_message: Option<String>,
    pub(crate) app_exit_trigger_task_role_name: Option<String>,
    pub(crate) app_exit_trigger_task_index: Option<u32>,
}

/// What the server makes of an exit code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ExitSpec {
    pub(crate) phrase: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) behavior: String,
    pub(crate) reason: Option<String>,
    pub(crate) solution: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Events {
    pub(super) data: Vec<Event>,
}

/// What Kubernetes tells.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Event {
    pub(crate) reason: String,
    pub(crate) message: String,
    /// RFC 3339, so that texts sort as times.
    pub(crate) last_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Storages {
    pub(super) storages: Vec<Storage>,
}

/// A storage that the user may mount.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Storage {
    pub(crate) name: String,
    pub(crate) share: Option<bool>,
}

/// Virtual clusters by name.
pub(crate) type VirtualClusters = BTreeMap<String, VirtualCluster>;

/// A virtual cluster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VirtualCluster {
    pub(crate) status: Option<String>,
    pub(crate) resources_total: Amounts,
    pub(crate) resources_used: Amounts,
}

/// Amounts of a virtual cluster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Amounts {
    #[serde(rename = "GPUs")]
    pub(crate) gpus: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Logs {
    locations: Vec<Location>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    name: String,
    uri: String,
}

impl Logs {
    /// Where everything is, or standard error.
    pub(super) fn best(&self) -> Option<&str> {
        let of = |name: &str| self.locations.iter().find(|at| at.name == name);
        of("all").or_else(|| of("stderr")).map(|at| at.uri.as_str())
    }
}
