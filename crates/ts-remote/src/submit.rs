//! From a trial to its request: stored here first, queued, and rendered as the files that its machine gets.
//!
//! Where it goes is the board's decision; how the files get there is `worker`'s business.

use crate::{
    RemoteConfig,
    board::Waiting,
    core::{Core, Place},
    job::Job,
    recover,
    worker::{self, Facts},
};
use std::sync::Arc;
use ts_core::{
    Error, ErrorKind, GpuCount, Parameters, Prepared, Reason, ReasonCode, Rendered, Result, Submitted, TrialId,
    TrialSpec,
    follow::Known,
    launch::{LaunchScript, StateClock, TrialContext, TrialPaths, trial_environment},
};

/// Name of a trial's own clone of the code.
pub(crate) const CODE: &str = "code";
/// Platform name that has NNI's SDK write its metrics to the journal.
const SDK_PLATFORM: &str = "local";
/// Stands for the home directory where no machine was asked yet.
const SOME_HOME: &str = "/~";

/// Stores and queues `trial`, and sends it at once if a machine is free.
pub(crate) fn submit(core: &Arc<Core>, prepared: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
    let package = prepared.digest.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::Conflict,
            format!("`{}` is no receipt of delivered code", prepared.location),
        )
        .with_help("call `prepare` of this service first")
    })?;
    if !core.knows_package(&package) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("no code `{package}` was delivered by this service"),
        )
        .with_help("call `prepare` of this service first"));
    }
    // What no script can say is refused before anything is stored.
    script(&core.config, 0, "/", trial, None)?;
    let job = Arc::new(Job::new(trial.clone(), package));
    let place = Place {
        job: Arc::clone(&job),
        machine: None,
        own_end: None,
        is_looked_on: false,
    };
    let why = Reason::new(ReasonCode::Queued, "waits for its turn", core.ctx.clock.now());
    if core
        .registry
        .claim(&trial.id, Known::waiting(core.ctx.clock.now(), why, place))
    {
        let stored = store(core, &job);
        if stored.is_err() {
            core.registry.remove(&trial.id);
        }
        if stored? {
            core.board().enqueue(Waiting {
                trial: trial.id.clone(),
                gpus: trial.gpus,
                package: job.package.clone(),
            });
        }
        core.place_at_once();
    }
    Ok(Submitted::new(url(core, &trial.id)))
}

/// Stores the request; `false` if an earlier manager did, and the trial goes on from there.
fn store(core: &Arc<Core>, job: &Job) -> Result<bool> {
    let trial = &job.spec.id;
    let paths = core.mirror.paths(trial);
    if !core.mirror.dirs().claim(trial)? && recover::resume(core, trial)? {
        return Ok(false);
    }
    job.save(&paths)?;
    Ok(true)
}

/// Where the trial's files are, as far as that is known.
fn url(core: &Core, trial: &TrialId) -> String {
    let machine = core.registry.get(trial).and_then(|known| known.extra.machine);
    let link = machine.and_then(|index| Some((index, core.machines[index].link()?)));
    match link {
        Some((index, link)) => format!(
            "file://{}:{}/trials/{trial}",
            core.machines[index].config().host,
            link.facts.root
        ),
        None => format!("remote:{trial}"),
    }
}

/// The launch script of a trial whose directory is `trial_dir` on machine `machine`.
pub(crate) fn script(
    config: &RemoteConfig,
    machine: usize,
    trial_dir: &str,
    trial: &TrialSpec,
    visible_devices: Option<String>,
) -> Result<String> {
    let code_dir = format!("{}/{CODE}", trial_dir.trim_end_matches('/'));
    let mut environment = trial_environment(&TrialContext {
        platform: SDK_PLATFORM,
        experiment: &trial.experiment,
        trial: &trial.id,
        sequence_id: trial.sequence_id,
        sys_dir: trial_dir,
        output_dir: trial_dir,
        code_dir: &code_dir,
        multi_phase: trial.multi_phase,
        traceparent: trial.traceparent.as_deref(),
    });
    if matches!(trial.gpus, GpuCount::Exactly(1..)) {
        // The order of nvidia-smi; CUDA's own default sorts by speed.
        environment.push(("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned()));
    }
    let before = config
        .machines
        .get(machine)
        .and_then(|machine| machine.pre_command.as_deref());
    let command = match before.map(str::trim) {
        // nni v1.9, `remoteMachineTrainingService.ts`: `<preCommand> && <command>`.
        Some(before) if !before.is_empty() => format!("{before} && {}", trial.command),
        _ => trial.command.clone(),
    };
    LaunchScript::new(trial_dir, code_dir, command)
        .with_env(environment)
        .with_visible_devices(visible_devices)
        .with_clock(StateClock::Date)
        .render()
}

/// The request that starts a job on the machine of this link.
pub(crate) fn request(core: &Core, machine: usize, facts: &Facts, job: &Job) -> Result<worker::Start> {
    let trial = &job.spec;
    let dir = facts.trial_dir(&trial.id);
    Ok(worker::Start {
        id: trial.id.clone(),
        experiment: trial.experiment.clone(),
        parameters: trial.parameters.clone(),
        script: script(&core.config, machine, &dir, trial, job.visible_devices.clone())?,
        package: Some(job.package.clone()),
    })
}

/// The documents of a trial as `submit` would write them, on the first machine.
pub(crate) fn render(config: &RemoteConfig, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
    let home = format!("{SOME_HOME}/nni-experiments");
    let below = config
        .machines
        .first()
        .and_then(|machine| machine.directory.clone())
        .unwrap_or(home);
    let dir = format!("{below}/{}/trials/{}", trial.experiment, trial.id);
    let visible = ts_core::launch::visible_devices(trial.gpus, &[]).filter(|_| trial.gpus == GpuCount::Exactly(0));
    Ok(Rendered::new(vec![
        ("code".to_owned(), code.location.clone()),
        (trial.parameters.file_name(), trial.parameters.text.to_string()),
        (TrialPaths::SCRIPT.to_owned(), script(config, 0, &dir, trial, visible)?),
    ]))
}

/// Gives a trial its next parameters: all of the file or none of it.
pub(crate) async fn send_parameters(core: &Core, trial: &TrialId, next: &Parameters) -> Result<()> {
    let Some(known) = core.registry.get(trial) else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("trial `{trial}` is not known here"),
        ));
    };
    if known.status.is_terminal() {
        return Err(Error::new(ErrorKind::Conflict, format!("trial `{trial}` has ended")));
    }
    let Some(machine) = known.extra.machine else {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("trial `{trial}` waits for a machine and cannot take parameters yet"),
        )
        .with_retry(ts_core::Retry::NotApplied { after: None }));
    };
    let link = core.machines[machine].need_link()?;
    let reply = link
        .shell
        .run(worker::send_parameters_snippet(&link.facts, trial, next))
        .await?;
    reply.into_result("send parameters")
}
