//! NNI's `configPath`: a Framework of the user's, from which the roles of a trial are taken.
//!
//! It is submitted as it is but for its name, and the command of each task's container, which becomes ours. What is checked
//! is what NNI checks, what FrameworkController demands, and the pods as in any template.
//!
//! Source: nni v2.10, `ts/nni_manager/training_service/kubernetes/frameworkcontroller/frameworkcontrollerTrainingService.ts`,
//! `parseCustomTaskRoles`; nni v2.10, `nni/tools/nnictl/config_schema.py`.

use super::{Report, names, roles::Shared, shell};
use crate::config::{CompletionPolicy, Role, template};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
};
use ts_core::config::{Node, Section, Value, load_yaml};

const KIND: &str = "Framework";
const API_VERSION: &str = "frameworkcontroller.microsoft.com/v1";
/// No cluster stores an object of more bytes than this. Source: etcd v3.4, `embed/config.go`, `DefaultMaxRequestBytes`.
const MOST_BYTES: u64 = 3 * (1 << 20) / 2;
const MOST_TASKS: i128 = 10_000;

/// A Framework of the user's.
#[derive(Debug)]
pub(super) struct Template {
    node: Node,
    pub(super) value: serde_json::Value,
    pub(super) roles: Vec<Role>,
}

impl Template {
    /// Names of the volumes of its pods.
    pub(super) fn volumes(&self) -> Vec<String> {
        let volumes = pods(&self.node).flat_map(|pod| items(pod, "volumes"));
        volumes
            .filter_map(|volume| template::text(volume, "name").map(str::to_owned))
            .collect()
    }

    /// The claim that its containers see at `path`.
    pub(super) fn claim_at(&self, path: &str) -> Option<String> {
        let wanted = path.trim_end_matches('/');
        pods(&self.node).find_map(|pod| {
            let is_there = |mount: &&Node| {
                template::text(mount, "mountPath").is_some_and(|path| path.trim_end_matches('/') == wanted)
            };
            let mount = items(pod, "containers")
                .flat_map(|container| items(container, "volumeMounts"))
                .find(is_there)?;
            let name = template::text(mount, "name")?;
            let volume = items(pod, "volumes").find(|volume| template::text(volume, "name") == Some(name))?;
            template::text(volume.get("persistentVolumeClaim")?, "claimName").map(str::to_owned)
        })
    }

    /// Whether its containers see something else than the claim `claim` at `path`, where storage is to be mounted.
    pub(super) fn is_taken(&self, path: &str, claim: Option<&str>) -> bool {
        let wanted = path.trim_end_matches('/');
        let is_mounted = pods(&self.node)
            .flat_map(|pod| items(pod, "containers"))
            .flat_map(|container| items(container, "volumeMounts"))
            .any(|mount| template::text(mount, "mountPath").is_some_and(|path| path.trim_end_matches('/') == wanted));
        is_mounted && (claim.is_none() || self.claim_at(path).as_deref() != claim)
    }
}

fn pods(framework: &Node) -> impl Iterator<Item = &Node> {
    framework
        .get("spec")
        .into_iter()
        .flat_map(|spec| items(spec, "taskRoles"))
        .filter_map(|role| role.get("task")?.get("pod")?.get("spec"))
}

fn items<'a>(map: &'a Node, key: &str) -> std::slice::Iter<'a, Node> {
    match map.get(key).map(|list| &list.value) {
        Some(Value::Seq(items)) => items.iter(),
        _ => [].iter(),
    }
}

/// Reads the file that `configPath` names, if the key is there.
pub(super) fn read(s: &mut Section<'_>, gpu_resource: &str, shared: &Shared<'_>) -> Option<Template> {
    let path: PathBuf = s.path("configPath")?;
    let text = match text_of(&path) {
        Ok(text) => text,
        Err(message) => {
            s.problem("configPath", message, "name a YAML file with a Framework");
            return None;
        }
    };
    let node = load_yaml(&text, &path, s.problems())?;
    let roles = check(
        &node,
        &path,
        gpu_resource,
        shared,
        &mut Report::of_file(&path, s.problems()),
    );
    let value = match node.to_json() {
        Ok(value) => value,
        Err(culprit) => {
            let message = format!("{} is no number that JSON can hold", culprit.describe());
            Report::of_file(&path, s.problems()).problem(culprit, "", message, "write a finite number");
            return None;
        }
    };
    Some(Template { node, value, roles })
}

fn text_of(path: &Path) -> Result<String, String> {
    let name = path.display();
    let file = std::fs::File::open(path).map_err(|error| format!("the file `{name}` cannot be opened: {error}"))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("the file `{name}` cannot be read: {error}"))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("the file `{name}` is larger than any object of a cluster"));
    }
    String::from_utf8(bytes).map_err(|_| format!("the file `{name}` is not UTF-8"))
}

