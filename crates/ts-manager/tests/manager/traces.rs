//! Traces of what the manager did: the spans of each trial's way, over failures, requests, attempts and managers.

use crate::world::{World, limits, within};
use opentelemetry::{
    Context, Value,
    trace::{SpanId, SpanKind, Status},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Config, Sampler, Span, SpanData, SpanProcessor},
};
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context as TaskContext, Waker},
    time::Duration,
};
use ts_core::{TrialId, TrialStatus};
use ts_manager::{
    Manager, Observer as _, Outcome, RetryRules,
    control::Request,
    store::ExperimentStatus,
    trace::{Traces, names},
};
use ts_testkit::{
    TestClock,
    faults::{Fault, FaultPlan, Step},
};

/// Keeps the spans that are handed over.
#[derive(Debug, Default)]
struct Spans(Mutex<Vec<SpanData>>);

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}
    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
    fn set_resource(&mut self, _: &Resource) {}
}

impl Spans {
    fn named(&self, name: &str) -> Vec<SpanData> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|span| span.name == name).cloned().collect()
    }

    /// Number of spans by name.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for span in self.0.lock().unwrap().iter() {
            *counts.entry(span.name.to_string()).or_default() += 1;
        }
        counts
    }
}

fn traces(world: &World, config: Config, spans: &Arc<Spans>) -> Traces {
    let processor: Arc<dyn SpanProcessor> = Arc::clone(spans) as _;
    Traces::new(config, processor, world.id.clone(), "memory")
}

fn traced(world: &World, spans: &Arc<Spans>) -> Manager {
    let mut manager = world.manager();
    manager.observed_by(Box::new(traces(world, Config::default(), spans)));
    manager
}

async fn run(world: &World, spans: &Arc<Spans>) -> Outcome {
    within(traced(world, spans).run()).await.unwrap()
}

fn attribute(span: &SpanData, name: &str) -> Option<Value> {
    let found = span.attributes.iter().find(|one| one.key.as_str() == name);
    found.map(|one| one.value.clone())
}

fn text(span: &SpanData, name: &str) -> String {
    attribute(span, name).map_or_else(String::new, |value| value.as_str().into_owned())
}

fn root_of(spans: &Spans, trial: &TrialId) -> SpanData {
    let of_trial = |span: &SpanData| text(span, names::TRIAL_ID) == trial.as_str();
    let mut roots: Vec<_> = spans.named(names::TRIAL).into_iter().filter(of_trial).collect();
    assert_eq!(roots.len(), 1, "{trial}: {roots:?}");
    roots.remove(0)
}

#[tokio::test]
async fn a_trial_has_a_trace_with_a_span_for_each_part_of_its_way() {
    let world = World::new("intermediate 0.1; gate seen; final 0.5; exit 0", limits(2, 2));
    let spans = Arc::new(Spans::default());
    let all_run = async {
        while world.statuses().get("RUNNING") != Some(&2) {
            tokio::task::yield_now().await;
        }
        world.cluster.open_gate("seen");
    };
    let (outcome, ()) = tokio::join!(run(&world, &spans), within(all_run));
    assert_eq!(outcome.status, ExperimentStatus::Done);
    let counts = spans.counts();
    let expected = [
        ("experiment", 1),
        ("running", 2),
        ("submit", 2),
        ("trial", 2),
        ("waiting", 2),
    ];
    assert_eq!(counts, expected.map(|(name, n)| (name.to_owned(), n)).into());

    let experiment = spans.named(names::EXPERIMENT).remove(0);
    assert_eq!(text(&experiment, names::STATUS), "DONE");
    assert_eq!(attribute(&experiment, names::TRIALS_ENDED), Some(Value::I64(2)));
    for row in world.trials() {
        let root = root_of(&spans, &row.spec.id);
        assert_eq!(root.parent_span_id, SpanId::INVALID);
        assert_eq!(root.status, Status::Unset);
        assert_eq!(root.links.links[0].span_context, experiment.span_context);
        assert_eq!(text(&root, names::EXPERIMENT_ID), world.id.as_str());
        assert_eq!(text(&root, names::PLATFORM), "memory");
        assert_eq!(text(&root, names::STATUS), "SUCCEEDED");
        let number = i64::from(row.spec.sequence_id);
        assert_eq!(attribute(&root, names::SEQUENCE_ID), Some(Value::I64(number)));
        assert_eq!(attribute(&root, names::METRICS), Some(Value::I64(2)));
        for name in [names::WAITING, "submit", names::RUNNING] {
            let trace = root.span_context.trace_id();
            let mut parts = spans.named(name);
            parts.retain(|part| part.span_context.trace_id() == trace);
            assert_eq!(parts.len(), 1, "{name}");
            assert_eq!(parts[0].parent_span_id, root.span_context.span_id(), "{name}");
            assert!(
                root.start_time <= parts[0].start_time && parts[0].start_time <= parts[0].end_time,
                "{name}"
            );
            let kind = if name == "submit" {
                SpanKind::Client
            } else {
                SpanKind::Internal
            };
            assert_eq!(parts[0].span_kind, kind, "{name}");
        }
    }
}

