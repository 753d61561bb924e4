//! What all pods of the experiment have: account, placement, variables, volumes, and the template that is merged over all.
//!
//! NNI has but `serviceAccountName` of these. Trees in Kubernetes' own words are checked in `template.rs`.

use super::{DEFAULT_GPU_RESOURCE, Report, names, values};
use crate::config::{JobKind, Pods, Storage, template};
use ts_core::config::{Entry, Node, Section, Value};

/// Source: kubernetes v1.20, `pkg/apis/core/types.go`, `PullPolicy`.
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

const SHARED_MEMORY: &str = "/dev/shm";
/// What the script of a trial sets.
const OURS: [&str; 8] = [
    "NNI_PLATFORM",
    "NNI_EXP_ID",
    "NNI_SYS_DIR",
    "NNI_TRIAL_JOB_ID",
    "NNI_OUTPUT_DIR",
    "NNI_TRIAL_SEQ_ID",
    "NNI_CODE_DIR",
    "MULTI_PHASE",
];

/// `known_volumes` are those of a Framework of the user's.
pub(super) fn read(s: &mut Section<'_>, kind: JobKind, storage: Option<&Storage>, known_volumes: Vec<String>) -> Pods {
    let service_account = values::named(s, "serviceAccountName", "a service account", names::dns_subdomain);
    let node_selector = pairs(s, "nodeSelector", |entry, report, key| {
        template::check_pair(entry, key, names::label_value, report).map(str::to_owned)
    });
    let tolerations = tree(s, "tolerations", |node, report| {
        template::check_tolerations(Some(node), &report.key("tolerations"), report);
    });
    let image_pull_secrets = values::names(s, "imagePullSecrets", "a Secret", names::dns_subdomain);
    let image_pull_policy = s.choice("imagePullPolicy", &PULL_POLICIES).map(str::to_owned);
    let env_from_secrets = values::names(s, "envFromSecrets", "a Secret", names::dns_subdomain);
    let env = environment(s);
    let (volumes, volume_mounts) = volumes(s, kind, storage, known_volumes);
    let shm_mib = values::memory_mib(s, "shmSize");
    if !s.has("gpuResource") {
        s.note_default("gpuResource", DEFAULT_GPU_RESOURCE);
    }
    let gpu_resource = values::named(s, "gpuResource", "a resource of GPUs", names::extended_resource);
    let priority_class = values::named(s, "priorityClassName", "a priority class", names::dns_subdomain);
    let queue = values::named(s, "queueName", "a queue", names::queue);
    let template = s.node("podTemplate").and_then(|node| {
        let mut report = Report::new(s);
        let key = report.key("podTemplate");
        template::check_pod_template(node, &key, kind.container(), &mut report);
        s.json("podTemplate").filter(serde_json::Value::is_object)
    });
    Pods {
        service_account,
        node_selector,
        tolerations,
        image_pull_secrets,
        image_pull_policy,
        env_from_secrets,
        env,
        volumes,
        volume_mounts,
        shm_mib,
        gpu_resource: Some(gpu_resource.unwrap_or_else(|| DEFAULT_GPU_RESOURCE.to_owned())),
        priority_class,
        queue,
        template,
    }
}

/// A list in Kubernetes' own words.
fn tree(s: &mut Section<'_>, key: &'static str, check: impl FnOnce(&Node, &mut Report<'_>)) -> Vec<serde_json::Value> {
    let Some(node) = s.node(key) else { return Vec::new() };
    check(node, &mut Report::new(s));
    match s.json(key) {
        Some(serde_json::Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// A map whose keys are the user's, so that they match exactly in both schemas.
fn pairs(
    s: &mut Section<'_>,
    key: &'static str,
    mut check: impl FnMut(&Entry, &mut Report<'_>, &str) -> Option<String>,
) -> Vec<(String, String)> {
    let Some(node) = s.node(key) else { return Vec::new() };
    let mut report = Report::new(s);
    let path = report.key(key);
    let entries = template::entries_of(node, &path, &mut report).unwrap_or_default();
    let pairs = entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), check(entry, &mut report, &path)?)))
        .collect();
    s.json(key);
    pairs
}

fn environment(s: &mut Section<'_>) -> Vec<(String, String)> {
    pairs(s, "env", |entry, report, path| {
        let key = format!("{path}.{}", entry.key);
        if let Err(rule) = names::env_name(&entry.key) {
            let message = format!("`{}` cannot be the name of a variable", entry.key.escape_debug());
            report.problem(&entry.value, &key, message, rule);
        }
        if OURS.contains(&entry.key.as_str()) {
            let message = format!("`{}` is set by us: trials find their parameters by it", entry.key);
            report.problem(&entry.value, &key, message, "choose another name");
        }
        match &entry.value.value {
            Value::String(text) if !text.contains('\0') => Some(text.clone()),
            _ => {
                let message = format!("a text is expected, found {}", entry.value.describe());
                report.problem(&entry.value, &key, message, "put it in quotes to make it a text");
                None
            }
        }
    })
}

fn volumes(
    s: &mut Section<'_>,
    kind: JobKind,
    storage: Option<&Storage>,
    mut known: Vec<String>,
) -> (Vec<serde_json::Value>, Vec<serde_json::Value>) {
    let volumes = tree(s, "volumes", |node, report| {
        known.extend(template::check_volumes(Some(node), &report.key("volumes"), report));
    });
    known.extend(volumes_of_template(s));
    let mut taken: Vec<(String, &str)> = Vec::new();
    taken.extend(storage.map(|storage| (storage.mount_path.clone(), "mountPath")));
    taken.extend(s.has("shmSize").then(|| (SHARED_MEMORY.to_owned(), "shmSize")));
    let mounts = tree(s, "volumeMounts", |node, report| {
        let key = report.key("volumeMounts");
        template::check_mounts(Some(node), &key, report);
        let Value::Seq(items) = &node.value else { return };
        for (at, item) in items.iter().enumerate() {
            // The runtime of a TrainJob may have volumes of its own.
            if let Some(name) = template::text(item, "name")
                && kind != JobKind::TrainJob
                && !known.iter().any(|known| known == name)
            {
                let message = format!("there is no volume `{}`", name.escape_debug());
                report.problem(item, &format!("{key}[{at}].name"), message, "list it under `volumes`");
            }
            let path = template::text(item, "mountPath").map(|path| path.trim_end_matches('/'));
            for (place, by) in &taken {
                if path == Some(place.trim_end_matches('/')) {
                    let message = format!("`{place}` is taken by `{by}`");
                    let help = format!("mount the volume elsewhere, or change `{by}`");
                    report.problem(item, &format!("{key}[{at}].mountPath"), message, help);
                }
            }
        }
    });
    (volumes, mounts)
}

/// Names of the volumes that `podTemplate` brings.
fn volumes_of_template(s: &mut Section<'_>) -> Vec<String> {
    let volumes = s
        .node("podTemplate")
        .and_then(|template| template.get("spec")?.get("volumes"));
    let Some(Value::Seq(items)) = volumes.map(|list| &list.value) else {
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| template::text(item, "name").map(str::to_owned))
        .collect()
}
