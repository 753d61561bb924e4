//! Reads `paiConfig` and `trial` of schema 1, and `trainingService` of schema 2, with every problem at its place.

use super::{Credential, Document, JobPriority, PaiConfig, Push, Resources, document, push};
use crate::push::CONTAINER_DIR;
use std::{path::PathBuf, time::Duration};
use ts_core::{
    DEFAULT_GRACE, GpuCount,
    config::{Key, PlatformSection, Problems, Schema, SecretRef, Section},
    http::Url,
};

/// Keys of schema 1's `trial` that are ours. Source: nni v1.9, `tools/nni_cmd/config_schema.py`.
pub(crate) const TRIAL_KEYS: &[&str] = &[
    "containerNFSMountPath",
    "cpuNum",
    "image",
    "memoryMB",
    "nniManagerNFSMountPath",
    "paiConfigPath",
    "paiStorageConfigName",
    "virtualCluster",
];

const CPUS: (&str, &str) = ("trialCpuNumber", "cpuNum");
const MEMORY: (&str, &str) = ("trialMemorySize", "memoryMB");
const IMAGE: (&str, &str) = ("dockerImage", "image");
const STORAGE: (&str, &str) = ("storageConfigName", "paiStorageConfigName");
const LOCAL: (&str, &str) = ("localStorageMountPoint", "nniManagerNFSMountPath");
const CONTAINER: (&str, &str) = ("containerStorageMountPoint", "containerNFSMountPath");
const FILE: (&str, &str) = ("openpaiConfigFile", "paiConfigPath");
const USER: (&str, &str) = ("username", "userName");
const PASSWORD: (&str, &str) = ("password", "passWord");
const GPUS: (&str, &str) = ("trialGpuNumber", "gpuNum");
const PUSH: &str = "push";
const REUSE: (&str, &str) = ("reuseMode", "reuse");

/// Source: nni v2.10, `nni/experiment/config/openpai.py`.
const DEFAULT_IMAGE: &str = "msranni/nni:latest";
/// Kubernetes ends a container so long after it was asked to, unless its pod says otherwise, which OpenPAI's do not.
const LONGEST_GRACE: Duration = Duration::from_secs(30);

/// What schema 1 has in two places.
#[derive(Debug, Default)]
struct Amounts {
    gpus: Option<u32>,
    cpus: Option<u32>,
    memory_mib: Option<u64>,
}

/// The cluster and who we are there.
#[derive(Debug, Default)]
struct Cluster {
    host: Option<Url>,
    user_name: String,
    credential: Option<Credential>,
    ca_file: Option<PathBuf>,
    grace_period: Option<Duration>,
    job_priority: Option<JobPriority>,
    reuse: bool,
    push: Option<Push>,
}

/// The job and its storage.
#[derive(Debug, Default)]
struct Job {
    resources: Option<Resources>,
    document: Option<Document>,
    virtual_cluster: Option<String>,
    storage_name: Option<String>,
    local_mount: PathBuf,
    container_mount: String,
}

