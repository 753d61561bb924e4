//! What goes in comes out: trials, statuses, metrics, events, history; and what must not go in.

use super::{Fixture, created, cursor, id, metric, spec, status};
use std::time::Duration;
use ts_core::{CancelReason, Error, ErrorKind, Prepared, Reason, ReasonCode, Timestamp, TrialStatus as S};
use ts_manager::store::{
    Change, ExperimentStatus, Limits, MetricKind as K, MetricPlace as P, Optimize, Outcome as O, StoreHealth,
    TrialFilter,
};

#[tokio::test]
async fn a_trial_is_read_as_it_was_written() {
    let f = Fixture::new();
    let reason = Reason::new(ReasonCode::GpuBusy, "both GPUs are in use", Timestamp(3)).unblocked_by("trial `t7` ends");
    let waiting = Change::TrialStatus {
        trial: id(7),
        at: Timestamp(3),
        status: S::Waiting,
        reason: Some(reason.clone()),
    };
    let applied = f
        .apply(vec![
            created(7),
            waiting.clone(),
            waiting,
            Change::TrialSubmitted {
                trial: id(7),
                at: Timestamp(4),
                url: "/tmp/t7".into(),
            },
            Change::TrialCreated {
                spec: spec(8),
                at: Timestamp(5),
                retry_of: Some(id(7)),
            },
        ])
        .await;
    assert_eq!(
        applied.outcomes,
        [O::Stored, O::Stored, O::Repeated, O::Stored, O::Stored]
    );
    let reader = f.reader();
    let trial = reader.trial(&id(7)).unwrap().expect("stored");
    assert_eq!(trial.spec, spec(7));
    assert_eq!(trial.reason, Some(reason));
    assert_eq!((trial.submitted, trial.url.as_deref()), (true, Some("/tmp/t7")));
    assert_eq!(trial.submitted_at, Some(Timestamp(4)));
    assert_eq!((trial.retry_of, trial.attempt), (None, 1));
    let retry = reader.trial(&id(8)).unwrap().expect("stored");
    assert_eq!((retry.retry_of, retry.attempt), (Some(id(7)), 2));
    assert_eq!(reader.trial(&id(9)).unwrap(), None);
    assert_eq!(reader.experiment().unwrap().next_sequence_id, 9);
}

#[tokio::test]
async fn statuses_go_forward_only_and_an_end_is_final() {
    let f = Fixture::new();
    f.apply(vec![created(0)]).await;
    let steps = [
        (S::Running, O::Stored),
        (S::Waiting, O::Refused(S::Running)),
        (S::Unknown, O::Stored),
        (S::Unknown, O::Repeated),
        (S::Running, O::Stored),
        (S::Succeeded, O::Stored),
        (S::Succeeded, O::Repeated),
        (S::Failed, O::Refused(S::Succeeded)),
        (S::Running, O::Refused(S::Succeeded)),
    ];
    for (at, (to, expected)) in (10_i64..).zip(steps) {
        assert_eq!(f.apply(vec![status(0, to, at)]).await.outcomes, [expected], "{to}");
    }
    let trial = f.reader().trial(&id(0)).unwrap().expect("stored");
    assert_eq!(trial.status, S::Succeeded);
    assert_eq!(
        (trial.started_at, trial.ended_at),
        (Some(Timestamp(10)), Some(Timestamp(15)))
    );
    let kinds: Vec<_> = f
        .reader()
        .events(Some(&id(0)))
        .unwrap()
        .into_iter()
        .map(|e| e.kind)
        .collect();
    assert_eq!(kinds, ["created", "status", "status", "status", "status"]);
}

#[tokio::test]
async fn a_metric_is_stored_once_however_often_it_is_read() {
    let f = Fixture::new();
    f.apply(vec![created(0)]).await;
    let first = f
        .apply(vec![metric(0, 40, K::Intermediate, 0.5), metric(0, 80, K::Final, 0.9)])
        .await;
    assert!(first.is_new(0) && first.is_new(1) && !first.is_new(2));
    let again = f
        .apply(vec![
            metric(0, 40, K::Intermediate, 0.5),
            metric(0, 80, K::Final, 0.9),
            metric(0, 120, K::Intermediate, 0.4),
        ])
        .await;
    assert_eq!(again.outcomes, [O::Repeated, O::Repeated, O::Stored]);
    let reader = f.reader();
    let all = reader.metrics(&id(0), None).unwrap();
    assert_eq!(all.iter().map(|m| m.seq).collect::<Vec<_>>(), [40, 80, 120]);
    assert_eq!(reader.metrics(&id(0), Some(K::Final)).unwrap(), all[1..2]);
    let trial = reader.trial(&id(0)).unwrap().expect("stored");
    assert_eq!((trial.n_metrics, trial.final_number), (3, Some(0.9)));
    assert_eq!(trial.newest.as_ref(), all.last());
    assert_eq!(trial.cursor, cursor(120));
    assert_eq!(reader.latest_metrics().unwrap(), [(id(0), all[2].clone())]);
}

