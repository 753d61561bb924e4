//! The simulated platform keeps the promises that do not need real commands, and its counts add up.

use futures_util::{StreamExt, stream::BoxStream};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use ts_core::{
    CancelReason, CleanupScope, Clock, CodeDirectory, Event, ExperimentSpec, IdSource, JournalCursor, Parameters,
    Prepared, ReasonCode, Result, TrainingService, TrialId, TrialRecord, TrialSpec, TrialStatus, WatchRequest,
};
use ts_testkit::{
    SeededIds, TestClock,
    simulated::{Durations, Objective, SimulatedCluster, SimulatedService, Simulation},
};

struct World {
    clock: TestClock,
    cluster: SimulatedCluster,
    spec: ExperimentSpec,
    service: SimulatedService,
}

impl World {
    fn new(simulation: Simulation) -> Self {
        let clock = TestClock::new();
        let cluster = SimulatedCluster::new(simulation, &clock);
        let spec = ExperimentSpec::new(SeededIds::new(0).experiment(), CodeDirectory::new("/code"), "simulated");
        Self {
            service: SimulatedService::new(&cluster, spec.id.clone()),
            clock,
            cluster,
            spec,
        }
    }

    async fn submit(&self, n: u32) -> TrialSpec {
        let id = TrialId::new(&format!("t{n}")).expect("a legal id");
        let text = format!(r#"{{"parameter_id": {n}, "parameters": {{"x": {n}}}}}"#);
        let trial = TrialSpec::new(&self.spec, id, n, Parameters::new(text));
        let code = Prepared::new(None, "simulated:code");
        self.service.submit(&code, &trial).await.expect("submit");
        trial
    }
}

async fn next(watch: &mut BoxStream<'static, Result<Event>>) -> Event {
    watch.next().await.expect("it goes on").expect("no error")
}

/// Reads until `n` trials have ended; gives all events.
async fn until_ended(watch: &mut BoxStream<'static, Result<Event>>, n: usize) -> Vec<Event> {
    let (mut events, mut n_ended) = (Vec::new(), 0);
    while n_ended < n {
        let event = next(watch).await;
        n_ended += usize::from(matches!(&event, Event::Status { status, .. } if status.is_terminal()));
        events.push(event);
    }
    events
}

fn lively() -> Simulation {
    let mut simulation = Simulation::new(5);
    simulation.slots = 20;
    simulation.failure_rate = 0.2;
    simulation.loss_rate = 0.1;
    simulation.late_rate = 0.3;
    simulation.n_metrics = 3;
    simulation
}

#[tokio::test]
async fn twenty_thousand_trials_add_up_and_are_freed() {
    const N: u32 = 20_000;
    let world = World::new(lively());
    let mut watch = world.service.watch(WatchRequest::new());
    let mut last: HashMap<TrialId, (TrialStatus, u64)> = HashMap::new();
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut n_submitted, mut n_running, mut n_final) = (0, 0, 0_u32);
    while ends.values().sum::<u32>() < N {
        while world.cluster.n_live() < 30 && n_submitted < N {
            world.submit(n_submitted).await;
            n_submitted += 1;
        }
        match next(&mut watch).await {
            Event::Status { trial, status, .. } => {
                let entry = last.entry(trial.clone()).or_insert((TrialStatus::Unknown, 0));
                assert!(entry.0.may_become(status), "{trial}: {} to {status}", entry.0);
                entry.0 = status;
                n_running += i32::from(status == TrialStatus::Running);
                assert!(n_running <= 20, "more than the slots");
                if status.is_terminal() {
                    n_running -= 1;
                    last.remove(&trial);
                    *ends.entry(status.as_str()).or_default() += 1;
                }
            }
            Event::Metric {
                trial, cursor, body, ..
            } => {
                let entry = last.get_mut(&trial).expect("no metric after the end");
                assert!(cursor.seq() > entry.1, "{trial}");
                entry.1 = cursor.seq();
                n_final += u32::from(body.contains("FINAL"));
            }
            Event::Synced => {}
            other => panic!("not simulated: {other:?}"),
        }
    }
    assert_eq!(
        ends["SUCCEEDED"], n_final,
        "each success and nothing else has a final metric"
    );
    for (status, share) in [("SUCCEEDED", 0.7), ("FAILED", 0.2), ("SYS_CANCELED", 0.1)] {
        let seen = f64::from(ends[status]) / f64::from(N);
        assert!((seen - share).abs() < 0.02, "{status}: {seen}");
    }
    assert_eq!(world.cluster.n_live(), 0);
    assert!(
        world.clock.monotonic() > Duration::from_hours(24),
        "virtual time passed"
    );
}

