//! Could this experiment run here? Asks the workspace; leaves no trace.

use crate::{AmlConfig, core::Core};
use serde_json::Value as Json;
use ts_core::{Error, ErrorKind, ExperimentSpec, GpuCount, Result, Warning, Warnings};

pub(crate) async fn validate(core: &Core, spec: &ExperimentSpec) -> Result<Warnings> {
    if spec.command.trim().is_empty() {
        return Err(Error::new(ErrorKind::Config, "the command of a trial is empty")
            .with_key("trialCommand")
            .with_help("write the command that runs one trial, such as `python3 train.py`"));
    }
    core.api.workspace().await.map_err(|e| {
        if e.kind() == ErrorKind::NotFound {
            e.with_key("workspaceName")
        } else {
            e
        }
    })?;
    let mut warnings = Warnings::new();
    let name = &core.config.compute_target;
    let Some(compute) = core.api.compute(name).await? else {
        return Err(Error::new(
            ErrorKind::Config,
            format!("the workspace has no compute target `{name}`"),
        )
        .with_key("computeTarget")
        .with_help("name one of the workspace, or make a compute cluster of that name"));
    };
    warnings.extend(trouble_of(name, &compute).map(|text| Warning::new(text).with_key("computeTarget")));
    warnings.extend(instance(&core.config, spec, &compute)?);
    warnings.extend(sharing_nothing(&core.config, spec));
    core.api.store.place().await?;
    // Reading tells whether the storage lets us in; nothing has this name.
    core.api.store.read("nni/validate", 0).await?;
    Ok(warnings)
}

/// Whether the compute target has the instance type, and that enough GPUs.
///
/// Sources: "CLI (v2) command job YAML schema", `resources.instance_type`, Microsoft Learn; azure-rest-api-specs,
/// `stable/2024-10-01/machineLearningServices.json`, `KubernetesProperties`.
fn instance(config: &AmlConfig, spec: &ExperimentSpec, compute: &Json) -> Result<Option<Warning>> {
    let target = &config.compute_target;
    let kind = compute["properties"]["computeType"].as_str().unwrap_or("unknown");
    let refused = |message: String, help: String| {
        let error = Error::new(ErrorKind::Config, message);
        Err(error.with_key("instanceType").with_help(help))
    };
    if kind != "Kubernetes" {
        return match &config.instance_type {
            None => Ok(None),
            Some(_) => refused(
                format!(
                    "the compute target `{target}` is of type `{kind}`, whose nodes are all of one size; only Kubernetes computes have \
                     instance types"
                ),
                "remove `instanceType`, or name a Kubernetes compute as `computeTarget`".to_owned(),
            ),
        };
    }
    let cluster = &compute["properties"]["properties"];
    let own = cluster["defaultInstanceType"].as_str();
    let Some(name) = config.instance_type.as_deref().or(own) else {
        return Ok(None);
    };
    let Some(types) = cluster["instanceTypes"].as_object() else {
        return Ok(None);
    };
    let Some(found) = types.get(name) else {
        let all: Vec<&str> = types.keys().map(String::as_str).collect();
        let message = format!("the compute target `{target}` has no instance type `{name}`");
        return refused(message, format!("it has: {}", all.join(", ")));
    };
    // Numbers are texts there, as in Kubernetes.
    let gpus = &found["resources"]["limits"]["nvidia.com/gpu"];
    let n_gpus = gpus
        .as_u64()
        .or_else(|| gpus.as_str()?.trim().parse().ok())
        .unwrap_or(0);
    let wanted = match spec.gpus {
        GpuCount::Exactly(n) => n,
        GpuCount::Unset => 0,
    };
    Ok((n_gpus < u64::from(wanted)).then(|| {
        Warning::new(format!(
            "the instance type `{name}` of the compute target `{target}` has {n_gpus} GPUs, and each trial wants {wanted}"
        ))
        .with_key("instanceType")
        .with_help("name an instance type with as many, or ask for fewer by `trialGpuNumber` (v1: `trial.gpuNum`)")
    }))
}

/// A number of trials per GPU where no trial wants one.
fn sharing_nothing(config: &AmlConfig, spec: &ExperimentSpec) -> Option<Warning> {
    let wants_gpus = matches!(spec.gpus, GpuCount::Exactly(1..));
    (config.max_trials_per_gpu > 1 && !wants_gpus).then(|| {
        Warning::new("`maxTrialNumberPerGpu` has no effect, for trials want no GPU of their own")
            .with_key("trialGpuNumber")
            .with_help("say how many GPUs a trial gets by `trialGpuNumber` (v1: `trial.gpuNum`)")
    })
}

/// What is wrong with a compute target, if anything.
///
/// Source: azure-rest-api-specs, `stable/2024-10-01/machineLearningServices.json`, `Compute`, `AmlComputeProperties`.
pub(crate) fn trouble_of(name: &str, compute: &Json) -> Option<String> {
    let state = compute["properties"]["provisioningState"]
        .as_str()
        .unwrap_or("Succeeded");
    if state != "Succeeded" {
        return Some(format!("the compute target `{name}` is not ready: {state}"));
    }
    let most = compute["properties"]["properties"]["scaleSettings"]["maxNodeCount"].as_u64();
    (most == Some(0)).then(|| format!("the compute target `{name}` may have no node; jobs would wait for ever"))
}