fn check(framework: &Node, file: &Path, gpu_resource: &str, shared: &Shared<'_>, report: &mut Report<'_>) -> Vec<Role> {
    if framework.entries().is_none() {
        let message = format!("`{}` holds no Framework", file.display());
        report.problem(
            framework,
            "",
            message,
            format!("begin it with `apiVersion: {API_VERSION}`"),
        );
        return Vec::new();
    }
    for (key, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        if template::text(framework, key) != Some(expected) {
            let at = framework.get(key).unwrap_or(framework);
            report.problem(
                at,
                key,
                format!("`{key}` is not `{expected}`"),
                format!("write `{key}: {expected}`"),
            );
        }
    }
    let name = framework
        .get("metadata")
        .and_then(|metadata| template::text(metadata, "name"));
    if name.is_none_or(str::is_empty) {
        let at = framework.get("metadata").unwrap_or(framework);
        report.problem(
            at,
            "metadata.name",
            "the Framework has no name",
            "add `name:` to `metadata`",
        );
    }
    let list = framework.get("spec").and_then(|spec| spec.get("taskRoles"));
    let given = template::items_of(list, "spec.taskRoles", report);
    if given.is_empty() {
        let at = list.unwrap_or(framework);
        report.problem(
            at,
            "spec.taskRoles",
            "the Framework has no task role",
            "add at least one",
        );
    }
    let mut roles: Vec<Role> = Vec::new();
    for (at, item) in given.iter().enumerate().filter(|(_, item)| item.entries().is_some()) {
        let key = format!("spec.taskRoles[{at}]");
        let name = template::text(item, "name").unwrap_or_default();
        if let Err(rule) = names::task_role(name) {
            let message = format!("`{}` cannot be the name of a task role", name.escape_debug());
            report.problem(item, &format!("{key}.name"), message, rule);
        } else if roles.iter().any(|role| role.name == name) {
            let message = format!("the task role `{name}` is listed twice");
            report.problem(item, &format!("{key}.name"), message, "give each its own name");
        }
        roles.extend(role(item, name, &key, gpu_resource, shared, report));
    }
    if !roles.is_empty() && roles.iter().all(|role| role.replicas == 0) {
        report.problem(
            framework,
            "spec.taskRoles",
            "no task role has a task",
            "give one a `taskNumber`",
        );
    }
    roles
}

fn role(
    item: &Node,
    name: &str,
    key: &str,
    gpu_resource: &str,
    shared: &Shared<'_>,
    report: &mut Report<'_>,
) -> Option<Role> {
    let replicas = match item.get("taskNumber").map(|node| (node, &node.value)) {
        Some((_, Value::Int(n @ 0..=MOST_TASKS))) => u32::try_from(*n).unwrap_or_default(),
        Some((node, _)) => {
            let message = format!("a number of tasks is expected, found {}", node.describe());
            let help = format!("write a whole number up to {MOST_TASKS}");
            report.problem(node, &format!("{key}.taskNumber"), message, help);
            1
        }
        None => {
            let message = "the key `taskNumber` is missing, which FrameworkController takes for no task";
            report.problem(item, &format!("{key}.taskNumber"), message, "add, say, `taskNumber: 1`");
            1
        }
    };
    let completion = completion(item, key, report);
    let pod = item.get("task").and_then(|task| task.get("pod"));
    let Some(spec) = pod.and_then(|pod| pod.get("spec")) else {
        let key = format!("{key}.task.pod.spec");
        report.problem(
            item,
            &key,
            format!("the task role `{name}` has no pod"),
            "add `task.pod.spec`",
        );
        return None;
    };
    let key = format!("{key}.task.pod.spec");
    template::check_pod_spec(spec, &key, report);
    if let Some(policy) = spec.get("restartPolicy")
        && template::text(spec, "restartPolicy") != Some("Never")
    {
        report.warn(
            policy,
            &format!("{key}.restartPolicy"),
            "the policy becomes `Never`: a container that failed and was started in place would keep its trial running for ever",
            "write `restartPolicy: Never`; `tsctl.retry` says how often a failed trial is repeated",
        );
    }
    let mut containers = items(spec, "containers");
    let (Some(container), None) = (containers.next(), containers.next()) else {
        let message = format!("a pod of the task role `{name}` must have exactly one container");
        report.problem(
            spec,
            &format!("{key}.containers"),
            message,
            "others go to `initContainers`",
        );
        return None;
    };
    let key = format!("{key}.containers[0]");
    let image = template::text(container, "image").unwrap_or_default();
    if let Err(rule) = names::image(image) {
        let message = format!("`{}` cannot be a container image", image.escape_debug());
        report.problem(container, &format!("{key}.image"), message, rule);
    }
    let words: Vec<&str> = ["command", "args"]
        .iter()
        .flat_map(|list| items(container, list))
        .filter_map(|word| match &word.value {
            Value::String(word) => Some(word.as_str()),
            _ => None,
        })
        .collect();
    if words.is_empty() && !shared.has_command {
        let message = format!("there is no command for the task role `{name}`");
        report.problem(
            container,
            &format!("{key}.command"),
            message,
            "add `command: [python3, trial.py]`",
        );
    }
    let mut role = Role::new(name, image);
    role.replicas = replicas;
    role.command = (!words.is_empty()).then(|| shell::command(&words));
    role.gpus = gpus(container, gpu_resource);
    role.completion = completion;
    Some(role)
}

/// What is missing counts as 0, which never ends an attempt.
fn completion(item: &Node, key: &str, report: &mut Report<'_>) -> CompletionPolicy {
    let key = format!("{key}.frameworkAttemptCompletionPolicy");
    let policy = item.get("frameworkAttemptCompletionPolicy");
    let mut count = |name: &str| {
        let Some(node) = policy.and_then(|policy| policy.get(name)) else {
            return -1;
        };
        let Value::Int(n @ -1..) = node.value else {
            let message = format!("a count is expected, found {}", node.describe());
            report.problem(
                node,
                &format!("{key}.{name}"),
                message,
                "write a whole number, or -1 for never",
            );
            return -1;
        };
        i32::try_from(n).unwrap_or(i32::MAX)
    };
    CompletionPolicy {
        min_failed: count("minFailedTaskCount"),
        min_succeeded: count("minSucceededTaskCount"),
    }
}

fn gpus(container: &Node, resource: &str) -> u32 {
    let limit = container
        .get("resources")
        .and_then(|resources| resources.get("limits")?.get(resource));
    match limit.map(|limit| &limit.value) {
        Some(Value::Int(n)) => u32::try_from(*n).unwrap_or_default(),
        Some(Value::String(text)) => text.parse().unwrap_or_default(),
        _ => 0,
    }
}
