//! Property: whatever sequence of changes arrives, however it is cut into calls, the invariants hold.

use super::{Fixture, created, cursor, id, metric, status};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use ts_core::{CancelReason, Timestamp, TrialStatus as S};
use ts_manager::store::{Change, MetricKind as K, Outcome as O, TrialFilter};

const TRIALS: u32 = 4;

fn any_change() -> impl Strategy<Value = Change> {
    let trial = 0..TRIALS;
    prop_oneof![
        4 => (trial.clone(), 1_u64..12, any::<bool>()).prop_map(|(t, seq, last)| {
            metric(t, seq * 10, if last { K::Final } else { K::Intermediate }, 1.0 / f64::from(t + 1))
        }),
        4 => (trial.clone(), proptest::sample::select(&S::ALL[..]), 1_i64..99)
            .prop_map(|(t, s, at)| status(t, s, at)),
        1 => (trial.clone(), 1_u64..120).prop_map(|(t, seq)| Change::JournalSkipped {
            trial: id(t), at: Timestamp(1), cursor: cursor(seq), n_bytes: 1, problem: "no frame".into(),
        }),
        1 => trial.prop_map(|t| Change::CancelRequested {
            trial: id(t), at: Timestamp(1), reason: CancelReason::User,
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold(calls in proptest::collection::vec(proptest::collection::vec(any_change(), 0..8), 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let f = Fixture::new();
        runtime.block_on(f.apply((0..TRIALS).map(created).collect()));
        let mut statuses: HashMap<u32, S> = (0..TRIALS).map(|t| (t, S::Waiting)).collect();
        let mut seqs: HashMap<u32, HashSet<u64>> = HashMap::new();
        let mut revision = 0;
        for call in calls {
            let applied = runtime.block_on(f.apply(call.clone()));
            prop_assert_eq!(applied.outcomes.len(), call.len());
            prop_assert!(applied.revision >= revision);
            revision = applied.revision;
            for (change, outcome) in call.iter().zip(applied.outcomes) {
                for t in 0..TRIALS {
                    match change {
                        Change::TrialStatus { trial, status, .. } if *trial == id(t) => {
                            let before = statuses[&t];
                            prop_assert_eq!(outcome == O::Stored, before.may_become(*status));
                            if outcome == O::Stored { statuses.insert(t, *status); }
                        }
                        Change::Metric { trial, place, .. } if *trial == id(t) => {
                            let new = seqs.entry(t).or_default().insert(place.seq());
                            prop_assert_eq!(outcome, if new { O::Stored } else { O::Repeated });
                        }
                        _ => {}
                    }
                }
            }
        }
        let reader = f.reader();
        for trial in reader.trials(&TrialFilter::all()).expect("readable") {
            let t = trial.spec.sequence_id;
            let metrics = reader.metrics(&trial.spec.id, None).expect("readable");
            prop_assert_eq!(trial.status, statuses[&t]);
            prop_assert_eq!(trial.ended_at.is_some(), trial.status.is_terminal());
            prop_assert_eq!(metrics.len(), seqs.get(&t).map_or(0, HashSet::len));
            prop_assert_eq!(trial.n_metrics, metrics.len() as u64);
            prop_assert!(metrics.is_sorted_by(|a, b| a.seq < b.seq));
            prop_assert!(metrics.last().is_none_or(|m| m.seq <= trial.cursor.seq()));
            prop_assert_eq!(trial.final_value.is_some(), metrics.iter().any(|m| m.kind == K::Final));
            prop_assert_eq!(trial.newest.as_ref(), metrics.last());
        }
    }
}
