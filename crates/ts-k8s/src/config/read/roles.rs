//! The roles of a trial: how many pods, of which image, with which resources and command.
//!
//! Names of roles depend on the kind of job: fixed for Kubeflow, the user's own for FrameworkController, none for the kinds
//! of one role. Roles of a Framework that the user wrote are in `framework.rs`.

use super::{names, values};
use crate::config::{CompletionPolicy, JobKind, Role};
use std::{ops::RangeInclusive, path::Path};
use ts_core::{
    GpuCount,
    config::{Key, Schema, Section, Shortcuts},
};

const IMAGE: (&str, &str) = ("dockerImage", "image");
pub(super) const GPUS: (&str, &str) = ("gpuNumber", "gpuNum");
const CPUS: (&str, &str) = ("cpuNumber", "cpuNum");
const MEMORY: (&str, &str) = ("memorySize", "memoryMB");
const TASKS: (&str, &str) = ("taskNumber", "taskNum");
/// Source: nni v3.0, `nni/experiment/config/training_services/kubeflow.py` and `frameworkcontroller.py`.
const NNI_IMAGE: &str = "msranni/nni:latest";
/// Numbers of pods are of 32 bits with a sign.
const MOST_REPLICAS: u32 = i32::MAX as u32;
/// Source: kubernetes v1.24, `pkg/apis/batch/validation/validation.go`, `maxParallelismForIndexedJob`.
const MOST_INDEXED: u32 = 100_000;
/// Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/crd.go`, `buildFrameworkValidation`.
const MOST_TASKS: u32 = 10_000;
/// Least memory that NNI takes. Source: nni v1.9, `src/nni_manager/rest_server/restValidationSchemas.ts`.
const LEAST_MEMORY_MIB: u64 = 100;

/// What the experiment says for all roles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) has_command: bool,
    code_directory: Option<&'a Path>,
    gpus: GpuCount,
}

impl<'a> Shared<'a> {
    pub(super) fn new(shortcuts: &'a Shortcuts) -> Self {
        Self {
            has_command: shortcuts
                .trial_command
                .as_ref()
                .is_some_and(|command| !command.trim().is_empty()),
            code_directory: shortcuts.trial_code_directory.as_deref(),
            gpus: shortcuts.trial_gpu_number,
        }
    }

    /// The role's own command, if it has one; a problem if nobody has.
    fn command(&self, s: &mut Section<'_>, role: &str) -> Option<String> {
        let own = s.string("command").filter(|command| !command.trim().is_empty());
        if own.is_none() && !self.has_command {
            let everywhere = match s.schema() {
                Schema::V1 => "trial.command",
                Schema::V2 => "trialCommand",
            };
            s.problem(
                "command",
                format!("there is no command for the role `{role}`"),
                format!("add `command: python3 trial.py` here, or `{everywhere}` for all roles"),
            );
        }
        own
    }
}