#[tokio::test]
async fn a_failure_is_an_error_and_says_nothing_that_the_trial_wrote() {
    let world = World::new("stderr hunter2; exit 3", limits(1, 1));
    let spans = Arc::new(Spans::default());
    run(&world, &spans).await;
    let root = root_of(&spans, &world.trials()[0].spec.id);
    assert_eq!(root.status, Status::error("ExitCode"));
    for (name, expected) in [
        (names::STATUS, "FAILED"),
        (names::REASON, "ExitCode"),
        (names::VERDICT, "userCode"),
        (names::ERROR_TYPE, "ExitCode"),
    ] {
        assert_eq!(text(&root, name), expected, "{name}");
    }
    let reason = world.trials()[0].reason.clone().unwrap();
    assert!(
        reason.message.contains("hunter2"),
        "else this tests nothing: {reason:?}"
    );
    let all = format!("{:?}", spans.0.lock().unwrap());
    assert!(!all.contains("hunter2"), "{all}");
    let parameters = &world.trials()[0].spec.parameters.text;
    assert!(!all.contains(&**parameters), "{all}");
}

#[tokio::test]
async fn each_attempt_to_submit_is_a_span_and_what_it_waits_for_an_event() {
    let clock = TestClock::new();
    let mut world = World::with_clock("exit 0", limits(1, 1), Arc::new(clock.clone()));
    world.faults = FaultPlan::new()
        .on(Step::Submit, 1, Fault::Refused)
        .on(Step::Submit, 2, Fault::Refused);
    let spans = Arc::new(Spans::default());
    let hurry = async {
        loop {
            clock.until_sleepers(1).await;
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            clock.advance(Duration::from_millis(100));
        }
    };
    tokio::select! {
        outcome = run(&world, &spans) => assert_eq!(outcome.status, ExperimentStatus::Done),
        () = hurry => unreachable!("hurries for ever"),
    }
    let mut submits = spans.named("submit");
    submits.sort_by_key(|span| span.start_time);
    let is_error: Vec<_> = submits.iter().map(|span| span.status != Status::Unset).collect();
    assert_eq!(is_error, [true, true, false]);
    assert_eq!(text(&submits[0], names::ERROR_TYPE), "Unreachable");
    let waiting = spans.named(names::WAITING).remove(0);
    assert!(waiting.end_time >= submits[2].start_time);
    let event = &waiting.events.events[0];
    assert_eq!(event.name, names::STATUS_EVENT);
    let event_says = |name: &str| event.attributes.iter().any(|one| one.key.as_str() == name);
    assert!(
        event_says(names::REASON) && event_says(names::REASON_MESSAGE),
        "{event:?}"
    );
}

#[tokio::test]
async fn a_request_to_end_and_a_further_attempt_can_be_followed() {
    let mut world = World::new("wait", limits(1, 1));
    world.retry = RetryRules {
        platform: 1,
        ..RetryRules::default()
    };
    let spans = Arc::new(Spans::default());
    let manager = traced(&world, &spans);
    let handle = manager.handle();
    let test = async {
        let first = world.trial_in(TrialStatus::Running).await;
        world.cluster.lose(&first).unwrap();
        world.trial_in(TrialStatus::SysCanceled).await;
        let second = world.trial_in(TrialStatus::Running).await;
        let cancel = Request::Cancel {
            trials: vec![second.clone()],
        };
        handle.ask(cancel).await.unwrap();
        (first, second)
    };
    let (outcome, (first, second)) = within(async { tokio::join!(manager.run(), test) }).await;
    assert_eq!(outcome.unwrap().status, ExperimentStatus::Done);
    let (lost, canceled) = (root_of(&spans, &first), root_of(&spans, &second));
    assert_eq!(lost.status, Status::error("Lost"));
    assert_eq!(text(&canceled, names::RETRY_OF), first.as_str());
    assert_eq!(canceled.links.links[1].span_context, lost.span_context);
    assert_eq!(canceled.status, Status::Unset);
    assert_eq!(text(&canceled, names::CANCEL_REASON), "user");
    let events: Vec<_> = canceled.events.iter().map(|event| &*event.name).collect();
    assert_eq!(events, [names::CANCEL_EVENT]);
    let cancel = spans.named("cancel").remove(0);
    assert_eq!(cancel.parent_span_id, canceled.span_context.span_id());
}

