//! From a trial to its job: the body that Resource Manager takes, and the script that the job begins with.
//!
//! The command names two folders and holds nothing of the user's, for the service fills in what looks like its own expressions.
//!
//! Source: azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `CommandJob`.

use crate::{AmlConfig, api::Arm, names, reuse};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use ts_core::{
    Error, ErrorKind, ExperimentId, Prepared, Rendered, Result, TrialSpec,
    follow::mounted::run_script,
    launch::{StateClock, TrialPaths, quote},
};

/// Name of the package within the code of a job.
pub(crate) const PACKAGE: &str = "code.tar";
/// The script that a job begins with, in the trial's folder on the datastore.
pub(crate) const START: &str = "start.sh";
/// Stand for folders that only the container knows; its script fills them in.
const DIRECTORY: &str = "/nni.trial.directory.9d1c";
const MOUNT: &str = "/nni.trial.mount.9d1c";
/// How long, in milliseconds, a mount may answer from what it knows; by itself it never asks again, and parameters would not arrive.
///
/// Source: "Access data in a job", mount settings, Microsoft Learn.
pub(crate) const CACHE_TTL: &str = "DATASET_MOUNT_ATTRIBUTE_CACHE_TTL";
pub(crate) const CACHE_MS: &str = "1000";
/// Makes the SDK write its journal to a file. Source: nni v1.9, `src/sdk/pynni/nni/platform/local.py`, `send_metric`.
const SDK_PLATFORM: &str = "local";

/// The body of a trial's job; `datastore` holds the trial's folder.
pub(crate) fn body(config: &AmlConfig, code: &Prepared, trial: &TrialSpec, datastore: &str) -> Json {
    let scope = Arm::scope(config);
    let folder = format!(
        "azureml://datastores/{datastore}/paths/{}",
        names::trial_folder(&trial.experiment, &trial.id)
    );
    let tag = names::tag(&trial.experiment);
    let job = json!({"properties": {
        "jobType": "Command",
        "command": "sh \"${{inputs.start}}\" \"${{outputs.trial}}\"",
        "environmentId": format!("{scope}/environments/{}/versions/1", names::environment(&config.image)),
        "codeId": format!("{scope}/codes/{}/versions/{}", names::CODE, code.location),
        "computeId": format!("{scope}/computes/{}", config.compute_target),
        "experimentName": tag,
        "displayName": format!("trial {} of {}", trial.sequence_id, trial.experiment),
        "tags": {tag: trial.id.as_str()},
        "environmentVariables": {CACHE_TTL: CACHE_MS},
        "inputs": {"start": {"jobInputType": "uri_file", "mode": "Download", "uri": format!("{folder}/{START}")}},
        "outputs": {"trial": {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": folder}},
    }});
    on_instances(config, job)
}

/// The job on the instance type of the configuration, if it names one.
fn on_instances(config: &AmlConfig, mut job: Json) -> Json {
    if let Some(name) = &config.instance_type {
        job["properties"]["resources"] = json!({"instanceType": name});
    }
    job
}

/// The body of a worker's job; `script` is its loop on `datastore`.
pub(crate) fn worker_body(
    config: &AmlConfig,
    experiment: &ExperimentId,
    code: &str,
    script: &str,
    datastore: &str,
) -> Json {
    let scope = Arm::scope(config);
    let place = |path: &str| format!("azureml://datastores/{datastore}/paths/{path}");
    let tag = names::tag(experiment);
    let job = json!({"properties": {
        "jobType": "Command",
        "command": "sh \"${{inputs.start}}\" \"${{outputs.trials}}\"",
        "environmentId": format!("{scope}/environments/{}/versions/1", names::environment(&config.image)),
        "codeId": format!("{scope}/codes/{}/versions/{code}", names::CODE),
        "computeId": format!("{scope}/computes/{}", config.compute_target),
        "experimentName": tag,
        "displayName": format!("trials of {experiment}"),
        "tags": {tag: "worker"},
        "environmentVariables": {CACHE_TTL: CACHE_MS},
        "inputs": {"start": {"jobInputType": "uri_file", "mode": "Download", "uri": place(script)}},
        "outputs": {"trials": {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": place(&names::folder(experiment))}},
    }});
    on_instances(config, job)
}

/// The script that the job begins with: unpacks parameters and launch script, then does what `worker/start.sh` says. `devices`: the
/// GPUs that the trial may use, where it does not have the node for itself.
pub(crate) fn start(trial: &TrialSpec, devices: Option<&str>) -> Result<String> {
    if trial.parameters.text.contains('\0') {
        return Err(Error::new(
            ErrorKind::Config,
            "the parameters hold a NUL, which no script can",
        ));
    }
    let mut text = String::from("#!/bin/sh\nts_unpack() {\n");
    let file = |name: &str| format!("\"$ts_dir/{name}\"");
    let _ = writeln!(
        text,
        "printf '%s' {} >{} || return 1",
        quote(&trial.parameters.text),
        file(&trial.parameters.file_name())
    );
    text.push_str("{\n");
    for piece in pieces(&launch(trial)?) {
        let _ = match piece {
            Piece::Text(piece) => writeln!(text, "printf '%s' {}", quote(piece)),
            Piece::Directory => writeln!(text, "printf '%s' \"$ts_dir\""),
            Piece::Mount => writeln!(text, "printf '%s' \"$ts_mount\""),
        };
    }
    let _ = writeln!(text, "}} >{}", file(TrialPaths::SCRIPT));
    text.push_str("}\n");
    if let Some(devices) = devices {
        // The order of nvidia-smi; CUDA's own default sorts by speed.
        let _ = writeln!(
            text,
            "export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES={}",
            quote(devices)
        );
    }
    text.push_str(include_str!("worker/start.sh"));
    Ok(text)
}

enum Piece<'a> {
    Text(&'a str),
    Directory,
    Mount,
}

/// A text, taken apart at what stands for folders.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let (at, word, piece) = match (rest.find(DIRECTORY), rest.find(MOUNT)) {
            (Some(at), mount) if mount.is_none_or(|mount| at < mount) => (at, DIRECTORY, Piece::Directory),
            (_, Some(at)) => (at, MOUNT, Piece::Mount),
            _ => {
                all.push(Piece::Text(rest));
                return all;
            }
        };
        all.push(Piece::Text(&rest[..at]));
        all.push(piece);
        rest = &rest[at + word.len()..];
    }
}

fn launch(trial: &TrialSpec) -> Result<String> {
    run_script(SDK_PLATFORM, trial, MOUNT, DIRECTORY, &trial.command, StateClock::Date)
}

/// The documents of a trial as `submit` would write and send them.
pub(crate) fn render(config: &AmlConfig, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
    let datastore = "workspaceblobstore";
    let (name, body) = if config.reuse {
        let script = format!("{}/.workers/ID/loop.sh", names::folder(&trial.experiment));
        let body = worker_body(config, &trial.experiment, &code.location, &script, datastore);
        ("worker.json", body)
    } else {
        ("job.json", body(config, code, trial, datastore))
    };
    let body = serde_json::to_string_pretty(&body)
        .map_err(|e| Error::new(ErrorKind::Internal, "a job cannot be written as JSON").with_source(e))?;
    let mut documents = vec![(START.to_owned(), start(trial, None)?), (name.to_owned(), body)];
    if config.reuse {
        documents.push(("loop.sh".to_owned(), reuse::script(config, &trial.experiment, "ID")));
    }
    Ok(Rendered::new(documents))
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
