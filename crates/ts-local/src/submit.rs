//! Starts a trial: its directory, its files, then its shell.
//!
//! The directory's creation is the claim. A crash after it leaves either no process (submitting again finishes the work) or
//! a process that carries the stamp from its first instruction on (submitting again finds it). Placement on GPUs is `gpus`'.

use crate::{
    LocalConfig,
    core::{Core, Known},
    error,
    gpus::Assignment,
    observe::handle_on,
    prepare,
    process_tree::{STAMP_DIRECTORY, STAMP_EXPERIMENT, STAMP_TRIAL},
    recover::{self, Trace},
    spawn,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io,
    path::Path,
};
use ts_core::{
    Error, ErrorKind, ExperimentId, GpuCount, LogKind, Prepared, Reason, ReasonCode, Rendered, Result, Secret,
    Submitted, TRIAL_CHANNEL_VARIABLE, TrialId, TrialSpec,
    launch::{LaunchScript, StateClock, TrialContext, TrialPaths, trial_environment, visible_devices},
    trial_channel,
};

/// `CUDA_VISIBLE_DEVICES` of a trial that wishes for 0 GPUs.
const NO_GPU: &str = "-1";

/// Starts or queues `trial`. Every call blocks for the time of one process start, about a millisecond.
pub(crate) fn submit(core: &Core, prepared: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
    let paths = core.paths(&trial.id);
    let receipt = Submitted::new(format!("file://localhost{}", paths.dir().display()));
    let starting = Reason::new(ReasonCode::Starting, "being started", core.ctx.clock.now());
    if !core
        .registry
        .claim(&trial.id, Known::waiting(core.ctx.clock.now(), starting, None))
    {
        return Ok(receipt);
    }
    let result = begin(core, prepared, trial, &paths);
    if result.is_err() {
        core.registry.remove(&trial.id);
    }
    result.map(|()| receipt)
}

fn begin(core: &Core, prepared: &Prepared, trial: &TrialSpec, paths: &TrialPaths) -> Result<()> {
    if !claim_directory(paths)? {
        match recover::trace_of(paths, &recover::look()?) {
            Trace::Unlaunched => {} // we died between the claim and the start: finish it
            trace => return recover::adopt(core, &trial.id, trace),
        }
    }
    write_files(core, prepared, trial, paths)?;
    if let GpuCount::Exactly(n_gpus @ 1..) = trial.gpus {
        let wish = Assignment::wish(trial.experiment.clone(), n_gpus);
        wish.save(paths)?;
        core.gpus.enqueue(&trial.id, wish);
        return Ok(());
    }
    launch(
        core,
        &trial.id,
        &trial.experiment,
        visible_devices(trial.gpus, &[]).as_deref(),
    )
}

/// Makes the trial's directory; `false` if it was there.
fn claim_directory(paths: &TrialPaths) -> Result<bool> {
    let failed = |e| Error::io("make the trial's directory", paths.dir(), e);
    match fs::create_dir(paths.dir()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(paths.dir().parent().unwrap_or(paths.dir())).map_err(failed)?;
            fs::create_dir(paths.dir()).map(|()| true).or_else(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => Ok(false),
                _ => Err(failed(e)),
            })
        }
        Err(e) => Err(failed(e)),
    }
}

/// Everything that the trial reads. Each file is written anew, whatever an interrupted try has left of it.
fn write_files(core: &Core, prepared: &Prepared, trial: &TrialSpec, paths: &TrialPaths) -> Result<()> {
    let private = paths.exchange();
    match fs::create_dir(&private) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io("make", &private, e)),
        _ => {}
    }
    prepare::deliver(&core.config, prepared, paths)?;
    write(&paths.parameters(&trial.parameters), trial.parameters.text.as_bytes())?;
    write(
        &paths.script(),
        script(&core.config, prepared, trial, paths)?.as_bytes(),
    )?;
    // There before the trial starts, as with NNI (v2.10, `localTrainingService.ts`), and so that its growth can be watched.
    write(&paths.metrics(), b"")?;
    Ok(())
}

