//! The pod of a role: what it mounts, what it may use, and the shell script that runs the trial in it.
//!
//! What the operators want around it is in the files of their kinds.

use super::{Blueprint, merge, seconds};
use crate::{JobKind, Role, Storage, StorageKind, names};
use serde_json::{Value, json};
use std::fmt::Write as _;
use ts_core::{
    Error, ErrorKind, ExperimentId, Result, TrialId,
    launch::{LaunchScript, StateClock, TrialContext, quote, trial_environment},
};

/// Where a pod has the files of its trial: a volume of its own, with a link to the trial's folder if storage is shared.
pub(crate) const WORK_DIR: &str = "/tmp/nni";
/// The init container that waits for the code.
pub(crate) const CODE_CONTAINER: &str = "code";
/// Script that takes a stream of code; see its head for how to talk to it.
pub(crate) const RECEIVE: &str = include_str!("../pod/receive.sh");
/// What runs in the trial's container.
const TRIAL: &str = include_str!("../pod/trial.sh");
/// Variable by which the trial's container is told from those that others put beside it.
pub(crate) const POD_NAME: &str = "NNI_POD_NAME";
/// Volume behind [`WORK_DIR`].
const WORK_VOLUME: &str = "nni-work";
/// Volume of the shared storage; NNI's name.
const STORAGE_VOLUME: &str = "nni-vol";
const SHM_VOLUME: &str = "nni-shm";
/// A GPU, unless the configuration names another resource.
const GPU: &str = "nvidia.com/gpu";
/// Linux takes no longer argument of a program (`MAX_ARG_STRLEN`, 32 pages); some of it is ours.
const LONGEST_ARGUMENT: usize = 120_000;
/// etcd takes 1.5 MiB for an object.
const MOST_PARAMETERS: usize = 1_000_000;
/// How long a pod whose log goes with it waits for us, in fifths of a second: nothing else has what it said,
const HOLD: u32 = 5 * 3600;
/// or the storage has it too, and reading that only costs more.
const SHORT_HOLD: u32 = 5 * 30;
/// NNI's SDK writes its metrics to the journal on this platform.
const SDK_PLATFORM: &str = "local";

/// Where the experiment's files are on the storage; NNI's place.
pub(crate) fn experiment_dir(storage: &Storage, experiment: &ExperimentId) -> String {
    format!("{}/nni/{experiment}", storage.mount_path.trim_end_matches('/'))
}

/// Where the files of a trial are on the storage.
pub(crate) fn trial_dir(storage: &Storage, experiment: &ExperimentId, trial: &TrialId) -> String {
    format!("{}/{trial}", experiment_dir(storage, experiment))
}

/// Where code of this digest is on the storage.
pub(crate) fn code_dir(storage: &Storage, experiment: &ExperimentId, digest: &str) -> String {
    let digest = digest.replace([':', '/'], "-");
    format!("{}/nni-code/{digest}", experiment_dir(storage, experiment))
}

/// A file that says that the code beside it is complete.
pub(crate) fn ready_mark(code_dir: &str) -> String {
    format!("{code_dir}.ready")
}

/// A text as an argument or value of a container: `$` would be read as the beginning of a reference.
///
/// Source: kubernetes v1.20, `third_party/forked/golang/expansion/expand.go`.
pub(crate) fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

/// The pod template of a role, with the user's own merged over it.
pub(super) fn template(b: &Blueprint<'_>, role: &Role) -> Result<Value> {
    let pods = &b.config.pods;
    let mut spec = json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": seconds(b.config.grace_period),
        "volumes": volumes(b),
        "containers": [main_container(b, role)?],
    });
    if b.config.storage.is_none() {
        spec["initContainers"] = json!([code_container(b, role)]);
    }
    if let Some(account) = &pods.service_account {
        spec["serviceAccountName"] = account.clone().into();
    }
    if !pods.node_selector.is_empty() {
        spec["nodeSelector"] = pods
            .node_selector
            .iter()
            .cloned()
            .map(|(k, v)| (k, Value::from(v)))
            .collect();
    }
    let mut tolerations = pods.tolerations.clone();
    if role.gpus > 0 {
        // Clusters keep nodes with GPUs free of other pods by a taint of the resource's name.
        let gpu = pods.gpu_resource.as_deref().unwrap_or(GPU);
        tolerations.push(json!({"key": gpu, "operator": "Exists", "effect": "NoSchedule"}));
    }
    if !tolerations.is_empty() {
        spec["tolerations"] = tolerations.into();
    }
    let mut secrets = pods.image_pull_secrets.clone();
    if role.private_registry_auth.is_some() {
        secrets.push(registry_secret(&b.trial.experiment, role));
    }
    if !secrets.is_empty() {
        spec["imagePullSecrets"] = secrets.into_iter().map(|name| json!({"name": name})).collect();
    }
    if let Some(class) = &pods.priority_class {
        spec["priorityClassName"] = class.clone().into();
    }
    let mut template = json!({"metadata": {"labels": b.labels(Some(role))}, "spec": spec});
    if let Some(users) = &pods.template {
        merge::strategic(&mut template, users);
        // What pods are found by stays ours.
        merge::strategic(&mut template, &json!({"metadata": {"labels": b.labels(Some(role))}}));
    }
    same_user(&mut template["spec"]);
    Ok(template)
}