/// The roles of Kubeflow; `kind` is `None` where `operator` is wrong, which has been reported.
pub(super) fn kubeflow(s: &mut Section<'_>, kind: Option<JobKind>, shared: &Shared<'_>) -> Vec<Role> {
    // The role that must be there comes first.
    let (operator, allowed): (_, &[&'static str]) = match kind {
        Some(JobKind::TfJob) => ("tf-operator", &["worker", "ps"]),
        Some(JobKind::PyTorchJob) => ("pytorch-operator", &["master", "worker"]),
        Some(_) => ("trainer", &["worker"]),
        None => ("", &["worker", "ps", "master"]),
    };
    let mut roles = Vec::new();
    for name in allowed {
        // Source: kubeflow/training-operator v1.9, `pkg/webhooks/pytorch/pytorchjob_webhook.go`.
        let most = if *name == "master" { 1 } else { MOST_REPLICAS };
        roles.extend(s.section(*name, |s| kubeflow_role(s, name, kind, most, shared)));
    }
    if kind.is_some() && !s.has(allowed[0]) {
        let needed = allowed[0];
        s.problem(
            needed,
            format!("`{operator}` needs the role `{needed}`"),
            format!("add `{needed}:` with the image and resources of its pods"),
        );
    }
    for name in ["worker", "ps", "master"] {
        if !allowed.contains(&name) && s.has(name) {
            s.node(name);
            let allowed = allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>();
            s.problem(
                name,
                format!("`{operator}` knows no role `{name}`"),
                format!("its roles: {}", allowed.join(", ")),
            );
        }
    }
    roles
}

fn kubeflow_role(s: &mut Section<'_>, name: &str, kind: Option<JobKind>, most: u32, shared: &Shared<'_>) -> Role {
    if s.schema() == Schema::V2
        && let Some(given) = s.path("codeDirectory")
        && shared.code_directory.is_some_and(|code| code != given)
    {
        s.warn(
            "codeDirectory",
            "`codeDirectory` of a role has no effect: all roles run the code of `trialCodeDirectory`",
            "remove the key, or correct `trialCodeDirectory`",
        );
    }
    let is_ours = kind == Some(JobKind::TrainJob);
    let mut role = role(s, name.to_owned(), is_ours, shared);
    role.replicas = replicas(s, "replicas", 1..=most);
    role
}

/// The one role of a plain job, whose keys stand beside those of the platform.
pub(super) fn single(s: &mut Section<'_>, shared: &Shared<'_>) -> Role {
    let mut role = role(s, "worker".to_owned(), true, shared);
    role.replicas = replicas(s, "replicas", 1..=MOST_INDEXED);
    role
}

/// The task roles of FrameworkController.
pub(super) fn task_roles(s: &mut Section<'_>, shared: &Shared<'_>) -> Vec<Role> {
    let mut seen: Vec<String> = Vec::new();
    let roles = s.required_list("taskRoles", |s| {
        let name = values::required_named(s, "name", "the name of a task role", names::task_role);
        if seen.contains(&name) && !name.is_empty() {
            let message = format!("the task role `{name}` is listed twice");
            s.problem(
                "name",
                message,
                "give each its own name; how many tasks it has is another key",
            );
        }
        seen.push(name.clone());
        let mut role = role(s, name, false, shared);
        role.replicas = replicas(s, TASKS, 0..=MOST_TASKS);
        role.completion = s
            .section("frameworkAttemptCompletionPolicy", completion)
            .unwrap_or_default();
        role
    });
    if !roles.is_empty() && roles.iter().all(|role| role.replicas == 0) {
        let help = "give at least one role a task";
        s.problem("taskRoles", "no task role has a task", help);
    }
    roles
}

fn completion(s: &mut Section<'_>) -> CompletionPolicy {
    let default = CompletionPolicy::default();
    let mut count = |key: Key, default: i32| {
        let read = s.int(key, -1..=i64::from(i32::MAX));
        if read.is_none() {
            s.note_default(key, default);
        }
        read.and_then(|n| i32::try_from(n).ok()).unwrap_or(default)
    };
    CompletionPolicy {
        min_failed: count("minFailedTaskCount".into(), default.min_failed),
        min_succeeded: count(
            ("minSucceedTaskCount", "minSucceededTaskCount").into(),
            default.min_succeeded,
        ),
    }
}

/// What every role has. Roles of kinds that NNI did not know (`is_ours`) name their image, and `trialGpuNumber` is theirs.
fn role(s: &mut Section<'_>, name: String, is_ours: bool, shared: &Shared<'_>) -> Role {
    let image = image(s, is_ours);
    let mut role = Role::new(name, image);
    role.command = shared.command(s, &role.name);
    role.gpus = gpus(s, is_ours, shared.gpus);
    role.cpus = values::cpus(s, CPUS);
    role.memory_mib = values::memory_mib(s, MEMORY);
    if role.memory_mib.is_some_and(|mib| mib < LEAST_MEMORY_MIB) {
        s.warn(
            MEMORY,
            "so little memory seldom starts a trial; a number without unit counts MB",
            "write, say, `8gb` or `8Gi`",
        );
    }
    role.private_registry_auth = s.path("privateRegistryAuthPath");
    if let Some(path) = role.private_registry_auth.as_ref().filter(|path| !path.is_file()) {
        s.problem(
            "privateRegistryAuthPath",
            format!("the file `{}` does not exist", path.display()),
            "name a `config.json` of docker; relative paths count from the configuration file",
        );
    }
    role
}

fn image(s: &mut Section<'_>, is_ours: bool) -> String {
    const WHAT: &str = "a container image";
    let takes_short = is_ours && s.schema() == Schema::V2;
    if takes_short && s.has("image") {
        if s.has(IMAGE) {
            s.problem("image", "`image` and `dockerImage` are the same", "keep one of the two");
            s.node(IMAGE);
        }
        return values::required_named(s, "image", WHAT, names::image);
    }
    if !is_ours && s.schema() == Schema::V2 && !s.has(IMAGE) {
        s.node(IMAGE);
        s.note_default(IMAGE, NNI_IMAGE);
        return NNI_IMAGE.to_owned();
    }
    values::required_named(s, IMAGE, WHAT, names::image)
}

fn gpus(s: &mut Section<'_>, is_ours: bool, of_experiment: GpuCount) -> u32 {
    if s.has(GPUS) {
        return s.u32(GPUS, 0..=99_999).unwrap_or_default();
    }
    s.node(GPUS);
    match of_experiment {
        GpuCount::Exactly(n) if is_ours => {
            s.note_default(GPUS, n);
            n
        }
        GpuCount::Exactly(1..) => {
            s.warn(
                GPUS,
                "the pods of this role get no GPU: the experiment's number of GPUs does not count for roles, as in NNI",
                format!("add `{}` to the role", Key::from(GPUS).spelling(s.schema())),
            );
            0
        }
        _ => {
            s.note_default(GPUS, 0);
            0
        }
    }
}

fn replicas(s: &mut Section<'_>, key: impl Into<Key>, range: RangeInclusive<u32>) -> u32 {
    s.u32_or(key, range, 1)
}