pub(super) fn read(section: &PlatformSection, problems: &mut Problems) -> Option<PaiConfig> {
    let gpus = match section.shortcuts().trial_gpu_number {
        GpuCount::Exactly(n) => Some(n),
        GpuCount::Unset => None,
    };
    let manager = section.shortcuts().nni_manager_ip.clone();
    let manager = manager.as_deref();
    let (cluster, job) = section.read(problems, |s| match s.schema() {
        Schema::V1 => {
            let read = s.required_section("paiConfig", |s| {
                let has_push = s.has(PUSH);
                let cluster = cluster(s, manager);
                let amounts = Amounts {
                    gpus: s.u32(GPUS, 0..=99_999),
                    ..amounts(s)
                };
                unused_with_jobs_of_their_own(s);
                (cluster, amounts, has_push)
            });
            let (cluster, fall_back, has_push) = read.unwrap_or_default();
            let read = |s: &mut Section<'_>| job(s, gpus.or(fall_back.gpus), &fall_back, has_push);
            if !s.has("trial") {
                s.problem(
                    "trial",
                    "the trial has no storage",
                    "add `nniManagerNFSMountPath`, `containerNFSMountPath` and `paiStorageConfigName` to `trial`",
                );
            }
            let job = s.section("trial", read).unwrap_or_default();
            check_together(s, ["paiConfig"; 2], &cluster, &job);
            (cluster, job)
        }
        Schema::V2 => {
            let has_push = s.has(PUSH);
            let cluster = cluster(s, manager);
            let job = job(s, gpus, &Amounts::default(), has_push);
            check_together(s, ["reuseMode", PUSH], &cluster, &job);
            (cluster, job)
        }
    });
    // A role of a document would have to be told of each trial.
    let reuse = cluster.reuse && job.document.is_none();
    Some(PaiConfig {
        host: cluster.host?,
        user_name: cluster.user_name,
        credential: cluster.credential?,
        resources: job.resources,
        document: job.document,
        virtual_cluster: job.virtual_cluster,
        storage_name: job.storage_name,
        local_mount: job.local_mount,
        push: cluster.push,
        container_mount: job.container_mount,
        ca_file: cluster.ca_file,
        grace_period: cluster.grace_period.unwrap_or(DEFAULT_GRACE),
        job_priority: cluster.job_priority,
        reuse,
        idle_timeout: Duration::from_mins(2),
        poll_interval: Duration::from_secs(2),
        vanish_after: Duration::from_mins(1),
    })
}

/// `keys`: of reuse, and of push.
fn check_together(s: &mut Section<'_>, keys: [&'static str; 2], cluster: &Cluster, job: &Job) {
    let [key, push] = keys;
    if cluster.reuse && job.document.is_some() {
        let message = "each trial is a job of its own: a document of yours may have several roles";
        s.warn(key, message, "remove `reuseMode` (`reuse`)");
    }
    if cluster.push.is_none() {
        return;
    }
    if cluster.reuse && job.document.is_none() {
        let message = "jobs that take several trials need a storage that is mounted here";
        s.problem(push, message, "remove `push`, or `reuseMode` (`reuse`)");
    }
    let instances = |document: &Document| {
        let of = |role: &serde_json::Value| role["instances"].as_u64().unwrap_or(1);
        document.roles().map(|(_, role)| of(role)).sum::<u64>()
    };
    if job.document.as_ref().is_some_and(|document| instances(document) > 1) {
        let message = "a job of several instances needs a storage that is mounted here";
        s.problem(push, message, "remove `push`, or have one task role with one instance");
    }
}

fn amounts(s: &mut Section<'_>) -> Amounts {
    // Source of the lower bounds: nni v1.9, `src/nni_manager/rest_server/restValidationSchemas.ts`.
    let memory_mib = s.memory_mib(MEMORY);
    if memory_mib.is_some_and(|mib| mib < 100) {
        s.problem(
            MEMORY,
            "no container lives with less than 100 MB",
            "write an amount such as `8gb`",
        );
    }
    Amounts {
        gpus: None,
        cpus: s.u32(CPUS, 1..=99_999),
        memory_mib,
    }
}

fn cluster(s: &mut Section<'_>, manager: Option<&str>) -> Cluster {
    Cluster {
        push: s.section(PUSH, |s| push::read(s, manager)).flatten(),
        reuse: s.bool_or(REUSE, false),
        host: host(s),
        user_name: user_name(s),
        credential: credential(s),
        ca_file: ca_file(s),
        grace_period: grace_period(s),
        job_priority: job_priority(s),
    }
}

/// Keys of NNI's reuse mode.
fn unused_with_jobs_of_their_own(s: &mut Section<'_>) {
    const PER_GPU: Key = Key::without_successor("maxTrialNumPerGpu");
    if s.u32(PER_GPU, 1..=99_999).is_some_and(|n| n > 1) {
        let message = "it has no effect: a GPU of the cluster belongs to one job";
        s.warn(PER_GPU, message, "remove the key");
    }
    s.bool(Key::without_successor("useActiveGpu"));
}

