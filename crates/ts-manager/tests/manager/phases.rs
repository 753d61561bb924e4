//! Trials that ask for further parameters: each gets its own, its results are of the parameters that they name, and a manager
//! that dies at any point loses and doubles nothing.

use crate::world::{World, limits, within};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    task::{Context, Poll, Waker},
};
use ts_core::TrialStatus;
use ts_manager::{
    store::{ExperimentStatus, MetricKind, Phase, TrialRow},
    view,
};
use ts_testkit::faults::{Fault, FaultPlan, Step};

/// Takes three sets of parameters as NNI's SDK does, and reports a result of each.
const THREE: &str = "next; score; next; score; next; score; exit 0";

fn world(command: &str, concurrency: u32, trials: u32) -> World {
    let mut world = World::new(command, limits(concurrency, trials));
    world.multi_phase = true;
    world
}

fn packed(phase: &Phase) -> Value {
    serde_json::from_str(phase.parameters.as_deref().expect("given")).expect("JSON")
}

/// Every phase has its own parameters, the result is their `x`, and the trial's result is the best of them.
fn assert_right(world: &World, trials: &[TrialRow], context: &str) {
    let mut ids = HashSet::new();
    for trial in trials {
        assert_eq!(trial.status, TrialStatus::Succeeded, "{context}");
        let indices: Vec<_> = trial.phases.iter().map(|phase| phase.index).collect();
        assert_eq!(indices, [0, 1, 2], "{context}");
        let mut best = f64::MIN;
        for phase in &trial.phases {
            let packed = packed(phase);
            assert_eq!(packed["parameter_index"], phase.index, "{context}");
            assert!(
                ids.insert(packed["parameter_id"].as_u64().expect("a number")),
                "{context}: twice {packed}"
            );
            let x = packed["parameters"]["x"].as_f64().expect("a number");
            assert_eq!(phase.final_number, Some(x), "{context}");
            best = best.max(x);
        }
        assert_eq!(trial.final_number, Some(best), "{context}");
        let metrics = world.reader().metrics(&trial.spec.id, Some(MetricKind::Final)).unwrap();
        let of: Vec<_> = metrics.iter().map(|metric| metric.parameter_index).collect();
        assert_eq!(of, [0, 1, 2], "{context}");
    }
    let told = world.told.lock().unwrap();
    let mut known = HashSet::new();
    for (parameters, value) in told.iter() {
        let packed: Value = serde_json::from_str(parameters).expect("JSON");
        assert_eq!(
            packed["parameters"]["x"].to_string(),
            *value,
            "{context}: told with another's parameters"
        );
        known.insert(packed["parameter_id"].to_string());
    }
    assert_eq!(known.len(), ids.len(), "{context}: each result is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_trial_gets_its_own_and_the_best_of_all_phases_is_known() {
    let world = world(THREE, 2, 4);
    let outcome = world.run().await;
    assert_eq!(outcome.status, ExperimentStatus::Done);
    let trials = world.trials();
    assert_eq!(trials.len(), 4, "phases are no trials");
    assert_right(&world, &trials, "no crash");
    let all = trials
        .iter()
        .flat_map(|t| &t.phases)
        .filter_map(|phase| phase.final_number);
    let best = all.fold(f64::MIN, f64::max);
    assert_eq!(outcome.snapshot.best.map(|(number, _)| number), Some(best));
    let stored = world
        .reader()
        .best(ts_manager::store::Optimize::Maximize)
        .unwrap()
        .expect("a best");
    assert_eq!(stored.final_number, Some(best));
    let shown = view::trial(&trials[0]);
    assert_eq!(shown["phases"].as_array().expect("phases").len(), 3);
    assert_eq!(shown["phases"][2]["parameters"]["parameter_index"], 2);
}

/// Polls the manager so often, with the rest of the runtime running in between, then drops it.
async fn run_and_crash(world: &World, polls: u32) -> bool {
    let mut run = pin!(world.manager().run());
    for _ in 0..polls {
        if let Poll::Ready(outcome) = run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            assert_eq!(outcome.unwrap().status, ExperimentStatus::Done);
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_the_manager_dies_every_phase_is_given_once_and_every_result_counts() {
    let mut crashes = 0;
    for stride in [13, 80, 250] {
        let world = world(THREE, 2, 3);
        let mut polls = stride;
        while !run_and_crash(&world, polls).await {
            crashes += 1;
            polls += stride;
            assert!(polls < 1_000_000, "no progress: {:?}", world.statuses());
        }
        assert_right(&world, &world.trials(), &format!("stride {stride}"));
    }
    assert!(crashes > 5, "only {crashes} crashes: the test does not test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_that_do_not_get_through_are_sent_again() {
    for fault in [Fault::Refused, Fault::ResetBefore, Fault::ResetAfter] {
        let mut world = world(THREE, 1, 1);
        world.faults = FaultPlan::new().on(Step::SendParameters, 1, fault);
        assert_eq!(world.run().await.status, ExperimentStatus::Done);
        assert_right(&world, &world.trials(), &format!("{fault:?}"));
        assert_eq!(world.faults.injected().len(), 1, "{fault:?}");
    }
    for polls in 0..3 {
        let mut world = world(THREE, 1, 1);
        world.faults = FaultPlan::new().on(Step::SendParameters, 2, Fault::Crash { polls });
        let crashed = within(Box::pin(async {
            tokio::select! {
                outcome = world.run() => panic!("no crash: {outcome:?}"),
                () = world.faults.until_crash() => true,
            }
        }));
        assert!(crashed.await);
        let stored = &world.trials()[0].phases;
        assert!(
            stored[2].parameters.is_some() && !stored[2].delivered,
            "stored before it is sent: {stored:?}"
        );
        let before = stored[2].parameters.clone();
        world.faults = FaultPlan::new();
        assert_eq!(world.run().await.status, ExperimentStatus::Done);
        assert_right(&world, &world.trials(), &format!("crash after {polls} polls"));
        assert_eq!(world.trials()[0].phases[2].parameters, before, "the same again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_nobody_answered_is_made_again_by_the_next_manager() {
    let mut world = world(THREE, 1, 1);
    world.mute = true;
    let asked = async {
        while world.trials().first().is_none_or(|trial| trial.phases.is_empty()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        outcome = Box::pin(world.manager().run()) => panic!("nobody answers the trial: {outcome:?}"),
        () = within(asked) => {}
    }
    let phases = &world.trials()[0].phases;
    assert!(phases.len() == 2 && phases[1].parameters.is_none(), "{phases:?}");
    let id = world.trials()[0].spec.id.clone();
    assert_eq!(world.reader().requested_parameters(&id).unwrap(), Some((1, None)));
    world.mute = false;
    assert_eq!(world.run().await.status, ExperimentStatus::Done);
    assert_right(&world, &world.trials(), "mute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_has_no_more_says_so_to_the_trial() {
    // The third set is not there; the trial reports what it had before once more, without an id.
    let mut world = world("next; score; next; score; next; score; final 9; exit 0", 1, 1);
    world.points = Some(2);
    assert_eq!(world.run().await.status, ExperimentStatus::Done);
    let trial = &world.trials()[0];
    assert_eq!(trial.phases.len(), 3);
    assert_eq!(trial.phases[2].usable(), None);
    assert_eq!(packed(&trial.phases[2])["parameters"], Value::Null);
    let results: HashMap<_, _> = trial
        .phases
        .iter()
        .map(|phase| (phase.index, phase.final_number))
        .collect();
    assert_eq!(
        results,
        [(0, Some(1.0)), (1, Some(9.0)), (2, None)].into(),
        "what names nothing is of the newest"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_more_begins_with_the_same_and_goes_on_with_new_parameters() {
    let mut world = world("next; score; next; score; exit 1", 1, 1);
    world.retry.user_code = 1;
    assert_eq!(world.run().await.status, ExperimentStatus::Done);
    let trials = world.trials();
    assert_eq!(trials.len(), 2);
    let [first, second] = [0, 1].map(|n| (packed(&trials[n].phases[0]), packed(&trials[n].phases[1])));
    assert_eq!(first.0, second.0);
    assert_ne!(first.1["parameter_id"], second.1["parameter_id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_phases_a_request_is_passed_over_with_what_to_do() {
    let mut world = world(
        "next; score; metric {\"type\": \"REQUEST_PARAMETER\", \"parameter_index\": 1}; exit 0",
        1,
        1,
    );
    world.multi_phase = false;
    assert_eq!(world.run().await.status, ExperimentStatus::Done);
    let trial = &world.trials()[0];
    assert_eq!((trial.status, trial.phases.len()), (TrialStatus::Succeeded, 0));
    let events = world.reader().events(Some(&trial.spec.id)).unwrap();
    let skipped = events
        .iter()
        .find(|event| event.kind == "journalSkipped")
        .expect("noted");
    assert!(
        skipped.data["problem"].as_str().unwrap().contains("`multiPhase: true`"),
        "{skipped:?}"
    );
}