#[tokio::test]
async fn a_seed_gives_the_same_events_again() {
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let mut simulation = lively();
        simulation.seed = seed;
        let world = World::new(simulation);
        for n in 0..100 {
            world.submit(n).await;
        }
        let mut watch = world.service.watch(WatchRequest::new());
        runs.push(until_ended(&mut watch, 100).await);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn the_objective_sees_the_parameters() {
    let mut simulation = Simulation::new(0);
    simulation.objective = Objective::Function(Arc::new(|parameters| parameters.text.len() as f64));
    let world = World::new(simulation);
    let trial = world.submit(0).await;
    let mut watch = world.service.watch(WatchRequest::new());
    let events = until_ended(&mut watch, 1).await;
    let value = format!(r#""value": "{}""#, trial.parameters.text.len());
    let is_result = |event: &Event| matches!(event, Event::Metric { body, .. } if body.contains(&value));
    assert_eq!(events.iter().filter(|event| is_result(event)).count(), 1, "{events:?}");
}

#[tokio::test]
async fn canceled_trials_end_now_and_free_their_slot() {
    let mut simulation = Simulation::new(0);
    simulation.slots = 1;
    simulation.durations = Durations::Fixed(Duration::from_hours(1));
    let world = World::new(simulation);
    let mut watch = world.service.watch(WatchRequest::new());
    let (first, second) = (world.submit(0).await, world.submit(1).await);
    while !matches!(
        next(&mut watch).await,
        Event::Status {
            status: TrialStatus::Running,
            ..
        }
    ) {}
    world
        .service
        .cancel(&first.id, CancelReason::EarlyStop)
        .await
        .expect("cancel");
    world
        .service
        .cancel(&first.id, CancelReason::EarlyStop)
        .await
        .expect("cancel again");
    let events = until_ended(&mut watch, 2).await;
    let ends: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Status { trial, status, why, .. } if status.is_terminal() => {
                Some((trial.clone(), *status, why.as_ref().map(|why| why.code)))
            }
            _ => None,
        })
        .collect();
    let expected = [
        (first.id, TrialStatus::EarlyStopped, Some(ReasonCode::EarlyStopped)),
        (second.id, TrialStatus::Succeeded, None),
    ];
    assert_eq!(ends, expected);
    assert_eq!(
        world.clock.monotonic(),
        Duration::from_secs(3602),
        "nobody waited for the canceled one's hour"
    );
}

#[tokio::test]
async fn a_sleeper_that_wakes_earlier_comes_first() {
    let mut simulation = Simulation::new(0);
    simulation.durations = Durations::Fixed(Duration::from_hours(1));
    let world = World::new(simulation);
    let trial = world.submit(0).await;
    let limit = async {
        world.clock.sleep(Duration::from_mins(10)).await;
        world
            .service
            .cancel(&trial.id, CancelReason::TimeLimit)
            .await
            .expect("cancel");
    };
    let mut watch = world.service.watch(WatchRequest::new());
    let (events, ()) = tokio::join!(until_ended(&mut watch, 1), limit);
    let end = events.last().expect("an end");
    assert!(
        matches!(
            end,
            Event::Status {
                status: TrialStatus::EarlyStopped,
                ..
            }
        ),
        "{end:?}"
    );
    assert_eq!(world.clock.monotonic(), Duration::from_mins(10));
}

#[tokio::test]
async fn a_new_manager_recovers_live_and_ended_trials_with_the_same_cursors() {
    let mut simulation = lively();
    simulation.slots = 3;
    let mut world = World::new(simulation);
    let mut trials = Vec::new();
    for n in 0..10 {
        trials.push(world.submit(n).await);
    }
    let mut watch = world.service.watch(WatchRequest::new());
    let mut before = until_ended(&mut watch, 5).await;
    world.service = SimulatedService::new(&world.cluster, world.spec.id.clone());
    let record =
        |trial: &TrialSpec| TrialRecord::new(trial.clone(), true, TrialStatus::Waiting, JournalCursor::default());
    let mut known: Vec<_> = trials.iter().skip(1).map(record).collect();
    let mut never = trials[0].clone();
    never.id = TrialId::new("never").expect("a legal id");
    known.push(record(&never));
    let found = world.service.recover(&known).await.expect("recover");
    assert_eq!(
        (found.adopted.len(), found.lost, found.strays),
        (9, vec![never.id], vec![trials[0].id.clone()])
    );
    for _ in 0..2 {
        world.service.recover(&[record(&trials[0])]).await.expect("recover");
    }

    let mut new_watch = world.service.watch(WatchRequest::new());
    let replaced = watch.next().await.expect("a last item");
    assert!(
        replaced.is_err() && watch.next().await.is_none(),
        "two watches would share the events"
    );
    let after = until_ended(&mut new_watch, 10).await;
    let metrics = |events: &[Event]| -> BTreeMap<(String, u64), String> {
        let metrics = events.iter().filter_map(|event| match event {
            Event::Metric {
                trial, cursor, body, ..
            } => Some(((trial.to_string(), cursor.seq()), body.clone())),
            _ => None,
        });
        metrics.collect()
    };
    let all = metrics(&after);
    before.retain(|event| matches!(event, Event::Metric { .. }));
    assert!(!before.is_empty());
    for (key, body) in metrics(&before) {
        assert_eq!(all.get(&key), Some(&body), "{key:?}");
    }
    let report = world.service.cleanup(&CleanupScope::Experiment).await;
    assert_eq!(report.removed, 10);
    assert_eq!(world.service.cleanup(&CleanupScope::Experiment).await.removed, 0);
}
