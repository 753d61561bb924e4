//! Names of jobs, made from the ids and leading back to them, and the ids that jobs are sent with.
//!
//! Source of the form: nni v1.9, `training_service/dlts/dltsTrainingService.ts`.

use ts_core::{ExperimentId, TrialId};

/// What the names of all jobs of an experiment begin with, and no other's.
///
/// The underscores of the experiment's id are doubled: only so can nothing in it be taken for the end of it.
pub(crate) fn prefix(experiment: &ExperimentId) -> String {
    format!("nni_exp_{}_trial_", experiment.as_str().replace('_', "__"))
}

/// Name of a trial's job.
pub(crate) fn job(experiment: &ExperimentId, trial: &TrialId) -> String {
    format!("{}{trial}", prefix(experiment))
}

/// A new id for a job: a random UUID (version 4), as the cluster mints them itself for jobs that come without.
///
/// Source: microsoft/DLWorkspace, `src/utils/JobRestAPIUtils.py`, `SubmitJob`.
pub(crate) fn new_job_id() -> String {
    let bits: u128 = rand::random();
    let hex = format!(
        "{:032x}",
        bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
    );
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// The trial of a job of this name, if it is one of the experiment's.
pub(crate) fn trial_of(experiment: &ExperimentId, job: &str) -> Option<TrialId> {
    TrialId::new(job.strip_prefix(&prefix(experiment))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(experiment: &str, trial: &str) -> String {
        job(&ExperimentId::new(experiment).unwrap(), &TrialId::new(trial).unwrap())
    }

    #[test]
    fn an_id_of_a_job_is_a_random_uuid() {
        let (one, other) = (new_job_id(), new_job_id());
        assert_ne!(one, other);
        for id in [one, other] {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(id.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()), "{id}");
            assert!(
                id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]),
                "{id}"
            );
        }
    }

    #[test]
    fn plain_ids_give_nnis_names() {
        assert_eq!(named("abcd1234", "x1Y2z"), "nni_exp_abcd1234_trial_x1Y2z");
    }

    #[test]
    fn no_two_trials_share_a_name_and_each_leads_back() {
        let ids = [
            "a",
            "a_",
            "_a",
            "a_trial_b",
            "a__trial_b",
            "b_trial_a",
            "trial",
            "_trial_",
            "-",
            "b",
        ];
        let mut seen = std::collections::HashSet::new();
        for experiment in ids {
            for trial in ids {
                let name = named(experiment, trial);
                let back = trial_of(&ExperimentId::new(experiment).unwrap(), &name);
                assert_eq!(back, TrialId::new(trial).ok());
                assert!(seen.insert(name.clone()), "{name}");
            }
        }
    }

    #[test]
    fn a_job_of_another_experiment_is_not_ours() {
        let ours = ExperimentId::new("a").unwrap();
        for other in [
            "nni_exp_b_trial_x",
            "nni_exp_a_env_x",
            "nni_exp_a_trial_",
            "x",
            "nni_exp_a__trial__b_trial_c",
        ] {
            assert_eq!(trial_of(&ours, other), None, "{other}");
        }
    }
}