fn host(s: &mut Section<'_>) -> Option<Url> {
    let text = s.required_string("host");
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let help = "write the address of the web portal, such as `https://pai.example.org`";
    let url = match Url::parse(&whole) {
        Ok(url) if url.has_host() && matches!(url.scheme(), "http" | "https") => url,
        _ => {
            s.problem(
                "host",
                format!("`{}` is no address of a server", text.escape_debug()),
                help,
            );
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        s.problem("host", "the address holds more than host, port and path", help);
        return None;
    }
    if url.scheme() == "http" {
        s.warn(
            "host",
            "the token travels unencrypted: everybody on the way can read it",
            "write `https://`, if the cluster has it",
        );
    }
    Some(url)
}

/// Source of the rule: microsoft/pai v1.8, `src/rest-server/src/config/v2/user.js`.
fn user_name(s: &mut Section<'_>) -> String {
    let name = s.required_string(USER);
    let is_legal = name.chars().all(|c| c.is_ascii_alphanumeric() || "._~-".contains(c));
    if !is_legal {
        s.problem(
            USER,
            format!("`{}` cannot be a user of OpenPAI", name.escape_debug()),
            "write letters, digits, `.`, `_`, `~` or `-`",
        );
    }
    name
}

fn credential(s: &mut Section<'_>) -> Option<Credential> {
    let (has_token, has_password) = (s.has("token"), s.has(PASSWORD));
    let token = s.secret("token");
    let password = s.secret(PASSWORD);
    let is_empty = |secret: &Option<SecretRef>| matches!(secret, Some(SecretRef::Literal(text)) if text.expose().trim().is_empty());
    for (key, secret) in [(Key::from("token"), &token), (Key::from(PASSWORD), &password)] {
        if is_empty(secret) {
            s.problem(
                key,
                "the text is empty",
                "refer to the secret as `${env:NAME}` or `file:PATH`",
            );
        }
    }
    match (has_token, has_password) {
        (true, true) => {
            let help = "keep one of the two; a token works on all clusters";
            s.problem(PASSWORD, "token and password exclude each other", help);
        }
        (false, false) => {
            let help =
                "add `token: ${env:PAI_TOKEN}`; the profile page of the web portal makes one (an application token)";
            s.problem("token", "there is neither a token nor a password", help);
        }
        _ => {}
    }
    token.map(Credential::Token).or(password.map(Credential::Password))
}

fn ca_file(s: &mut Section<'_>) -> Option<PathBuf> {
    let path = s.path("caFile")?;
    if !path.is_file() {
        s.problem(
            "caFile",
            format!("the file `{}` does not exist", path.display()),
            "name a file with `-----BEGIN CERTIFICATE-----` blocks (PEM)",
        );
    }
    Some(path)
}

fn grace_period(s: &mut Section<'_>) -> Option<Duration> {
    if !s.has("gracePeriod") {
        s.note_default("gracePeriod", format!("{}s", DEFAULT_GRACE.as_secs()));
    }
    let grace = s.duration("gracePeriod")?;
    if grace > LONGEST_GRACE {
        s.problem(
            "gracePeriod",
            "Kubernetes ends the container of a stopped job after 30 s",
            "write up to `30s`",
        );
    }
    Some(grace)
}

fn job_priority(s: &mut Section<'_>) -> Option<JobPriority> {
    match s.choice("jobPriority", &["prod", "test", "oppo"])? {
        "prod" => Some(JobPriority::Prod),
        "test" => Some(JobPriority::Test),
        _ => Some(JobPriority::Oppo),
    }
}

fn job(s: &mut Section<'_>, gpus: Option<u32>, fall_back: &Amounts, has_push: bool) -> Job {
    let (has_file, has_document) = (s.has(FILE), s.has("openpaiConfig"));
    let document = document::read_file(s, FILE.into()).or_else(|| match s.schema() {
        Schema::V1 => None,
        Schema::V2 => document::read_inline(s),
    });
    if s.schema() == Schema::V2 && has_file && has_document {
        let help = "keep one of the two";
        s.problem(
            "openpaiConfig",
            "`openpaiConfig` and `openpaiConfigFile` exclude each other",
            help,
        );
    }
    let is_own = has_file || (s.schema() == Schema::V2 && has_document);
    let resources = if is_own {
        for key in [IMAGE, CPUS, MEMORY] {
            s.ignored(key, "the job document has its own");
        }
        None
    } else {
        Some(resources(s, gpus, fall_back))
    };
    let virtual_cluster = named(s, "virtualCluster".into());
    let storage_name = named(s, STORAGE.into());
    if storage_name.is_none() && !has_push && !s.has(STORAGE) && !document.as_ref().is_some_and(Document::has_storage) {
        let name = Key::from(STORAGE).spelling(s.schema());
        s.problem(
            STORAGE,
            "no storage is named, so containers would see none",
            format!("add `{name}: …`; the web portal lists your storages"),
        );
    }
    Job {
        resources,
        document,
        virtual_cluster,
        storage_name,
        local_mount: local_mount(s, has_push),
        container_mount: container_mount(s, has_push),
    }
}

fn resources(s: &mut Section<'_>, gpus: Option<u32>, fall_back: &Amounts) -> Resources {
    let own = amounts(s);
    let cpus = own.cpus.or(fall_back.cpus);
    let memory_mib = own.memory_mib.or(fall_back.memory_mib);
    let is_missing = [
        (GPUS, gpus.is_none()),
        (CPUS, cpus.is_none() && !s.has(CPUS)),
        (MEMORY, memory_mib.is_none() && !s.has(MEMORY)),
    ];
    for (key, _) in is_missing.into_iter().filter(|(_, is_missing)| *is_missing) {
        let name = Key::from(key).spelling(s.schema());
        s.problem(key, format!("the key `{name}` is missing"), format!("add `{name}: …`"));
    }
    let image = match s.schema() {
        Schema::V1 => s.required_string(IMAGE),
        Schema::V2 => s.string_or(IMAGE, DEFAULT_IMAGE),
    };
    if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        s.problem(
            IMAGE,
            format!("`{}` is no name of an image", image.escape_debug()),
            "write a name such as `python:3.12`, without blanks",
        );
    }
    Resources {
        gpus: gpus.unwrap_or(0),
        cpus: cpus.unwrap_or(1),
        memory_mib: memory_mib.unwrap_or(100),
        image,
    }
}

