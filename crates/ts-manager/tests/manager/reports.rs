//! What a trial reports by another way than its journal counts as if it came through it, once, also across a crash.

use crate::world::{World, limits, within};
use ts_core::{JournalCursor, TrialId, TrialStatus};
use ts_manager::{
    Manager, ManagerHandle, Notice,
    control::{Request, Response},
    store::{FIRST_REPORT, MetricKind},
};

/// Runs a manager while `work` goes on, and kills it then.
async fn during<T>(world: &World, work: impl AsyncFnOnce(ManagerHandle) -> T) -> T {
    let manager: Manager = world.manager();
    let handle = manager.handle();
    let run = Box::pin(manager.run());
    tokio::select! {
        outcome = run => panic!("the trial does not end by itself: {outcome:?}"),
        value = within(work(handle)) => value,
    }
}

async fn report(handle: &ManagerHandle, trial: &TrialId, bodies: &[&str]) -> Response {
    let bodies = bodies.iter().map(|body| (*body).to_owned()).collect();
    let trial = trial.clone();
    handle.ask(Request::Report { trial, bodies }).await.unwrap()
}

fn body(kind: &str, sequence: u32, value: &str) -> String {
    format!(
        r#"{{"parameter_id": 0, "trial_job_id": "x", "type": "{kind}", "sequence": {sequence}, "value": "{value}"}}"#
    )
}

const ASK: &str = r#"{"type": "REQUEST_PARAMETER"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_stored_in_their_order_behind_the_journal_also_after_a_crash() {
    let world = World::new("intermediate 7; wait", limits(1, 1));
    let id = during(&world, async |handle| {
        let id = world.trial_in(TrialStatus::Running).await;
        let answer = report(
            &handle,
            &id,
            &[&body("PERIODICAL", 0, "1"), "no metric", &body("PERIODICAL", 1, "2")],
        )
        .await;
        assert_eq!((answer.done.len(), answer.problems.len()), (1, 1), "{answer:?}");
        assert!(answer.problems[0].contains("not JSON"), "{answer:?}");
        let values: Vec<_> = world
            .reader()
            .metrics(&id, None)
            .unwrap()
            .into_iter()
            .map(|m| m.value)
            .collect();
        assert!(
            values.ends_with(&["1".into(), "2".into()]),
            "stored when answered: {values:?}"
        );
        let other = report(&handle, &TrialId::new("other").unwrap(), &[&body("FINAL", 0, "1")]).await;
        assert!(
            other.done.is_empty() && other.problems[0].contains("no trial `other`"),
            "{other:?}"
        );
        id
    })
    .await;
    during(&world, async |handle| {
        let answer = report(&handle, &id, &[&body("FINAL", 0, "0.5")]).await;
        assert!(answer.problems.is_empty(), "{answer:?}");
        while world.reader().metrics(&id, None).unwrap().len() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let metrics = world.reader().metrics(&id, None).unwrap();
    let facts: Vec<_> = metrics.iter().map(|m| (m.seq, m.kind, m.value.as_str())).collect();
    let (journal, kind) = (metrics[0].seq, MetricKind::Intermediate);
    let expected = [
        (journal, kind, "7"),
        (FIRST_REPORT, kind, "1"),
        (FIRST_REPORT + 1, kind, "2"),
        (FIRST_REPORT + 2, MetricKind::Final, "0.5"),
    ];
    assert_eq!(facts, expected);
    let trial = &world.trials()[0];
    assert!(
        trial.cursor.seq() == journal && trial.cursor != JournalCursor::default(),
        "the journal goes on where it was"
    );
    assert_eq!(trial.final_number, Some(0.5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ended_reports_nothing() {
    let world = World::new("wait", limits(1, 2));
    during(&world, async |handle| {
        let id = world.trial_in(TrialStatus::Running).await;
        world.cluster.finish(&id, 0).unwrap();
        while world.trials()[0].status != TrialStatus::Succeeded {
            tokio::task::yield_now().await;
        }
        let answer = report(&handle, &id, &[&body("FINAL", 0, "1")]).await;
        assert_eq!(answer.problems, [format!("trial `{id}` has ended")]);
        assert_eq!(world.reader().metrics(&id, None).unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_an_index_means_the_next_parameters_and_is_counted_across_a_crash() {
    let mut world = World::new("wait", limits(1, 1));
    world.multi_phase = true;
    let id = during(&world, async |handle| {
        let id = world.trial_in(TrialStatus::Running).await;
        assert_eq!(world.reader().requested_parameters(&id).unwrap(), None);
        let mut notices = handle.notices();
        report(&handle, &id, &[ASK]).await;
        let first = world.trials()[0].spec.parameters.text.clone();
        assert_eq!(
            world.reader().requested_parameters(&id).unwrap(),
            Some((0, Some(first)))
        );
        loop {
            if let Notice::Parameters { trial, index, .. } = notices.recv().await.unwrap() {
                assert_eq!((trial, index), (id.clone(), 0));
                break;
            }
        }
        id
    })
    .await;
    for n in 1..=2 {
        during(&world, async |handle| {
            let answer = report(&handle, &id, &[ASK]).await;
            assert!(answer.problems.is_empty(), "{answer:?}");
            let (index, text) = world.reader().requested_parameters(&id).unwrap().expect("asked for");
            assert_eq!(index, n);
            assert!(
                text.expect("answered at once")
                    .ends_with(&format!("\"parameter_index\": {n}}}"))
            );
        })
        .await;
    }
    let texts: Vec<_> = world.trials()[0]
        .phases
        .iter()
        .map(|phase| phase.parameters.clone().unwrap())
        .collect();
    assert!(texts.len() == 3 && texts[1] != texts[2], "{texts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_phases_a_trial_is_given_its_own_parameters_each_time() {
    let world = World::new("wait", limits(1, 1));
    during(&world, async |handle| {
        let id = world.trial_in(TrialStatus::Running).await;
        let answer = report(&handle, &id, &[ASK, ASK]).await;
        assert!(answer.problems.is_empty(), "{answer:?}");
        assert_eq!(world.reader().requested_parameters(&id).unwrap().expect("asked").0, 0);
        let further = r#"{"type": "REQUEST_PARAMETER", "parameter_index": 1}"#;
        let answer = report(&handle, &id, &[further]).await;
        assert!(answer.problems[0].contains("`multiPhase: true`"), "{answer:?}");
        assert_eq!(world.trials()[0].phases, []);
    })
    .await;
}
