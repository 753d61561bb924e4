//! Could this experiment run on these machines? Looks at all of them at once, and leaves no trace.

use crate::{
    RemoteConfig,
    config::MachineConfig,
    gpu_query, link,
    ssh::{self, Target},
    warm::Warm,
    worker::Shell,
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use ts_core::{
    Ctx, Error, ErrorKind, ExperimentSpec, GpuCount, Result, Warning, Warnings,
    gpu::{GpuInventory, GpuLedger, GpuRules, Refusal, place},
};

/// How long nvidia-smi may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the others are waited for once a machine is found that may run trials.
const LATECOMERS: Duration = Duration::from_secs(2);

pub(crate) async fn validate(ctx: &Ctx, config: &RemoteConfig, warm: &Warm, spec: &ExperimentSpec) -> Result<Warnings> {
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
    let mut warnings = Warnings::new();
    same_machines(ctx, config, wants_gpus, &mut warnings).await?;
    let mut looks: FuturesUnordered<_> = (0..config.machines.len())
        .map(|index| async move { (index, look(ctx, config, index, warm, wants_gpus).await) })
        .collect();
    let (mut errors, mut refusals, mut may_run) = (Vec::new(), Vec::new(), false);
    let mut silent: BTreeSet<usize> = (0..config.machines.len()).collect();
    loop {
        let latecomers = async {
            if may_run {
                ctx.clock.sleep(LATECOMERS).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let (index, found) = tokio::select! {
            biased;
            look = looks.next() => match look {
                Some(look) => look,
                None => break,
            },
            () = latecomers => break,
        };
        silent.remove(&index);
        let machine = &config.machines[index];
        match found {
            Err(error) => errors.push(link::located(error, index)),
            Ok(None) => may_run = true,
            Ok(Some(inspected)) => match fits(machine, spec.gpus, inspected) {
                Ok(()) => may_run = true,
                Err(refusal) => refusals.push((machine.host.clone(), refusal)),
            },
        }
    }
    drop(looks);
    warnings.extend(silent.into_iter().map(|index| {
        let message = format!(
            "`{}` has not answered yet: trials go to others until it does",
            config.machines[index].host
        );
        Warning::new(message).with_help("`tsctl doctor FILE` waits longer and shows each step")
    }));
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

/// Two entries that lead to the same machine would give its GPUs away twice, each without knowing of the other.
///
/// # Errors
/// `Config` if trials want GPUs; without, a warning.
async fn same_machines(ctx: &Ctx, config: &RemoteConfig, wants_gpus: bool, warnings: &mut Warnings) -> Result<()> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for (index, machine) in config.machines.iter().enumerate() {
        // What is wrong with an entry is told where it is connected to.
        let Ok(target) = Target::resolve(machine, config.ssh_config.as_deref(), &*ctx.secrets).await else {
            continue;
        };
        let Some(first) = seen.insert(target.address().to_lowercase(), &machine.host) else {
            continue;
        };
        let message = format!(
            "machines `{first}` and `{}` are the same one: {}",
            machine.host,
            target.address()
        );
        let key = format!("machineList[{index}]");
        let help = "remove one of the entries; how many trials run at once is `trialConcurrency`";
        if wants_gpus {
            return Err(Error::new(ErrorKind::Config, message).with_key(key).with_help(help));
        }
        warnings.push(Warning::new(message).with_key(key).with_help(help));
    }
    Ok(())
}

/// Logs in and asks for the GPUs, if a trial wants some.
async fn look(
    ctx: &Ctx,
    config: &RemoteConfig,
    index: usize,
    warm: &Warm,
    wants_gpus: bool,
) -> Result<Option<Result<GpuInventory, Refusal>>> {
    let machine = &config.machines[index];
    let target = Target::resolve(machine, config.ssh_config.as_deref(), &*ctx.secrets).await?;
    let connection = ssh::connect(&target, &warm.outers, &mut Vec::new()).await?;
    let process = link::channel(&connection, &machine.host).await?;
    let shell = Shell::start(process, &ctx.tasks, &*ctx.clock)
        .await
        .map_err(|e| link::named(&e, &target.label()))?;
    let program = &machine.nvidia_smi;
    let inspected = if wants_gpus {
        Some(gpu_query::limited(gpu_query::inspect(&shell, program), program, &*ctx.clock, TIMEOUT).await)
    } else {
        None
    };
    // A shell that is still held up by a driver is of no use.
    if !wants_gpus || inspected.as_ref().is_some_and(Result::is_ok) {
        warm.keep(index, connection, shell);
    }
    Ok(inspected)
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
