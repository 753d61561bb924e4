//! The environment variables by which NNI's trial SDK finds its experiment. Setting them belongs to the launch script.

use crate::{ExperimentId, GpuCount, TrialId};

/// What a trial's environment is made of. Directories are as the trial sees them.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "built by every platform; each field is a variable of NNI's"
)]
pub struct TrialContext<'a> {
    /// Platform name that makes the SDK choose its channel: `local` for the file channel.
    pub platform: &'a str,
    /// The experiment.
    pub experiment: &'a ExperimentId,
    /// The trial.
    pub trial: &'a TrialId,
    /// Number of the trial within the experiment.
    pub sequence_id: u32,
    /// Directory with `parameter.cfg` and `.nni/`.
    pub sys_dir: &'a str,
    /// Directory for the user's output.
    pub output_dir: &'a str,
    /// Code directory.
    pub code_dir: &'a str,
    /// Whether the trial may ask for further parameters.
    pub multi_phase: bool,
    /// Where in a trace the trial stands, if it is traced.
    pub traceparent: Option<&'a str>,
}

/// NNI's variables in NNI's order, then `TRACEPARENT` if the trial is traced.
///
/// Source: nni v1.9, `localTrainingService.ts`; `MULTI_PHASE` was last set by v2.10, and is read by v3.0 still
/// (`nni/runtime/trial_command_channel/local_legacy.py`). Its v1.9 SDK ends with an error if
/// `NNI_TRIAL_SEQ_ID` is missing.
pub fn trial_environment(context: &TrialContext<'_>) -> Vec<(String, String)> {
    let nni = [
        ("NNI_PLATFORM", context.platform.to_owned()),
        ("NNI_EXP_ID", context.experiment.to_string()),
        ("NNI_SYS_DIR", context.sys_dir.to_owned()),
        ("NNI_TRIAL_JOB_ID", context.trial.to_string()),
        ("NNI_OUTPUT_DIR", context.output_dir.to_owned()),
        ("NNI_TRIAL_SEQ_ID", context.sequence_id.to_string()),
        ("NNI_CODE_DIR", context.code_dir.to_owned()),
        ("MULTI_PHASE", context.multi_phase.to_string()),
    ];
    // Source: OpenTelemetry specification, "Environment Variables as Context Propagation Carriers".
    let trace = context.traceparent.map(|value| ("TRACEPARENT", value.to_owned()));
    nni.into_iter()
        .chain(trace)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Value of `CUDA_VISIBLE_DEVICES`, if it is to be set: no wish leaves it alone, 0 hides every GPU by `-1`, n lists the
/// assigned indices.
///
/// Source: nni v1.9 to v2.10, `localTrainingService.ts`.
pub fn visible_devices(wish: GpuCount, assigned: &[u32]) -> Option<String> {
    match wish {
        GpuCount::Unset => None,
        GpuCount::Exactly(0) => Some("-1".to_owned()),
        GpuCount::Exactly(_) => Some(assigned.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_nnis_in_nnis_order() {
        let (experiment, trial) = (ExperimentId::new("exp").unwrap(), TrialId::new("Ab1cd").unwrap());
        for (multi_phase, traceparent) in [(false, None), (true, None), (false, Some("00-1-2-01"))] {
            let environment = trial_environment(&TrialContext {
                platform: "local",
                experiment: &experiment,
                trial: &trial,
                sequence_id: 7,
                sys_dir: "/t",
                output_dir: "/t/nnioutput",
                code_dir: "/c",
                multi_phase,
                traceparent,
            });
            let lines: Vec<_> = environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let trace = traceparent
                .map(|value| format!(" TRACEPARENT={value}"))
                .unwrap_or_default();
            let expected = format!(
                "NNI_PLATFORM=local NNI_EXP_ID=exp NNI_SYS_DIR=/t NNI_TRIAL_JOB_ID=Ab1cd \
                 NNI_OUTPUT_DIR=/t/nnioutput NNI_TRIAL_SEQ_ID=7 NNI_CODE_DIR=/c MULTI_PHASE={multi_phase}{trace}"
            );
            assert_eq!(lines.join(" "), expected);
        }
    }

    #[test]
    fn unset_zero_and_n_gpus_differ() {
        assert_eq!(visible_devices(GpuCount::Unset, &[]), None);
        assert_eq!(visible_devices(GpuCount::Exactly(0), &[]).as_deref(), Some("-1"));
        assert_eq!(visible_devices(GpuCount::Exactly(1), &[3]).as_deref(), Some("3"));
        assert_eq!(visible_devices(GpuCount::Exactly(2), &[0, 2]).as_deref(), Some("0,2"));
    }
}
