//! Names of jobs: made from the ids and leading back to them, so that a request sent twice makes one job.
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