/// A name of something in the cluster.
fn named(s: &mut Section<'_>, key: Key) -> Option<String> {
    let text = s.string(key)?;
    let is_legal = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !is_legal {
        s.problem(
            key,
            format!("`{}` cannot be a name in OpenPAI", text.escape_debug()),
            "write letters, digits, `.`, `_` or `-`",
        );
    }
    Some(text)
}

fn local_mount(s: &mut Section<'_>, has_push: bool) -> PathBuf {
    if has_push {
        if s.path(LOCAL).is_some() {
            let help = "keep one of the two; with a mount here nothing has to reach this machine";
            s.problem(LOCAL, "a mount here and `push` exclude each other", help);
        }
        return PathBuf::new();
    }
    if !s.has(LOCAL) {
        let name = Key::from(LOCAL).spelling(s.schema());
        s.problem(
            LOCAL,
            format!("the key `{name}` is missing"),
            format!("add `{name}: …`, or `push: {{listen: …}}` where the storage cannot be mounted on this machine"),
        );
        return PathBuf::new();
    }
    let path = s.required_path(LOCAL);
    if !path.as_os_str().is_empty() && !path.is_dir() {
        s.problem(
            LOCAL,
            format!("`{}` is no directory", path.display()),
            "mount the storage there, or name the directory where it is mounted on this machine",
        );
    }
    path
}

fn container_mount(s: &mut Section<'_>, has_push: bool) -> String {
    let path = if has_push {
        s.string_or(CONTAINER, CONTAINER_DIR)
    } else {
        s.required_string(CONTAINER)
    };
    if !path.is_empty() && !path.starts_with('/') {
        s.problem(
            CONTAINER,
            format!("`{}` is no absolute path", path.escape_debug()),
            "write the path where containers see the same folder, such as `/mnt/nfs`",
        );
    }
    if path.contains("<%") {
        s.problem(
            CONTAINER,
            "OpenPAI would fill in what looks like a template",
            "write a path without `<%`",
        );
    }
    let trimmed = path.trim_end_matches('/');
    if path.starts_with('/') && trimmed.is_empty() {
        s.problem(
            CONTAINER,
            "storage cannot be mounted over everything",
            "write a path such as `/mnt/nfs`",
        );
    }
    trimmed.to_owned()
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
