//! Could this experiment run on these machines? Looks at all of them at once, and leaves no trace.

use crate::{
    RemoteConfig,
    config::MachineConfig,
    gpu_query, link,
    ssh::{self, Target},
    worker::Shell,
};
use futures_util::future::join_all;
use std::{collections::BTreeSet, time::Duration};
use ts_core::{
    Ctx, Error, ErrorKind, ExperimentSpec, GpuCount, Result, Warning, Warnings,
    gpu::{GpuInventory, GpuLedger, GpuRules, Refusal, place},
};

/// How long nvidia-smi may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn validate(ctx: &Ctx, config: &RemoteConfig, spec: &ExperimentSpec) -> Result<Warnings> {
    if spec.command.trim().is_empty() {
        return Err(Error::new(ErrorKind::Config, "the command of a trial is empty")
            .with_key("trialCommand")
            .with_help("write the command that runs one trial, such as `python3 train.py`"));
    }
    if !spec.code.path.is_dir() {
        let message = format!(
            "code directory `{}` does not exist or is no directory",
            spec.code.path.display()
        );
        return Err(Error::new(ErrorKind::CodeDir, message)
            .with_key("trialCodeDirectory")
            .with_help("name an existing directory; relative paths count from the configuration file"));
    }
    let wants_gpus = matches!(spec.gpus, GpuCount::Exactly(1..));
    let looked = join_all(
        config
            .machines
            .iter()
            .map(|machine| look(ctx, config, machine, wants_gpus)),
    )
    .await;
    let mut warnings = Warnings::new();
    let (mut errors, mut refusals, mut may_run) = (Vec::new(), Vec::new(), false);
    for (machine, found) in config.machines.iter().zip(looked) {
        match found {
            Err(error) => errors.push(error),
            Ok(None) => may_run = true,
            Ok(Some(inspected)) => match fits(machine, spec.gpus, inspected) {
                Ok(()) => may_run = true,
                Err(refusal) => refusals.push((machine.host.clone(), refusal)),
            },
        }
    }
    if errors.len() == config.machines.len() {
        return Err(all(errors));
    }
    if !may_run && errors.is_empty() && refusals.iter().all(|(_, refusal)| refusal.permanent) {
        let lines: Vec<String> = refusals
            .iter()
            .map(|(host, refusal)| format!("`{host}`: {}", refusal.message))
            .collect();
        let error = Error::new(
            ErrorKind::Config,
            format!("no machine can ever run a trial: {}", lines.join("; ")),
        );
        let first = refusals.first().map(|(_, refusal)| refusal);
        let error = first.and_then(|r| r.key).into_iter().fold(error, Error::with_key);
        return Err(first
            .map(|r| r.unblock.clone())
            .into_iter()
            .fold(error, Error::with_help));
    }
    warnings.extend(errors.iter().map(|error| {
        let warning = Warning::new(error.to_string());
        let warning = error.key().into_iter().fold(warning, Warning::with_key);
        error.help().into_iter().fold(warning, Warning::with_help)
    }));
    warnings.extend(
        refusals
            .into_iter()
            .map(|(host, refusal)| Warning::new(format!("`{host}`: {}", refusal.message)).with_help(refusal.unblock)),
    );
    Ok(warnings)
}

/// Logs in and asks for the GPUs, if a trial wants some.
async fn look(
    ctx: &Ctx,
    config: &RemoteConfig,
    machine: &MachineConfig,
    wants_gpus: bool,
) -> Result<Option<Result<GpuInventory, Refusal>>> {
    let target = Target::resolve(machine, config.ssh_config.as_deref(), &*ctx.secrets).await?;
    let connection = ssh::connect(&target, &mut Vec::new()).await?;
    let process = link::channel(&connection, &machine.host).await?;
    let shell = Shell::start(process, &ctx.tasks, &*ctx.clock)
        .await
        .map_err(|e| link::named(&e, &target.label()))?;
    if !wants_gpus {
        return Ok(None);
    }
    Ok(Some(
        gpu_query::inspect(&shell, &machine.nvidia_smi, &*ctx.clock, TIMEOUT).await,
    ))
}

/// Only what waiting cannot mend is permanent: with an empty ledger and active GPUs allowed, could it ever run?
fn fits(machine: &MachineConfig, gpus: GpuCount, inspected: Result<GpuInventory, Refusal>) -> Result<(), Refusal> {
    let rules = GpuRules::new(machine.gpu_indices.clone(), machine.max_trials_per_gpu, true);
    place(gpus, &inspected?, &rules, &GpuLedger::new(), &BTreeSet::new()).map(drop)
}

fn all(mut errors: Vec<Error>) -> Error {
    if errors.len() == 1
        && let Some(error) = errors.pop()
    {
        return error;
    }
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let kind = errors.first().map_or(ErrorKind::Unreachable, Error::kind);
    Error::new(kind, format!("no machine can be used: {}", lines.join("; ")))
        .with_help("`tsctl doctor FILE` shows each step to each machine")
}