/// Has the code taken by whom the trial runs as, unless a template says otherwise: nobody else's files could the trial change, and
/// a cluster that asks something of one container asks it of all.
pub(super) fn same_user(spec: &mut Value) {
    let containers = spec["containers"].as_array().into_iter().flatten();
    let context = containers
        .filter(|container| is_of_trial(container))
        .find_map(|container| container.get("securityContext"));
    let Some(context) = context.cloned() else { return };
    let containers = spec["initContainers"].as_array_mut().into_iter().flatten();
    for code in containers.filter(|container| container["name"] == CODE_CONTAINER) {
        if code.get("securityContext").is_none() {
            code["securityContext"] = context.clone();
        }
    }
}

fn is_of_trial(container: &Value) -> bool {
    let env = container["env"].as_array().into_iter().flatten();
    env.into_iter().any(|variable| variable["name"] == POD_NAME)
}

/// Name of the Secret with the credentials of a role's registry.
pub(crate) fn registry_secret(experiment: &ExperimentId, role: &Role) -> String {
    names::shared(experiment, &format!("registry-{}", role.name))
}

fn main_container(b: &Blueprint<'_>, role: &Role) -> Result<Value> {
    let pods = &b.config.pods;
    let (script, parameters) = script(b, role)?;
    let mut env: Vec<Value> =
        vec![json!({"name": POD_NAME, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})];
    if role.gpus == 0 {
        // Images made for GPUs ask for all of them; old device plugins gave them even to pods that wanted none.
        env.push(json!({"name": "CUDA_VISIBLE_DEVICES", "value": ""}));
        env.push(json!({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}));
    }
    env.extend(
        pods.env
            .iter()
            .map(|(name, value)| json!({"name": name, "value": escape(value)})),
    );
    let mut container = json!({
        "name": b.config.kind.container(),
        "image": role.image,
        "command": ["/bin/sh", "-c", escape(&script), "tsctl"],
        "args": parameters.iter().map(|piece| escape(piece)).collect::<Vec<_>>(),
        "env": env,
        "volumeMounts": mounts(b, true),
    });
    with_image(&mut container, b);
    let from: Vec<Value> = pods
        .env_from_secrets
        .iter()
        .map(|name| json!({"secretRef": {"name": name}}))
        .collect();
    if !from.is_empty() {
        container["envFrom"] = from.into();
    }
    with_resources(&mut container, role, pods.gpu_resource.as_deref().or(Some(GPU)));
    Ok(container)
}

/// Waits until the code has come. It has the image of the trial, which is needed anyway.
fn code_container(b: &Blueprint<'_>, role: &Role) -> Value {
    let wait =
        format!("trap 'exit 143' TERM; until [ -e {WORK_DIR}/ready ]; do sleep 0.2 2>/dev/null || sleep 1; done");
    let mut container = json!({
        "name": CODE_CONTAINER,
        "image": role.image,
        "command": ["/bin/sh", "-c", wait],
        "volumeMounts": [{"name": WORK_VOLUME, "mountPath": WORK_DIR}],
    });
    with_image(&mut container, b);
    // Where a quota counts memory every container must name a limit; the pod needs no more for it.
    with_resources(&mut container, role, None);
    container
}

fn with_image(container: &mut Value, b: &Blueprint<'_>) {
    if let Some(policy) = &b.config.pods.image_pull_policy {
        container["imagePullPolicy"] = policy.clone().into();
    }
}

/// Requests and limits are the same, as in NNI; a GPU cannot be had otherwise.
fn with_resources(container: &mut Value, role: &Role, gpu: Option<&str>) {
    let mut amounts = serde_json::Map::new();
    if let Some(mib) = role.memory_mib {
        amounts.insert("memory".to_owned(), format!("{mib}Mi").into());
    }
    if let Some(cpus) = &role.cpus {
        amounts.insert("cpu".to_owned(), cpus.clone().into());
    }
    if let Some(gpu) = gpu
        && role.gpus > 0
    {
        amounts.insert(gpu.to_owned(), role.gpus.to_string().into());
    }
    if !amounts.is_empty() {
        container["resources"] = json!({"requests": amounts, "limits": amounts});
    }
}