#[tokio::test]
async fn a_late_metric_moves_neither_the_cursor_nor_the_newest_back() {
    let f = Fixture::new();
    let late = metric(0, 40, K::Final, 0.1);
    let changes = vec![created(0), metric(0, 80, K::Final, 0.9), late];
    assert_eq!(f.apply(changes).await.outcomes, [O::Stored; 3]);
    let trial = f.reader().trial(&id(0)).unwrap().expect("stored");
    assert_eq!((trial.cursor, trial.n_metrics), (cursor(80), 2));
    assert_eq!((trial.final_number, trial.newest.map(|m| m.seq)), (Some(0.9), Some(80)));
}

#[tokio::test]
async fn values_that_json_cannot_write_survive() {
    let f = Fixture::new();
    let nan = Change::Metric {
        trial: id(0),
        at: Timestamp(1),
        place: P::Journal(cursor(9)),
        kind: K::Final,
        sequence: 0,
        value: r#"{"default": NaN, "k": "it's"}"#.into(),
        number: Some(f64::NAN),
        parameter_index: 0,
    };
    f.apply(vec![
        created(0),
        created(1),
        created(2),
        nan,
        metric(1, 9, K::Final, f64::INFINITY),
    ])
    .await;
    f.apply(vec![metric(2, 9, K::Final, -3.0)]).await;
    let reader = f.reader();
    let stored = &reader.metrics(&id(0), None).unwrap()[0];
    assert_eq!(stored.value, r#"{"default": NaN, "k": "it's"}"#);
    assert_eq!(stored.number, None);
    assert_eq!(reader.metrics(&id(1), None).unwrap()[0].number, Some(f64::INFINITY));
    let best = reader.best(Optimize::Maximize).unwrap().expect("one is finite");
    assert_eq!(best.spec.id, id(2));
}

#[tokio::test]
async fn the_first_request_to_end_stands() {
    let f = Fixture::new();
    let cancel = |reason| Change::CancelRequested {
        trial: id(0),
        at: Timestamp(1),
        reason,
    };
    let changes = vec![created(0), cancel(CancelReason::User), cancel(CancelReason::Shutdown)];
    assert_eq!(f.apply(changes).await.outcomes, [O::Stored, O::Stored, O::Repeated]);
    let stored = f.reader().trial(&id(0)).unwrap().expect("stored");
    assert_eq!(stored.cancel_requested, Some(CancelReason::User));
    let changes = vec![status(0, S::UserCanceled, 9), cancel(CancelReason::User)];
    assert_eq!(
        f.apply(changes).await.outcomes,
        [O::Stored, O::Refused(S::UserCanceled)]
    );
}

#[tokio::test]
async fn skipped_bytes_move_the_cursor_once() {
    let f = Fixture::new();
    let skipped = Change::JournalSkipped {
        trial: id(0),
        at: Timestamp(1),
        cursor: cursor(30),
        n_bytes: 30,
        problem: "no frame".into(),
    };
    let changes = vec![created(0), skipped.clone(), skipped];
    assert_eq!(f.apply(changes).await.outcomes, [O::Stored, O::Stored, O::Repeated]);
    assert_eq!(f.reader().unfinished().unwrap()[0].cursor, cursor(30));
}

#[tokio::test]
async fn the_experiment_keeps_its_account() {
    let f = Fixture::new();
    let now = |status, at| Change::ExperimentStatus {
        status,
        at: Timestamp(at),
        message: None,
    };
    let mut limits = Limits::new(5);
    limits.max_trials = Some(10);
    let receipt = Prepared::new(Some("sha256:ab".into()), "/code");
    let changes = vec![
        now(ExperimentStatus::Running, 5),
        Change::DurationAccumulated {
            by: Duration::from_millis(700),
            at: Timestamp(6),
        },
        now(ExperimentStatus::Done, 6),
        now(ExperimentStatus::Running, 7),
        Change::DurationAccumulated {
            by: Duration::from_millis(50),
            at: Timestamp(8),
        },
        Change::LimitsChanged {
            at: Timestamp(8),
            limits,
        },
        Change::CodePrepared {
            at: Timestamp(9),
            receipt: receipt.clone(),
        },
    ];
    let revision = f.apply(changes).await.revision;
    let stored = f.reader().experiment().unwrap();
    assert_eq!((stored.started, stored.ended), (Some(Timestamp(5)), None));
    assert_eq!(stored.duration, Duration::from_millis(750));
    assert_eq!((stored.limits, &stored.code), (limits, &Some(receipt)));
    assert_eq!((stored.revision, stored.status), (revision, ExperimentStatus::Running));
    assert_eq!(stored.config_text, "trialConcurrency: 2\n");
    assert_eq!(stored.config["trialConcurrency"], 2);

    let ran = |at, is_running| stored.duration_at(Timestamp(at), is_running).as_millis();
    assert_eq!((ran(8, true), ran(108, true)), (750, 850));
    assert_eq!(ran(108, false), 750, "a manager that was killed counts no more");
    assert_eq!(ran(0, true), 750, "the clock was set back");
    assert_eq!(ran(86_400_000, true), 10_750, "the clock was set forward");
    f.apply(vec![now(ExperimentStatus::Done, 9)]).await;
    let ended = f.reader().experiment().unwrap();
    assert_eq!(ended.duration_at(Timestamp(108), true).as_millis(), 750);
}

#[tokio::test]
async fn a_call_that_fails_leaves_nothing_and_harms_no_other() {
    let f = Fixture::new();
    let good = f.store.apply(vec![created(0)]);
    let taken = f.store.apply(vec![created(1), created(0)]);
    let unknown = f.store.apply(vec![created(2), status(99, S::Running, 1)]);
    let last = f.store.apply(vec![created(3)]);
    let (good, taken, unknown, last) = tokio::join!(good, taken, unknown, last);
    assert!(good.is_ok() && last.is_ok());
    assert_eq!(taken.as_ref().map_err(Error::kind), Err(ErrorKind::Conflict));
    assert_eq!(unknown.as_ref().map_err(Error::kind), Err(ErrorKind::NotFound));
    let stored: Vec<_> = f.reader().trials(&TrialFilter::all()).unwrap();
    assert_eq!(stored.iter().map(|t| t.spec.sequence_id).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(*f.store.health().borrow(), StoreHealth::Healthy);
}

#[tokio::test]
async fn filters_counts_best_and_history_agree() {
    let f = Fixture::new();
    f.apply((0..6).map(created).collect()).await;
    f.apply(vec![
        metric(1, 10, K::Intermediate, 0.1),
        metric(1, 20, K::Final, 0.2),
        metric(2, 10, K::Final, 0.8),
        metric(3, 10, K::Final, 0.8),
        status(1, S::Succeeded, 1),
        status(2, S::Succeeded, 2),
        status(4, S::Failed, 3),
        status(5, S::Running, 3),
    ])
    .await;
    let reader = f.reader();
    let numbers = |filter: TrialFilter| -> Vec<u32> {
        let trials = reader.trials(&filter).unwrap();
        trials.into_iter().map(|t| t.spec.sequence_id).collect()
    };
    assert_eq!(
        numbers(TrialFilter::all().in_status([S::Succeeded, S::Failed])),
        [1, 2, 4]
    );
    assert_eq!(numbers(TrialFilter::all().with_ids([id(5), id(0), id(77)])), [0, 5]);
    assert_eq!(numbers(TrialFilter::all().after(2).limit(2)), [3, 4]);
    let counts = reader.counts_by_status().unwrap();
    assert_eq!((counts.total(), counts.ended(), counts.of(S::Waiting)), (6, 3, 2));
    let best = |o| reader.best(o).unwrap().map(|t| t.spec.sequence_id);
    assert_eq!((best(Optimize::Maximize), best(Optimize::Minimize)), (Some(2), Some(1)));
    let live: Vec<_> = reader.unfinished().unwrap().into_iter().map(|t| t.spec).collect();
    assert_eq!(live, [spec(0), spec(3), spec(5)]);
    let mut past = Vec::new();
    reader
        .history(|trial| {
            past.push(trial);
            Ok(())
        })
        .unwrap();
    assert_eq!(past.len(), 6);
    assert_eq!(past[1].parameters, spec(1).parameters);
    assert_eq!(past[1].metrics, reader.metrics(&id(1), None).unwrap());
}
