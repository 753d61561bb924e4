//! From a trial to its job document: protocol version 2, as NNI makes it, around a command that holds nothing of the user's.
//!
//! What the command runs lies on the storage: the server fills in templates and joins lines, the runtime sets `errexit`, `nounset` and
//! `pipefail`, and none of it may touch the user's text. Only the commands of a document of the user's that have templates travel.
//!
//! Sources: nni v1.9, `training_service/pai/paiK8S/paiK8STrainingService.ts`; microsoft/openpai-protocol, `schemas/v2/schema.yaml`.

use crate::{
    PaiConfig, Resources,
    config::{as_map, masked},
    files, names,
    push::Door,
    seats::{self, Role},
};
use serde_json::{Map, Value as Json, json};
use ts_core::{Error, ErrorKind, Prepared, Rendered, Result, TrialSpec, launch::quote};

/// A server reads at most so many bytes. Source: microsoft/pai v1.8, body-parser's default for text.
const MOST_BYTES: usize = 100 * 1024;
const IMAGE: &str = "docker_image_0";

/// The document of a trial. JSON, which every reader of YAML understands in the same one way.
pub(crate) fn document(config: &PaiConfig, door: Option<&Door>, code: &Prepared, trial: &TrialSpec) -> Result<String> {
    if config.reuse {
        return crate::reuse::worker_document(config, &trial.experiment, "ID");
    }
    let name = names::job(&trial.experiment, &trial.id);
    document_of(config, door, &name, |role| command(config, door, code, trial, role))
}

/// The document of a job of this name, each of whose roles runs this.
pub(crate) fn document_of(
    config: &PaiConfig,
    door: Option<&Door>,
    name: &str,
    command: impl Fn(&Role) -> String,
) -> Result<String> {
    let text = pretty(&value(config, door, name, command))?;
    if text.len() > MOST_BYTES {
        let message = format!(
            "the job document has {} bytes, and OpenPAI reads at most {MOST_BYTES}",
            text.len()
        );
        return Err(
            Error::new(ErrorKind::Config, message).with_help("shorten the commands and parameters of your document")
        );
    }
    Ok(text)
}

fn pretty(value: &Json) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(ErrorKind::Internal, "a job cannot be written as JSON").with_source(e))
}

fn value(config: &PaiConfig, door: Option<&Door>, name: &str, command: impl Fn(&Role) -> String) -> Json {
    let mut map = match (&config.document, &config.resources) {
        (Some(document), _) => as_map(document.value().clone()),
        (None, Some(resources)) => plain(resources),
        (None, None) => Map::new(),
    };
    map.insert("name".into(), name.into());
    map.insert("jobRetryCount".into(), 0.into());
    let roles = seats::roles(config);
    for role in &roles {
        if let Some(own) = map
            .get_mut("taskRoles")
            .and_then(|all| all.get_mut(&role.name))
            .and_then(Json::as_object_mut)
        {
            own.insert("taskRetryCount".into(), 0.into());
            own.insert("commands".into(), json!([command(role)]));
        }
    }
    if let Some(door) = door {
        door.add_secret(object(&mut map, "secrets"));
    }
    if let Some(name) = &config.virtual_cluster {
        object(&mut map, "defaults").insert("virtualCluster".into(), name.as_str().into());
    }
    let extras = object(&mut map, "extras");
    extras.insert("submitFrom".into(), "submit-job-v2".into());
    if let Some(name) = &config.storage_name
        && !config
            .document
            .as_ref()
            .is_some_and(|document| document.storages().contains(&name.as_str()))
        && let Json::Array(storages) = extras.entry("storages").or_insert_with(|| json!([]))
    {
        storages.push(json!({"name": name}));
    }
    if let Some(priority) = config.job_priority {
        let scheduler = object(extras, "hivedScheduler");
        // Servers read it without asking whether it is there.
        scheduler.entry("taskRoles").or_insert_with(|| json!({}));
        scheduler.insert("jobPriorityClass".into(), priority.as_str().into());
    }
    Json::Object(map)
}

fn object<'a>(map: &'a mut Map<String, Json>, key: &str) -> &'a mut Map<String, Json> {
    let value = map.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Json::Object(map) => map,
        _ => unreachable!("it was made an object just now"),
    }
}

fn plain(resources: &Resources) -> Map<String, Json> {
    as_map(json!({
        "protocolVersion": 2,
        "name": "",
        "type": "job",
        "jobRetryCount": 0,
        "prerequisites": [{"type": "dockerimage", "uri": resources.image, "name": IMAGE}],
        "taskRoles": {seats::ONLY_ROLE: {
            "instances": 1,
            "completion": {"minFailedInstances": 1, "minSucceededInstances": -1},
            "taskRetryCount": 0,
            "dockerImage": IMAGE,
            "resourcePerInstance": {
                "gpu": resources.gpus,
                "cpu": resources.cpus,
                "memoryMB": resources.memory_mib,
            },
            "commands": [],
        }},
    }))
}

/// What an instance of a role runs.
fn command(config: &PaiConfig, door: Option<&Door>, code: &Prepared, trial: &TrialSpec, role: &Role) -> String {
    let script = files::container_dir(config, trial) + "/" + files::START;
    let start = match door {
        Some(door) => door.command(config, code, trial, &role.name),
        None => format!("sh {} {}", quote(&script), quote(&role.name)),
    };
    match &role.command {
        Some(command) if role.is_template() => {
            let mut end = "NNI_END".to_owned();
            while command.contains(&end) {
                end.push('_');
            }
            // A quoted here-document: whatever is filled in stays text.
            format!(
                "{name}=$(cat <<'{end}'\n{command}\n{end}\n)\nexport {name}\n{start}",
                name = files::TEMPLATE_VARIABLE
            )
        }
        _ => start,
    }
}

/// The documents of a trial as `submit` would write and send them, secrets masked.
pub(crate) fn render(config: &PaiConfig, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
    let mut documents = Vec::new();
    let document = document(config, Door::shown(config).as_ref(), code, trial)?;
    let value: Json = serde_json::from_str(&document)
        .map_err(|e| Error::new(ErrorKind::Internal, "a job is no JSON").with_source(e))?;
    for file in files::of_trial(config, code, trial)? {
        documents.push((file.name, file.text));
    }
    let name = if config.reuse { "worker.json" } else { "job.json" };
    documents.push((name.to_owned(), pretty(&masked(value))?));
    Ok(Rendered::new(documents))
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
