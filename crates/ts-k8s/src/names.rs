//! Names and labels of our objects: deterministic, so that a request sent twice makes one object, and legal in the cluster.

use crate::JobKind;
use kube::api::ObjectMeta;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use ts_core::{ExperimentId, TrialId};

/// Label of the application, as NNI writes it.
///
/// Source: nni v2.10, `ts/nni_manager/training_service/kubernetes/kubernetesTrainingService.ts`.
pub(crate) const APP: (&str, &str) = ("app", "nni-kubernetes-trial");
/// Label of the experiment, as in NNI.
pub(crate) const EXPERIMENT: &str = "expId";
/// Label of the trial, as in NNI. Its value keeps the id's case.
pub(crate) const TRIAL: &str = "trialId";
/// Label of the role of a pod.
pub(crate) const ROLE: &str = "nniRole";
/// Label of who made the object.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "tsctl");

/// Most characters of a job's name: operators append role and index, and the result must be a DNS label of 63.
const LONGEST: usize = 45;

/// Name of a trial's object.
///
/// NNI folds case, so two trials may get the same name; here an id that loses something gets a piece of its digest.
pub(crate) fn job(kind: JobKind, experiment: &ExperimentId, trial: &TrialId) -> String {
    let (experiment, trial) = (experiment.as_str(), trial.as_str());
    // FrameworkController: `^[a-z0-9]{1,63}$` (microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/crd.go`).
    match kind {
        JobKind::Framework => lossless(&format!("nniexp{experiment}trial{trial}"), ""),
        _ => lossless(&format!("nni-{experiment}-{trial}"), "-"),
    }
}

/// Name of an object that belongs to the whole experiment.
pub(crate) fn shared(experiment: &ExperimentId, what: &str) -> String {
    let name = lossless(&format!("nni-{experiment}"), "-");
    if what.is_empty() {
        name
    } else {
        format!("{name}-{what}")
    }
}

fn lossless(wanted: &str, separator: &str) -> String {
    let mut name = String::with_capacity(wanted.len());
    for c in wanted.chars() {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            'A'..='Z' => name.push(c.to_ascii_lowercase()),
            _ => name.push_str(separator),
        }
    }
    let is_dns = !separator.is_empty();
    let has_bad_end = is_dns && name.ends_with('-');
    if name == wanted && name.len() <= LONGEST && !has_bad_end {
        return name;
    }
    name.truncate(LONGEST - 7);
    while name.ends_with('-') {
        name.pop();
    }
    format!("{name}{separator}{}", &digest(wanted)[..6])
}

/// Marks the records of a trial in its pods' logs, so that nothing that it prints can be taken for one.
pub(crate) fn token(experiment: &ExperimentId, trial: &TrialId) -> String {
    digest(&format!("{experiment}/{trial}"))[..8].to_owned()
}

/// Selects all objects of the experiment.
pub(crate) fn experiment_selector(experiment: &ExperimentId) -> String {
    format!("{}={},{EXPERIMENT}={}", APP.0, APP.1, label(experiment.as_str()))
}

/// Selects all objects of a trial.
pub(crate) fn trial_selector(experiment: &ExperimentId, trial: &TrialId) -> String {
    format!("{},{TRIAL}={}", experiment_selector(experiment), label(trial.as_str()))
}

/// An id as the value of a label, which must begin and end with a letter or digit.
pub(crate) fn label(id: &str) -> String {
    if is_plain(id) { id.to_owned() } else { format!("x{id}x") }
}

/// Whether an id is the value of its label as it stands: it is legal there, and is not what another id becomes.
fn is_plain(id: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric();
    // An id is not empty, so nothing becomes `xx`.
    id.starts_with(legal) && id.ends_with(legal) && wrapped(id).is_none_or(|inner| inner.is_empty() || is_plain(inner))
}

/// What stands between the first and the last letter, if both are `x`.
fn wrapped(text: &str) -> Option<&str> {
    text.strip_prefix('x')?.strip_suffix('x')
}

/// The trial whose stamp an object bears.
pub(crate) fn trial_of(object: &ObjectMeta) -> Option<TrialId> {
    of_label(object.labels.as_ref()?.get(TRIAL)?)
}

/// The id that [`label`] made this of.
pub(crate) fn of_label(value: &str) -> Option<TrialId> {
    let id = if is_plain(value) { value } else { wrapped(value)? };
    TrialId::new(id).ok()
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trial(text: &str) -> TrialId {
        TrialId::new(text).expect("legal")
    }

    #[test]
    fn plain_ids_give_nnis_names() {
        let experiment = ExperimentId::new("abcd1234").expect("legal");
        assert_eq!(job(JobKind::TfJob, &experiment, &trial("x1y2z")), "nni-abcd1234-x1y2z");
        let framework = job(JobKind::Framework, &experiment, &trial("x1y2z"));
        assert_eq!(framework, "nniexpabcd1234trialx1y2z");
        assert_eq!(shared(&experiment, ""), "nni-abcd1234");
    }

    #[test]
    fn ids_that_differ_in_case_only_get_different_names() {
        let experiment = ExperimentId::new("e").expect("legal");
        for kind in [JobKind::Job, JobKind::Framework] {
            assert_ne!(
                job(kind, &experiment, &trial("Abc")),
                job(kind, &experiment, &trial("aBc"))
            );
        }
    }

    #[test]
    fn ids_that_look_like_what_others_become_have_labels_of_their_own() {
        let ids = ["-", "x-x", "xx-xx", "_a", "x_ax", "x", "xx", "xxx", "xxxx", "xax"];
        let mut values = std::collections::HashSet::new();
        for id in ids {
            let value = label(id);
            assert_eq!(of_label(&value), Some(trial(id)), "{value}");
            assert!(values.insert(value), "{id}");
        }
        assert_eq!(of_label("-"), None, "nobody's label");
    }

    proptest! {
        #[test]
        fn every_id_gives_legal_names_and_labels_that_lead_back(
            experiment in "[A-Za-z0-9_-]{1,32}", one in "[A-Za-z0-9_-]{1,32}", other in "[A-Za-z0-9_-]{1,32}",
        ) {
            let experiment = ExperimentId::new(&experiment).expect("legal");
            let (one, other) = (trial(&one), trial(&other));
            for kind in [JobKind::Job, JobKind::Framework] {
                let name = job(kind, &experiment, &one);
                prop_assert!(name.len() <= LONGEST && name.starts_with("nni"), "{name}");
                let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || (kind == JobKind::Job && c == '-');
                prop_assert!(name.chars().all(legal) && !name.ends_with('-'), "{name}");
                prop_assert_eq!(name == job(kind, &experiment, &other), one == other);
            }
            let value = label(one.as_str());
            prop_assert!(value.len() <= 63 && value.starts_with(|c: char| c.is_ascii_alphanumeric()));
            prop_assert_eq!(of_label(&value), Some(one));
        }
    }
}
