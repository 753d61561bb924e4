//! Why a platform cannot be used at present, told by every trial that is concerned, until it can.

use super::{Known, Registry};
use crate::{Error, Reason, ReasonCode, Timestamp};
use std::sync::{Mutex, PoisonError};

/// The trouble of one platform; none at first.
#[derive(Debug, Default)]
pub struct Trouble {
    present: Mutex<Option<Reason>>,
}

impl Trouble {
    /// Has every trial that is concerned say `why`; says whether that is new.
    pub fn begin<X>(&self, registry: &Registry<X>, why: &Reason, is_concerned: impl Fn(&Known<X>) -> bool) -> bool {
        let is_new = {
            let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = present.as_ref().is_none_or(|old| old.message != why.message);
            if is_new {
                *present = Some(why.clone());
            }
            is_new
        };
        for trial in registry.ids() {
            if registry.with(&trial, &is_concerned) == Some(true) {
                registry.explain(&trial, why.clone());
            }
        }
        is_new
    }

    /// The platform answers: trials that told the trouble say what `otherwise` gives.
    pub fn end<X>(&self, registry: &Registry<X>, otherwise: impl Fn(&Known<X>) -> Option<Reason>) {
        let trouble = self.present.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(trouble) = trouble else { return };
        for trial in registry.ids() {
            let tells = |known: &Known<X>| known.why.as_ref().is_some_and(|why| why.message == trouble.message);
            if registry.with(&trial, tells) == Some(true) {
                registry.update(&trial, |known| known.why = otherwise(known));
            }
        }
    }
}

/// An error as the reason for what a trial is, with its advice.
pub fn reason_of(code: ReasonCode, error: &Error, now: Timestamp) -> Reason {
    let why = Reason::new(code, error.to_string(), now);
    error.help().into_iter().fold(why, Reason::unblocked_by)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, TrialId, TrialStatus};

    #[test]
    fn trials_that_are_concerned_tell_the_trouble_until_it_ends() {
        let registry = Registry::<bool>::default();
        let why = |text: &str| Reason::new(ReasonCode::Queued, text, Timestamp(1));
        let ids = ["a", "b", "c"].map(|id| TrialId::new(id).expect("legal"));
        registry.claim(&ids[0], Known::waiting(Timestamp(1), why("queued"), true));
        registry.claim(&ids[1], Known::running(Timestamp(1), true));
        registry.claim(&ids[2], Known::running(Timestamp(1), false));
        let told = || {
            ids.clone().map(|id| {
                registry
                    .with(&id, |known| known.why.clone().map(|why| why.message))
                    .flatten()
            })
        };
        let error = Error::new(ErrorKind::Unreachable, "no answer").with_help("wait");
        let (trouble, reason) = (
            Trouble::default(),
            reason_of(ReasonCode::Unreachable, &error, Timestamp(2)),
        );
        assert_eq!(reason.unblock.as_deref(), Some("wait"));
        assert!(trouble.begin(&registry, &reason, |known| known.extra));
        assert!(!trouble.begin(&registry, &reason, |known| known.extra), "it is no news");
        let no_answer = || Some("no answer".to_owned());
        assert_eq!(told(), [no_answer(), no_answer(), None]);
        trouble.end(&registry, |known| {
            (known.status == TrialStatus::Waiting).then(|| why("queued"))
        });
        assert_eq!(told(), [Some("queued".to_owned()), None, None]);
        assert!(trouble.begin(&registry, &reason, |_| false), "it came back");
    }
}