/// Starts the shell of a trial whose files are there. `visible_gpus` becomes `CUDA_VISIBLE_DEVICES`; `None` leaves it alone.
pub(crate) fn launch(
    core: &Core,
    trial: &TrialId,
    experiment: &ExperimentId,
    visible_gpus: Option<&str>,
) -> Result<()> {
    let paths = core.paths(trial);
    if let Err(error) = core.observer.await_change(&paths.metrics(), trial) {
        tracing::warn!(%trial, %error, "metrics arrive at the end only; raise `fs.inotify.max_user_watches` (sysctl)");
    }
    let channel = trial_channel(&core.ctx.work_dir, trial)?;
    let pid = spawn(&paths, trial, experiment, visible_gpus, channel.as_ref())?;
    // Our child, not reaped yet: the pid is its own. From here on only the pidfd is used to wait for it.
    let watched = handle_on(pid)
        .and_then(|handle| handle.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)))
        .and_then(|handle| core.observer.await_end(handle, Some(trial.clone())));
    if let Err(e) = watched {
        abandon(pid);
        return Err(error::of_spawn(e));
    }
    let now = core.ctx.clock.now();
    let canceled = core.registry.update(trial, |known| {
        let cancel = known.cancel;
        *known = Known {
            cancel,
            ..Known::running(now, Some(pid))
        };
        cancel.is_some()
    });
    if canceled != Some(false) {
        core.endings.end_now(trial, Some(pid)); // asked to end while it started
    }
    Ok(())
}

fn spawn(
    paths: &TrialPaths,
    trial: &TrialId,
    experiment: &ExperimentId,
    visible_gpus: Option<&str>,
    channel: Option<&Secret>,
) -> Result<Pid> {
    // The script sends the command's output to its files; here goes only what the shell itself complains about.
    let path = paths.log(LogKind::Stderr);
    let errors = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|e| Error::io("make", &path, e))?;
    let mut variables = vec![
        (STAMP_EXPERIMENT, OsStr::new(experiment.as_str())),
        (STAMP_TRIAL, OsStr::new(trial.as_str())),
        (STAMP_DIRECTORY, paths.dir().as_os_str()),
    ];
    if let Some(channel) = channel {
        variables.push((TRIAL_CHANNEL_VARIABLE, OsStr::new(channel.expose())));
    }
    if let Some(visible) = visible_gpus {
        variables.push(("CUDA_VISIBLE_DEVICES", OsStr::new(visible)));
        if visible != NO_GPU {
            // The order of nvidia-smi; CUDA's own default sorts by speed.
            variables.push(("CUDA_DEVICE_ORDER", OsStr::new("PCI_BUS_ID")));
        }
    }
    spawn::shell(&paths.script(), &variables, &errors).map_err(error::of_spawn)
}

/// Ends a shell that was just started and cannot be watched, with all of its session.
fn abandon(shell: Pid) {
    let ended = kill_process_group(shell, Signal::KILL).and_then(|()| waitpid(Some(shell), WaitOptions::empty()));
    if let Err(error) = ended {
        tracing::warn!(pid = %shell, %error, "cannot end a shell that cannot be watched");
    }
}

/// The launch script of a trial. GPUs are not in it: they are assigned later, and passed by the environment.
fn script(config: &LocalConfig, code: &Prepared, trial: &TrialSpec, paths: &TrialPaths) -> Result<String> {
    let working_dir = prepare::working_dir(config, code, paths);
    let [trial_dir, code_dir] = [paths.dir(), &working_dir].map(|path| {
        path.to_str().ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("`{}` is not UTF-8", path.display()))
                .with_help("choose a path that every shell can be given")
        })
    });
    let (trial_dir, code_dir) = (trial_dir?, code_dir?);
    let environment = trial_environment(&TrialContext {
        platform: crate::NAME,
        experiment: &trial.experiment,
        trial: &trial.id,
        sequence_id: trial.sequence_id,
        sys_dir: trial_dir,
        output_dir: trial_dir,
        code_dir,
        multi_phase: trial.multi_phase,
        traceparent: trial.traceparent.as_deref(),
    });
    LaunchScript::new(trial_dir, code_dir, trial.command.as_str())
        .with_env(environment)
        .with_clock(StateClock::FileTime)
        .render()
}

/// The documents of a trial as `submit` would write them.
pub(crate) fn render(config: &LocalConfig, code: &Prepared, trial: &TrialSpec, paths: &TrialPaths) -> Result<Rendered> {
    Ok(Rendered::new(vec![
        (trial.parameters.file_name(), trial.parameters.text.to_string()),
        (TrialPaths::SCRIPT.to_owned(), script(config, code, trial, paths)?),
    ]))
}

/// Gives a trial its next parameters: all of the file or none of it.
pub(crate) fn send_parameters(core: &Core, trial: &TrialId, next: &ts_core::Parameters) -> Result<()> {
    match core.registry.get(trial) {
        None => {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("trial `{trial}` is not known here"),
            ));
        }
        Some(known) if known.status.is_terminal() => {
            return Err(Error::new(ErrorKind::Conflict, format!("trial `{trial}` has ended")));
        }
        Some(_) => {}
    }
    write_whole(&core.paths(trial).parameters(next), next.text.as_bytes())
}

/// Writes a file so that a reader sees all of it or none.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    write(Path::new(&draft), bytes)?;
    fs::rename(&draft, path).map_err(|e| Error::io("write", path, e))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| Error::io("write", path, e))
}
