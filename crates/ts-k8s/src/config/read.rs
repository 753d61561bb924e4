//! Reads the sections `kubeflowConfig`, `frameworkcontrollerConfig` and `trainingService`, with every problem at its place.
//!
//! Here: which platform, which kind of job, where the cluster is, and how long things take. Roles, storage, pods and a
//! Framework of the user's are in the modules below.

mod framework;
pub(super) mod names;
mod pods;
mod roles;
mod shell;
mod storage;
pub(super) mod types;
mod values;

pub(super) use self::values::Report;
use self::{framework::Template, roles::Shared};
use super::{Access, DeletionPolicy, JobKind, KubernetesConfig, StorageKind};
use std::time::Duration;
use ts_core::config::{PlatformSection, Problems, Schema, Section, Value};

/// Versions that NNI's files name. Source: nni v1.9,
/// `src/nni_manager/training_service/kubernetes/kubeflow/kubeflowApiClient.ts`, `KubeflowOperatorClientFactory`.
const OPERATOR_VERSIONS: [&str; 4] = ["v1", "v1beta2", "v1beta1", "v1alpha2"];
const DEFAULT_RUNTIME: &str = "torch-distributed";
/// Source: nni v1.9, `src/nni_manager/training_service/kubernetes/kubernetesApiClient.ts`.
const DEFAULT_NAMESPACE: &str = "default";
const DEFAULT_GPU_RESOURCE: &str = "nvidia.com/gpu";
/// The cluster counts these seconds with 32 bits.
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64);

pub(super) fn read(section: &PlatformSection, problems: &mut Problems) -> KubernetesConfig {
    let shared = Shared::new(section.shortcuts());
    section.read(problems, |s| match section.platform() {
        "kubeflow" => kubeflow(s, &shared),
        "frameworkcontroller" => framework_controller(s, &shared),
        platform => plain(s, platform, &shared),
    })
}

fn kubeflow(s: &mut Section<'_>, shared: &Shared<'_>) -> KubernetesConfig {
    let read = |s: &mut Section<'_>| {
        let kind = operator(s);
        (kind, settings(s, kind.unwrap_or(JobKind::TfJob), None))
    };
    let (kind, mut config) = match s.schema() {
        Schema::V1 => s.required_section("kubeflowConfig", read).unwrap_or_else(unread),
        Schema::V2 => read(s),
    };
    config.roles = match s.schema() {
        Schema::V2 => roles::kubeflow(s, kind, shared),
        Schema::V1 if s.has("trial") => s
            .section("trial", |s| roles::kubeflow(s, kind, shared))
            .unwrap_or_default(),
        Schema::V1 => {
            s.problem(
                "trial",
                "the trial has no role",
                "add `worker:` or `master:` to `trial`",
            );
            Vec::new()
        }
    };
    config
}

fn operator(s: &mut Section<'_>) -> Option<JobKind> {
    const NAMES: [&str; 3] = ["tf-operator", "pytorch-operator", "trainer"];
    let is_there = s.has("operator");
    let kind = match s.choice("operator", &NAMES) {
        Some("tf-operator") => Some(JobKind::TfJob),
        Some("pytorch-operator") => Some(JobKind::PyTorchJob),
        Some(_) => Some(JobKind::TrainJob),
        None => None,
    };
    if !is_there {
        let help = "add `operator: tf-operator`, `pytorch-operator`, or `trainer` for Kubeflow Trainer 2";
        s.problem("operator", "the key `operator` is missing", help);
    }
    kind
}

fn framework_controller(s: &mut Section<'_>, shared: &Shared<'_>) -> KubernetesConfig {
    let read = |s: &mut Section<'_>| {
        let gpu_resource = match s.node("gpuResource").map(|node| &node.value) {
            Some(Value::String(name)) => name,
            _ => DEFAULT_GPU_RESOURCE,
        };
        let is_templated = s.has("configPath");
        let template = framework::read(s, gpu_resource, shared);
        (is_templated, settings(s, JobKind::Framework, template))
    };
    let (is_templated, mut config) = match s.schema() {
        Schema::V1 => s
            .required_section("frameworkcontrollerConfig", read)
            .unwrap_or_else(|| (false, KubernetesConfig::new(JobKind::Framework, Vec::new()))),
        Schema::V2 => read(s),
    };
    match s.schema() {
        _ if is_templated => {
            const WHY: &str = "the Framework in `configPath` has its own";
            match s.schema() {
                Schema::V1 => _ = s.section("trial", |s| s.ignored("taskRoles", WHY)),
                Schema::V2 => s.ignored("taskRoles", WHY),
            }
        }
        Schema::V2 => config.roles = roles::task_roles(s, shared),
        Schema::V1 if s.has("trial") => {
            config.roles = s.section("trial", |s| roles::task_roles(s, shared)).unwrap_or_default();
        }
        Schema::V1 => {
            let help = "add `taskRoles:` to `trial`, or name a Framework by `configPath`";
            s.problem("trial", "the trial has no task role", help);
        }
    }
    config
}

fn plain(s: &mut Section<'_>, platform: &str, shared: &Shared<'_>) -> KubernetesConfig {
    if s.schema() == Schema::V1 {
        s.problem(
            "trainingServicePlatform",
            format!("schema 1 has no platform `{platform}`"),
            "write the file in schema 2, with `trainingService: {platform: kubernetes, …}`",
        );
        return KubernetesConfig::new(JobKind::Job, Vec::new());
    }
    let role = roles::single(s, shared);
    let mut config = settings(s, JobKind::Job, None);
    config.roles = vec![role];
    config
}

