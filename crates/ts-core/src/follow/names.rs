//! Names of jobs that lead back to their trials, for platforms that know jobs by names: a request sent twice makes one job.
//!
//! The form is that of NNI: `nni_exp_EXPERIMENT_trial_TRIAL`.

use crate::{ExperimentId, TrialId};

const OF_TRIALS: &str = "trial";

/// What the names of an experiment's jobs of this `kind`, a word of letters, begin with, and no other's.
///
/// The underscores of the experiment's id are doubled: only so can nothing in it be taken for the end of it.
pub fn job_prefix(experiment: &ExperimentId, kind: &str) -> String {
    format!("nni_exp_{}_{kind}_", experiment.as_str().replace('_', "__"))
}

/// What the names of the jobs of an experiment's trials begin with, and no other's.
pub fn trial_job_prefix(experiment: &ExperimentId) -> String {
    job_prefix(experiment, OF_TRIALS)
}

/// Name of a trial's job.
pub fn trial_job(experiment: &ExperimentId, trial: &TrialId) -> String {
    format!("{}{trial}", trial_job_prefix(experiment))
}

/// The trial of a job of this name, if it is one of the experiment's.
pub fn trial_of_job(experiment: &ExperimentId, job: &str) -> Option<TrialId> {
    TrialId::new(job.strip_prefix(&trial_job_prefix(experiment))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn named(experiment: &str, trial: &str) -> String {
        trial_job(
            &ExperimentId::new(experiment).expect("legal"),
            &TrialId::new(trial).expect("legal"),
        )
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
        let mut seen = HashSet::new();
        for experiment in ids {
            for trial in ids {
                let name = named(experiment, trial);
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)));
                let back = trial_of_job(&ExperimentId::new(experiment).expect("legal"), &name);
                assert_eq!(back, TrialId::new(trial).ok());
                assert!(seen.insert(name.clone()), "{name}");
            }
        }
    }

    #[test]
    fn a_job_of_another_experiment_is_not_ours() {
        let ours = ExperimentId::new("a").expect("legal");
        for other in [
            "nni_exp_b_trial_x",
            "nni_exp_a_env_x",
            "nni_exp_a_trial_",
            "x",
            "nni_exp_a__trial__b_trial_c",
        ] {
            assert_eq!(trial_of_job(&ours, other), None, "{other}");
        }
    }
}
