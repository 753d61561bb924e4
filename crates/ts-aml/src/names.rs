//! Names of jobs, tags, code and environments: made from ids and contents, so that a request sent twice makes one thing.
//!
//! Source of the rule: azure-rest-api-specs, `stable/2024-10-01/mfe.json`: `^[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}$`.

pub(crate) use ts_core::follow::trial_job as job;

use ts_core::{ExperimentId, TrialId, follow::job_prefix};

/// Name under which all packages of code are registered; the version is their digest.
pub(crate) const CODE: &str = "nni-code";

/// Key of the tag that all jobs of an experiment have, for lists are filtered by keys; its value is the trial. Also the name of the
/// experiment in Azure ML. Source of the form: nni v2.10, `amlClient.ts`.
pub(crate) fn tag(experiment: &ExperimentId) -> String {
    format!("nni_exp_{experiment}")
}

/// Name of a worker's job, which runs other trials; never that of a trial.
pub(crate) fn worker(experiment: &ExperimentId, worker: &str) -> String {
    format!("{}{worker}", job_prefix(experiment, "env"))
}

/// Folder of an experiment below the workspace's default datastore.
pub(crate) fn folder(experiment: &ExperimentId) -> String {
    format!("nni/{experiment}")
}

/// Folder of a trial there.
pub(crate) fn trial_folder(experiment: &ExperimentId, trial: &TrialId) -> String {
    format!("{}/{trial}", folder(experiment))
}

/// Name of the environment of an image: readable, and by a hash no other's.
pub(crate) fn environment(image: &str) -> String {
    let readable: String = image
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(100)
        .collect();
    format!("nni-{readable}-{:016x}", fnv(image.as_bytes()))
}

/// Source: Fowler, Noll, Vo: FNV-1a, 64 bits. A name only, nothing that anybody attacks: the image itself is compared by the service.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_are_legal() {
        let (experiment, trial) = ("_".repeat(32), "t".repeat(32));
        let experiment = ExperimentId::new(&experiment).unwrap();
        for name in [
            job(&experiment, &TrialId::new(&trial).unwrap()),
            worker(&experiment, &trial),
        ] {
            assert!(
                name.len() <= 255 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)),
                "{name}"
            );
        }
    }

    #[test]
    fn images_have_names_of_their_own() {
        assert_ne!(environment("a:b"), environment("a/b"));
        assert!(environment("msranni/nni:latest").starts_with("nni-msranni-nni-latest-"));
    }
}