/// What stands for a section that is missing, which has been reported.
fn unread() -> (Option<JobKind>, KubernetesConfig) {
    (None, KubernetesConfig::new(JobKind::TfJob, Vec::new()))
}

/// All keys of the platform's section but the operator and the roles.
fn settings(s: &mut Section<'_>, kind: JobKind, template: Option<Template>) -> KubernetesConfig {
    let mut config = KubernetesConfig::new(kind, Vec::new());
    accepted(s);
    config.api_version = api_version(s, kind);
    config.runtime = runtime(s, kind);
    config.access = access(s);
    config.storage = storage::read(s, |path| template.as_ref()?.claim_at(path));
    if let (Some(storage), Some(template)) = (&config.storage, &template) {
        let claim = match &storage.kind {
            StorageKind::Claim { name, .. } => Some(name.as_str()),
            _ => None,
        };
        if template.is_taken(&storage.mount_path, claim) {
            s.problem(
                "mountPath",
                format!(
                    "the containers in `configPath` have something else at `{}`",
                    storage.mount_path
                ),
                "choose another place for storage by `mountPath`",
            );
        }
    }
    let volumes = template.as_ref().map(Template::volumes).unwrap_or_default();
    config.pods = pods::read(s, kind, config.storage.as_ref(), volumes);
    timing(s, kind, &mut config);
    if let Some(template) = template {
        config.roles = template.roles;
        config.framework_template = Some(template.value);
    }
    config
}

/// Keys of NNI whose purpose is met without them.
fn accepted(s: &mut Section<'_>) {
    const PER_GPU: (&str, &str) = ("maxTrialNumberPerGpu", "maxTrialNumPerGpu");
    s.bool(("reuseMode", "reuse"));
    s.u32("uploadRetryCount", 1..=99_999);
    if s.u32(PER_GPU, 1..=u32::MAX).is_some_and(|n| n > 1) {
        let message = "it has no effect: a cluster gives each GPU to one pod";
        s.warn(PER_GPU, message, "remove the key, or have the cluster share GPUs");
    }
}

fn api_version(s: &mut Section<'_>, kind: JobKind) -> Option<String> {
    let version = match kind {
        JobKind::Job => return None,
        JobKind::TfJob | JobKind::PyTorchJob => s.choice("apiVersion", &OPERATOR_VERSIONS),
        JobKind::Framework => s.choice("apiVersion", &["v1"]),
        JobKind::TrainJob => return values::named(s, "apiVersion", "a version", names::api_version),
    };
    version.map(str::to_owned)
}

fn runtime(s: &mut Section<'_>, kind: JobKind) -> Option<String> {
    if kind == JobKind::TrainJob {
        if !s.has("runtime") {
            s.note_default("runtime", DEFAULT_RUNTIME);
        }
        let named = values::named(s, "runtime", "a runtime", names::dns_subdomain);
        return Some(named.unwrap_or_else(|| DEFAULT_RUNTIME.to_owned()));
    }
    if s.has("runtime") {
        s.node("runtime");
        let help = "remove the key, or write `operator: trainer` on the platform `kubeflow`";
        s.problem("runtime", "only Kubeflow Trainer has runtimes", help);
    }
    None
}

fn access(s: &mut Section<'_>) -> Access {
    let kubeconfig = s.path("kubeconfig");
    if let Some(path) = kubeconfig.as_ref().filter(|path| !path.is_file()) {
        s.problem(
            "kubeconfig",
            format!("the file `{}` does not exist", path.display()),
            "name a kubeconfig; relative paths count from the configuration file",
        );
    }
    let context = values::named(s, "context", "a context", |text| match text.trim() {
        "" => Err("name one of `kubectl config get-contexts`, or remove the key for the current one"),
        _ => Ok(()),
    });
    if !s.has("namespace") {
        s.note_default("namespace", DEFAULT_NAMESPACE);
    }
    let namespace = values::named(s, "namespace", "a namespace", names::dns_label);
    Access {
        kubeconfig,
        context,
        namespace: Some(namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())),
    }
}

fn timing(s: &mut Section<'_>, kind: JobKind, config: &mut KubernetesConfig) {
    for (key, value) in [
        ("gracePeriod", &mut config.grace_period),
        ("startTimeout", &mut config.start_timeout),
    ] {
        if !s.has(key) {
            s.note_default(key, format!("{}s", value.as_secs()));
        }
        *value = duration(s, key).unwrap_or(*value);
    }
    config.ttl_after_finished = duration(s, "ttlAfterFinished");
    if s.has("ttlAfterFinished") && matches!(kind, JobKind::Framework | JobKind::TrainJob) {
        let message = "it has no effect: the cluster removes ended jobs of this kind never, or when its operator says";
        s.warn(
            "ttlAfterFinished",
            message,
            "remove the key; `deletionPolicy` removes them too",
        );
    }
    if !s.has("deletionPolicy") {
        s.note_default("deletionPolicy", "succeeded");
    }
    config.deletion_policy = match s.choice("deletionPolicy", &["succeeded", "ended", "never"]) {
        Some("ended") => DeletionPolicy::Ended,
        Some("never") => DeletionPolicy::Never,
        _ => DeletionPolicy::Succeeded,
    };
}

fn duration(s: &mut Section<'_>, key: &'static str) -> Option<Duration> {
    let given = s.duration(key)?;
    if given > LONGEST {
        s.problem(
            key,
            "the time is longer than a cluster counts",
            "write up to 24855 days",
        );
    }
    Some(given)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
