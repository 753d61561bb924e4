//! The script that runs a trial's command, where its folder is one that the platform's containers mount.

use crate::{
    GpuCount, Result, TrialSpec,
    launch::{LaunchScript, StateClock, TrialContext, trial_environment, visible_devices},
};

/// The folder for what a trial leaves besides, in `dir`, the trial's own.
pub fn output_dir(dir: &str) -> String {
    format!("{dir}/nnioutput")
}

/// The script that runs `command` for `trial`, in a copy of the code below `seat`: the trial's folder `dir`, or that of an instance of
/// the trial. Both as the container sees them. `sdk`: where NNI's SDK is told to be.
///
/// # Errors
/// As [`LaunchScript::render`].
pub fn run_script(
    sdk: &str,
    trial: &TrialSpec,
    dir: &str,
    seat: &str,
    command: &str,
    clock: StateClock,
) -> Result<String> {
    let code = format!("{seat}/code");
    let environment = trial_environment(&TrialContext {
        platform: sdk,
        experiment: &trial.experiment,
        trial: &trial.id,
        sequence_id: trial.sequence_id,
        sys_dir: seat,
        output_dir: &output_dir(dir),
        code_dir: &code,
        multi_phase: trial.multi_phase,
        traceparent: trial.traceparent.as_deref(),
    });
    // The platform makes the GPUs of a trial visible; only none must be said.
    let devices = match trial.gpus {
        GpuCount::Exactly(0) => visible_devices(trial.gpus, &[]),
        _ => None,
    };
    LaunchScript::new(seat, code.as_str(), command)
        .with_env(environment)
        .with_visible_devices(devices)
        .with_clock(clock)
        .render()
}