fn volumes(b: &Blueprint<'_>) -> Vec<Value> {
    let mut volumes = vec![json!({"name": WORK_VOLUME, "emptyDir": {}})];
    volumes.extend(
        b.config
            .storage
            .as_ref()
            .map(|s| storage_volume(s, &b.trial.experiment)),
    );
    if let Some(mib) = b.config.pods.shm_mib {
        volumes.push(json!({"name": SHM_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": format!("{mib}Mi")}}));
    }
    volumes.extend(b.config.pods.volumes.iter().cloned());
    volumes
}

fn mounts(b: &Blueprint<'_>, with_users: bool) -> Vec<Value> {
    let mut mounts = vec![json!({"name": WORK_VOLUME, "mountPath": WORK_DIR})];
    mounts.extend(b.config.storage.as_ref().map(storage_mount));
    if b.config.pods.shm_mib.is_some() {
        mounts.push(json!({"name": SHM_VOLUME, "mountPath": "/dev/shm"}));
    }
    if with_users {
        mounts.extend(b.config.pods.volume_mounts.iter().cloned());
    }
    mounts
}

/// The volume of shared storage.
pub(crate) fn storage_volume(storage: &Storage, experiment: &ExperimentId) -> Value {
    let mut volume = json!({"name": STORAGE_VOLUME});
    match &storage.kind {
        StorageKind::Nfs { server, path } => volume["nfs"] = json!({"server": server, "path": path}),
        StorageKind::AzureFiles { share, key, .. } => {
            let secret = match key {
                crate::AzureKey::Existing(name) => name.clone(),
                _ => azure_secret(experiment),
            };
            volume["azureFile"] = json!({"secretName": secret, "shareName": share, "readOnly": false});
        }
        StorageKind::Claim { name, .. } => volume["persistentVolumeClaim"] = json!({"claimName": name}),
    }
    volume
}

/// Name of the Secret with the key of the Azure storage account.
pub(crate) fn azure_secret(experiment: &ExperimentId) -> String {
    names::shared(experiment, "azure")
}

/// Where a container sees the shared storage.
pub(crate) fn storage_mount(storage: &Storage) -> Value {
    let mut mount = json!({"name": STORAGE_VOLUME, "mountPath": storage.mount_path});
    if let StorageKind::Claim { sub_path, .. } = &storage.kind
        && !sub_path.is_empty()
    {
        mount["subPath"] = sub_path.clone().into();
    }
    mount
}

/// The script of a role's container and its arguments, which are the parameters in pieces.
fn script(b: &Blueprint<'_>, role: &Role) -> Result<(String, Vec<String>)> {
    let trial = b.trial;
    let dir = format!("{WORK_DIR}/trial");
    let code = format!("{dir}/code");
    let storage = b.config.storage.as_ref();
    let volume = storage.map(|s| trial_dir(s, &trial.experiment, &trial.id));
    let output = format!("{}/output/{}_output", volume.as_deref().unwrap_or(&dir), role.name);
    let command = role.command.as_deref().filter(|c| !c.trim().is_empty());
    let run = LaunchScript::new(&dir, &code, command.unwrap_or(&trial.command))
        .with_env(trial_environment(&TrialContext {
            platform: SDK_PLATFORM,
            experiment: &trial.experiment,
            trial: &trial.id,
            sequence_id: trial.sequence_id,
            sys_dir: &dir,
            output_dir: &output,
            code_dir: &code,
            multi_phase: trial.multi_phase,
            traceparent: trial.traceparent.as_deref(),
        }))
        .with_clock(StateClock::Date)
        .render()?;
    let shared_code = storage.map(|s| code_dir(s, &trial.experiment, b.digest));
    let is_one_of_many = b.n_pods() > 1;
    let hold = match storage {
        _ if !b.config.kind.removes_pods() => 0,
        Some(_) => SHORT_HOLD,
        None => HOLD,
    };
    let mut text = String::new();
    for (name, value) in [
        ("ts_token", names::token(&trial.experiment, &trial.id)),
        ("ts_work", WORK_DIR.to_owned()),
        ("ts_volume", volume.unwrap_or_default()),
        ("ts_code", shared_code.unwrap_or_default()),
        ("ts_role", role.name.clone()),
        ("ts_many", if is_one_of_many { "1".to_owned() } else { String::new() }),
        ("ts_output", output),
        ("ts_hold", hold.to_string()),
        ("ts_script", run),
    ] {
        let _ = writeln!(text, "{name}={}", quote(&value));
    }
    if b.config.kind == JobKind::Framework && is_one_of_many {
        text.push_str(super::framework::INJECT);
    }
    text.push_str(TRIAL);
    if text.len() > LONGEST_ARGUMENT {
        return Err(Error::new(
            ErrorKind::Config,
            format!("the trial command is too long for a container: {} bytes", text.len()),
        )
        .with_key("trialCommand")
        .with_help("put it into a script in the code directory"));
    }
    let parameters = &*trial.parameters.text;
    if parameters.len() > MOST_PARAMETERS {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "the parameters of a trial are too large for an object of the cluster: {} bytes",
                parameters.len()
            ),
        )
        .with_help("parameters of up to 1 MB can be given to a trial"));
    }
    Ok((text, pieces(parameters)))
}

/// The text in pieces that each can be an argument; at least one, which may be empty.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in text.chars() {
        if pieces
            .last()
            .is_some_and(|piece| piece.len() + c.len_utf8() > LONGEST_ARGUMENT)
        {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}
