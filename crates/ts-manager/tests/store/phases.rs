//! Parameters that a trial asks for: requested, given, delivered once each, with results of their own.

use super::{Fixture, created, cursor, id, metric};
use ts_core::{Parameters, Timestamp};
use ts_manager::store::{Change, FIRST_REPORT, MetricKind as K, MetricPlace as P, Outcome as O};

fn asked(index: u32, at: Option<u64>, is_counted: bool) -> Change {
    Change::ParametersRequested {
        trial: id(0),
        at: Timestamp(5),
        index,
        cursor: at.map(cursor),
        is_counted,
    }
}

fn given(index: u32, text: &str) -> Change {
    Change::ParametersSent {
        trial: id(0),
        at: Timestamp(6),
        parameters: Parameters {
            text: text.into(),
            index,
        },
    }
}

fn of(change: Change, index: u32) -> Change {
    match change {
        Change::Metric {
            trial,
            at,
            place,
            kind,
            sequence,
            value,
            number,
            ..
        } => Change::Metric {
            trial,
            at,
            place,
            kind,
            sequence,
            value,
            number,
            parameter_index: index,
        },
        other => other,
    }
}

#[tokio::test]
async fn what_is_asked_for_is_kept_until_it_is_there_and_delivered() {
    let f = Fixture::new();
    f.apply(vec![created(0)]).await;
    assert_eq!(f.reader().requested_parameters(&id(0)).unwrap(), None);
    assert_eq!(f.apply(vec![asked(1, Some(40), false)]).await.outcomes, [O::Stored]);
    let again = f.apply(vec![asked(1, Some(40), false)]).await;
    assert_eq!(again.outcomes, [O::Repeated], "the journal is read again after a crash");
    let trial = f.reader().trial(&id(0)).unwrap().unwrap();
    assert_eq!((trial.cursor, trial.phases.len(), trial.n_requests), (cursor(40), 2, 0));
    assert_eq!(f.reader().requested_parameters(&id(0)).unwrap(), Some((1, None)));
    let outcomes = f
        .apply(vec![given(1, "{\"p\": 1}"), given(1, "{\"p\": 2}")])
        .await
        .outcomes;
    assert_eq!(outcomes, [O::Stored, O::Repeated], "the first answer stands");
    let delivered = || Change::ParametersDelivered { trial: id(0), index: 1 };
    assert_eq!(
        f.apply(vec![delivered(), delivered()]).await.outcomes,
        [O::Stored, O::Repeated]
    );
    let requested = f.reader().requested_parameters(&id(0)).unwrap();
    assert_eq!(requested, Some((1, Some("{\"p\": 1}".into()))));
    f.apply(vec![asked(0, None, true), asked(1, None, true)]).await;
    let trial = f.reader().trial(&id(0)).unwrap().unwrap();
    assert_eq!((trial.n_requests, trial.cursor), (2, cursor(40)));
    assert!(trial.phases[1].delivered);
    let kinds: Vec<_> = f
        .reader()
        .events(Some(&id(0)))
        .unwrap()
        .into_iter()
        .map(|e| e.kind)
        .collect();
    assert_eq!(
        kinds,
        ["created", "parametersRequested", "parameters", "parametersRequested"]
    );
}

#[tokio::test]
async fn each_phase_has_its_result_and_the_chosen_one_is_the_trials() {
    let f = Fixture::new();
    f.apply(vec![created(0), metric(0, 10, K::Final, 0.9)]).await;
    f.apply(vec![
        asked(1, Some(20), false),
        given(1, "{}"),
        of(metric(0, 30, K::Final, 0.4), 1),
    ])
    .await;
    let trial = f.reader().trial(&id(0)).unwrap().unwrap();
    let results: Vec<_> = trial.phases.iter().map(|phase| phase.final_number).collect();
    assert_eq!(results, [Some(0.9), Some(0.4)]);
    assert_eq!(trial.final_number, Some(0.4), "the last one until another is chosen");
    let chosen = Change::ResultChosen { trial: id(0), index: 0 };
    f.apply(vec![chosen]).await;
    let trial = f.reader().trial(&id(0)).unwrap().unwrap();
    assert_eq!(
        (trial.final_number, trial.newest.unwrap().parameter_index),
        (Some(0.9), 1)
    );
    // The same phase again: its result is replaced, and is the trial's once more.
    f.apply(vec![of(metric(0, 40, K::Final, 0.95), 0)]).await;
    let trial = f.reader().trial(&id(0)).unwrap().unwrap();
    assert_eq!(
        (trial.final_number, trial.phases[0].final_number),
        (Some(0.95), Some(0.95))
    );
}

#[tokio::test]
async fn a_metric_beside_the_journal_is_stored_once_and_leaves_the_journal_where_it_is() {
    let f = Fixture::new();
    let reported = || Change::Metric {
        trial: id(0),
        at: Timestamp(9),
        place: P::Apart(FIRST_REPORT),
        kind: K::Final,
        sequence: 0,
        value: "7".into(),
        number: Some(7.0),
        parameter_index: 0,
    };
    let changes = vec![created(0), metric(0, 40, K::Intermediate, 0.5), reported(), reported()];
    let outcomes = f.apply(changes).await.outcomes;
    assert_eq!(outcomes, [O::Stored, O::Stored, O::Stored, O::Repeated]);
    let trial = f.reader().trial(&id(0)).unwrap().unwrap();
    assert_eq!(
        (trial.cursor, trial.final_number, trial.n_metrics),
        (cursor(40), Some(7.0), 2)
    );
}
