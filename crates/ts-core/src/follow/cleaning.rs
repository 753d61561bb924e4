//! Steps of a clean-up that are the same on every platform: waiting for ends, and removing trial by trial.
//!
//! Which jobs are stopped, and what is removed, is each platform's own.

use super::{Known, Registry};
use crate::{CleanupReport, Clock, Result, TrialId};
use std::time::Duration;

/// Waits until every end that was asked for is complete; `false` if that takes longer than `patience`.
pub async fn settle<X>(registry: &Registry<X>, clock: &dyn Clock, patience: Duration) -> bool {
    let is_ending = |known: &Known<X>| known.cancel.is_some() && !known.status.is_terminal();
    let is_any = || {
        registry
            .ids()
            .iter()
            .any(|trial| registry.with(trial, is_ending) == Some(true))
    };
    within(clock, patience, registry.until(|| !is_any())).await
}

/// Waits until all of `trials` are over that are `ours`; gives those that are not after `patience`.
pub async fn until_over<X>(
    registry: &Registry<X>,
    clock: &dyn Clock,
    patience: Duration,
    trials: &[TrialId],
    is_ours: impl Fn(&Known<X>) -> bool,
) -> Vec<TrialId> {
    let is_live = |trial: &TrialId| {
        let is_live = |known: &Known<X>| !known.status.is_terminal() && is_ours(known);
        registry.with(trial, is_live) == Some(true)
    };
    if within(clock, patience, registry.until(|| !trials.iter().any(is_live))).await {
        return Vec::new();
    }
    trials.iter().filter(|trial| is_live(trial)).cloned().collect()
}

/// Has `remove` remove each trial that has not failed in `report` already, and forgets it. `remove` says whether there was something.
pub async fn remove_each<X, F: Future<Output = Result<bool>> + Send>(
    registry: &Registry<X>,
    trials: &[TrialId],
    report: &mut CleanupReport,
    remove: impl Fn(TrialId) -> F,
) {
    for trial in trials {
        if report.failures.iter().any(|(name, _)| name == trial.as_str()) {
            continue;
        }
        match remove(trial.clone()).await {
            Ok(was_there) => {
                report.removed += u64::from(was_there);
                registry.remove(trial);
            }
            Err(error) => report.failures.push((trial.to_string(), error)),
        }
    }
}

async fn within(clock: &dyn Clock, patience: Duration, done: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = done => true,
        () = clock.sleep(patience) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CancelReason, Error, ErrorKind, SystemClock, Timestamp, follow::of_exit};

    const LONG: Duration = Duration::from_mins(1);

    fn registry() -> (Registry<bool>, [TrialId; 3]) {
        let registry = Registry::default();
        let ids = ["a", "b", "c"].map(|id| TrialId::new(id).expect("legal"));
        for id in &ids {
            registry.claim(id, Known::running(Timestamp(1), id.as_str() != "c"));
        }
        (registry, ids)
    }

    #[tokio::test]
    async fn ends_are_waited_for_as_long_as_it_may_take() {
        let (registry, ids) = registry();
        let clock = SystemClock::new();
        let ours = |known: &Known<bool>| known.extra;
        assert!(settle(&registry, &clock, LONG).await, "nothing ends");
        registry.update(&ids[0], |known| known.cancel = Some(CancelReason::User));
        assert!(!settle(&registry, &clock, Duration::ZERO).await);
        assert_eq!(
            until_over(&registry, &clock, Duration::ZERO, &ids, ours).await,
            ids[..2]
        );
        let end = async {
            for id in &ids[..2] {
                registry.conclude(id, of_exit(0, "", Timestamp(2)));
            }
        };
        let waits = async {
            (
                settle(&registry, &clock, LONG).await,
                until_over(&registry, &clock, LONG, &ids, ours).await,
            )
        };
        assert_eq!(futures_util::join!(waits, end).0, (true, Vec::new()));
    }

    #[tokio::test]
    async fn what_failed_stays_and_the_rest_goes_on() {
        let (registry, ids) = registry();
        let mut report = CleanupReport::new();
        let failure = || Error::new(ErrorKind::TimedOut, "x");
        report.failures.push((ids[0].to_string(), failure()));
        let remove = |trial: TrialId| async move {
            match trial.as_str() {
                "a" => panic!("it has failed already"),
                "b" => Err(failure()),
                _ => Ok(true),
            }
        };
        remove_each(&registry, &ids, &mut report, remove).await;
        assert_eq!((report.removed, report.failures.len()), (1, 2));
        assert!(registry.get(&ids[1]).is_some() && registry.get(&ids[2]).is_none());
    }
}