#[tokio::test]
async fn further_parameters_are_requests_too_and_do_not_show() {
    let mut world = World::new("next; score; next; score; exit 0", limits(1, 1));
    world.multi_phase = true;
    let spans = Arc::new(Spans::default());
    assert_eq!(run(&world, &spans).await.status, ExperimentStatus::Done);
    let trial = world.trials().remove(0);
    let root = root_of(&spans, &trial.spec.id);
    assert_eq!(attribute(&root, names::METRICS), Some(Value::I64(2)));
    let sends = spans.named("send_parameters");
    assert_eq!(sends.len(), 1, "{sends:?}");
    assert_eq!(attribute(&sends[0], names::PARAMETERS_INDEX), Some(Value::I64(1)));
    assert_eq!(sends[0].parent_span_id, root.span_context.span_id());
    let all = format!("{:?}", spans.0.lock().unwrap());
    for phase in &trial.phases {
        let number = phase.final_number.expect("a result").to_string();
        assert!(!all.contains(&number), "{number}: {all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_manager_goes_on_with_the_trace() {
    let world = World::new("wait", limits(1, 1));
    let spans = Arc::new(Spans::default());
    let mut first = Box::pin(traced(&world, &spans).run());
    let trial = tokio::select! {
        _ = &mut first => panic!("the trial does not end by itself"),
        trial = world.trial_in(TrialStatus::Running) => trial,
    };
    drop(first);
    let before = spans.counts();
    assert!(
        !before.contains_key(names::TRIAL) && !before.contains_key(names::RUNNING),
        "{before:?}"
    );
    world.cluster.finish(&trial, 0).unwrap();
    assert_eq!(run(&world, &spans).await.status, ExperimentStatus::Done);

    let row = world.trials().remove(0);
    let (root, running) = (root_of(&spans, &trial), spans.named(names::RUNNING).remove(0));
    let millis = |at: std::time::SystemTime| at.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(millis(root.start_time), u128::try_from(row.created_at.0).unwrap());
    assert_eq!(
        millis(running.start_time),
        u128::try_from(row.started_at.unwrap().0).unwrap()
    );
    assert!(root.events.iter().any(|event| event.name == names::RESUMED_EVENT));
    let context = &root.span_context;
    assert_eq!(
        traces(&world, Config::default(), &spans).traceparent(&trial),
        Some(format!("00-{}-{}-01", context.trace_id(), context.span_id()))
    );
    for part in spans.named(names::WAITING).iter().chain([&running]) {
        assert_eq!(part.span_context.trace_id(), context.trace_id());
        assert_eq!(part.parent_span_id, context.span_id());
    }
    let experiment = spans.named(names::EXPERIMENT);
    assert_eq!(
        experiment.len(),
        1,
        "of the run that ended, not of the one that was killed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_the_manager_dies_no_span_is_told_twice() {
    for stride in [97, 211] {
        let world = World::new("intermediate 1; final 3; exit 0", limits(4, 6));
        let spans = Arc::new(Spans::default());
        let mut polls = stride;
        let mut is_done = false;
        while !is_done {
            let mut manager = pin!(traced(&world, &spans).run());
            for _ in 0..polls {
                is_done = manager
                    .as_mut()
                    .poll(&mut TaskContext::from_waker(Waker::noop()))
                    .is_ready();
                if is_done {
                    break;
                }
                tokio::task::yield_now().await;
            }
            polls += stride;
            assert!(polls < 1_000_000, "no progress: {:?}", world.statuses());
        }
        let mut ids: Vec<_> = {
            let all = spans.0.lock().unwrap();
            all.iter().map(|span| span.span_context.span_id().to_string()).collect()
        };
        let n = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), n, "stride {stride}: {:?}", spans.counts());
        // Those of trials may all be lost: each time the manager may die between the store's answer and the word of it.
        assert_eq!(
            spans.named(names::EXPERIMENT).len(),
            1,
            "of the run that came to its end"
        );
    }
}

#[tokio::test]
async fn what_is_not_sampled_is_neither_told_nor_kept() {
    let world = World::new("intermediate 1; exit 0", limits(2, 4));
    let spans = Arc::new(Spans::default());
    let never = || {
        let mut config = Config::default();
        config.sampler = Box::new(Sampler::AlwaysOff);
        config
    };
    let mut manager = world.manager();
    manager.observed_by(Box::new(traces(&world, never(), &spans)));
    within(manager.run()).await.unwrap();
    assert_eq!(spans.counts(), BTreeMap::new());
    let traceparent = traces(&world, never(), &spans).traceparent(&world.trials()[0].spec.id);
    assert!(traceparent.is_some_and(|text| text.ends_with("-00")));
}
