//! Names of jobs: made from the ids and leading back to them, so that a request sent twice makes one job.
//!
//! Source of the form: nni v1.9, `training_service/pai/paiK8S/paiK8STrainingService.ts`.

pub(crate) use ts_core::follow::{trial_job as job, trial_job_prefix as prefix, trial_of_job as trial_of};

use ts_core::{ExperimentId, follow::job_prefix};

/// What the names of all workers of an experiment begin with. Source: nni v2.10, `openPaiEnvironmentService.ts`.
pub(crate) fn worker_prefix(experiment: &ExperimentId) -> String {
    job_prefix(experiment, "env")
}

/// Name of a worker's job.
pub(crate) fn worker(experiment: &ExperimentId, worker: &str) -> String {
    format!("{}{worker}", worker_prefix(experiment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ts_core::TrialId;

    /// Source: openpai-protocol, `schemas/v2/schema.yaml`: the rule for names.
    #[test]
    fn the_longest_name_is_one_that_the_protocol_allows() {
        let longest = "_".repeat(32);
        let (experiment, trial) = (ExperimentId::new(&longest).unwrap(), TrialId::new(&longest).unwrap());
        for name in [job(&experiment, &trial), worker(&experiment, &longest)] {
            assert!(name.len() <= 255 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)));
        }
        assert_eq!(trial_of(&experiment, &worker(&experiment, "x")), None);
    }
}
