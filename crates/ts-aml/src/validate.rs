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
    warnings.extend(sharing_nothing(&core.config, spec));
    core.api.store.place().await?;
    // Reading tells whether the storage lets us in; nothing has this name.
    core.api.store.read("nni/validate", 0).await?;
    Ok(warnings)
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
