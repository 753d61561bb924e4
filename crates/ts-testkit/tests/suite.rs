//! The suite can fail: platforms with one defect each are caught, each by the case that is there for it.

mod world;

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use std::{
    collections::HashSet,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Ctx, Event, ExperimentSpec, Parameters,
    Prepared, Recovered, Rendered, Result, Secret, Submitted, Support, TrainingService, TrialId, TrialRecord,
    TrialSpec, TrialStatus, Warnings, WatchRequest,
};
use ts_testkit::conformance::{Behavior, Fixture, cases, run};
use world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    None,
    LosesMetric,
    DoublesMetric,
    MetricAfterEnd,
    StatusGoesBack,
    EndIsRewritten,
    SyncedTwice,
    SyncedTooEarly,
    IgnoresCursor,
    ForgetsCancelReason,
    CancelOfUnknownFails,
    AdoptsEverything,
    EndsStrays,
    RecoverSilentlyWorks,
    CleanupDoesNothing,
    CleanupCountsAbsent,
    RenderShowsSecret,
    ReserializesParameters,
    SubmitMakesTwoJobs,
}

/// A service with a defect.
#[derive(Debug)]
struct Defective {
    inner: Arc<dyn TrainingService>,
    defect: Defect,
    secrets: Vec<Secret>,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TrainingService for Defective {
    fn platform(&self) -> &'static str {
        self.inner.platform()
    }
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }
    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        self.inner.validate(spec).await
    }
    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared> {
        self.inner.prepare(code).await
    }
    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        let mut rendered = self.inner.render(code, trial)?;
        if self.defect == Defect::RenderShowsSecret {
            let secrets: String = self.secrets.iter().map(Secret::expose).collect();
            rendered.documents.push(("token".into(), secrets));
        }
        Ok(rendered)
    }
    async fn submit(&self, code: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        let mut trial = trial.clone();
        if self.defect == Defect::ReserializesParameters {
            trial.parameters = Parameters::new(trial.parameters.text.replace(": ", ":"));
        }
        if self.defect == Defect::SubmitMakesTwoJobs {
            let mut twin = trial.clone();
            twin.id = TrialId::new(&format!("{}-2", trial.id)).expect("a legal id");
            self.inner.submit(code, &twin).await?;
        }
        self.inner.submit(code, &trial).await
    }
    async fn send_parameters(&self, trial: &TrialId, next: &Parameters) -> Result<()> {
        self.inner.send_parameters(trial, next).await
    }
    fn watch(&self, mut what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        if self.defect == Defect::IgnoresCursor {
            what.from.clear();
        }
        let defect = self.defect;
        let spoil = move |item: Result<Event>| stream::iter(item.map_or_else(|e| vec![Err(e)], |e| spoiled(defect, e)));
        let stream = self.inner.watch(what).flat_map(spoil);
        if defect == Defect::SyncedTooEarly {
            return stream::iter([Ok(Event::Synced)]).chain(stream).boxed();
        }
        stream.boxed()
    }
    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        let why = if self.defect == Defect::ForgetsCancelReason {
            CancelReason::User
        } else {
            why
        };
        if self.defect == Defect::CancelOfUnknownFails && trial.as_str() == "never" {
            return Err(ts_core::Error::new(ts_core::ErrorKind::NotFound, "no such trial"));
        }
        self.inner.cancel(trial, why).await
    }
    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered> {
        if self.defect == Defect::RecoverSilentlyWorks {
            return Ok(Recovered::new());
        }
        let mut found = self.inner.recover(known).await?;
        if self.defect == Defect::AdoptsEverything {
            found.adopted.append(&mut found.lost);
        }
        if self.defect == Defect::EndsStrays {
            self.inner.cleanup(&CleanupScope::Trials(found.strays.clone())).await;
        }
        Ok(found)
    }
    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        match self.defect {
            Defect::CleanupDoesNothing => CleanupReport::new(),
            Defect::CleanupCountsAbsent => {
                let mut report = self.inner.cleanup(scope).await;
                report.removed += 1;
                report
            }
            _ => self.inner.cleanup(scope).await,
        }
    }
}

/// What a defective stream yields for an event.
fn spoiled(defect: Defect, event: Event) -> Vec<Result<Event>> {
    let with_status = |event: &Event, new: TrialStatus| {
        let mut event = event.clone();
        if let Event::Status { status, .. } = &mut event {
            *status = new;
        }
        event
    };
    let events = match (defect, &event) {
        (Defect::LosesMetric, Event::Metric { body, .. }) if body.contains("0.2") => Vec::new(),
        (Defect::DoublesMetric, Event::Metric { .. }) | (Defect::SyncedTwice, Event::Synced) => {
            vec![event.clone(), event]
        }
        (Defect::MetricAfterEnd, Event::Status { trial, at, status, .. }) if status.is_terminal() => {
            let late = Event::Metric {
                trial: trial.clone(),
                at: *at,
                cursor: ts_core::JournalCursor {
                    base: 0,
                    offset: 1 << 30,
                    check: 0,
                },
                body: "{}".into(),
            };
            vec![event.clone(), late, event]
        }
        (
            Defect::StatusGoesBack,
            Event::Status {
                status: TrialStatus::Running,
                ..
            },
        ) => {
            vec![event.clone(), with_status(&event, TrialStatus::Waiting)]
        }
        (
            Defect::EndIsRewritten,
            Event::Status {
                status: TrialStatus::EarlyStopped,
                ..
            },
        ) => {
            vec![with_status(&event, TrialStatus::Failed)]
        }
        _ => vec![event],
    };
    events.into_iter().map(Ok).collect()
}

/// Which defect a world's services have.
trait Kind: Send + Sync + 'static {
    const DEFECT: Defect;
}

struct DefectiveWorld<K, const REFUSING: bool>(World<REFUSING>, PhantomData<K>);

#[async_trait]
impl<K: Kind, const REFUSING: bool> Fixture for DefectiveWorld<K, REFUSING> {
    async fn fresh() -> Self {
        Self(World::fresh().await, PhantomData)
    }
    fn ctx(&self) -> Ctx {
        self.0.ctx()
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        Arc::new(Defective {
            inner: self.0.service(ctx),
            defect: K::DEFECT,
            secrets: self.0.secrets(),
        })
    }
    fn spec(&self) -> ExperimentSpec {
        self.0.spec()
    }
    fn command(&self, behavior: &Behavior) -> String {
        self.0.command(behavior)
    }
    async fn open_gate(&self, gate: &str) {
        self.0.open_gate(gate).await;
    }
    async fn hold_queue(&self, held: bool) -> Support {
        self.0.hold_queue(held).await
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        self.0.running(trial).await
    }
    async fn leftovers(&self) -> Vec<String> {
        self.0.leftovers().await
    }
    fn secrets(&self) -> Vec<Secret> {
        self.0.secrets()
    }
}

/// `test: defect, whether the platform refuses, the case that catches it`.
macro_rules! caught {
    ($($test:ident: $defect:ident, $refusing:literal, $module:ident::$case:ident;)*) => { $(
        #[test]
        fn $test() {
            struct Spoiled;
            impl Kind for Spoiled { const DEFECT: Defect = Defect::$defect; }
            struct Sound;
            impl Kind for Sound { const DEFECT: Defect = Defect::None; }
            run::<DefectiveWorld<Sound, $refusing>>(cases::$module::$case);
            let verdict = catch_unwind(AssertUnwindSafe(|| {
                run::<DefectiveWorld<Spoiled, $refusing>>(cases::$module::$case);
            }));
            assert!(verdict.is_err(), "the case let the defect pass");
        }
    )* };
}

caught! {
    a_lost_metric: LosesMetric, false, metrics::metrics_of_a_failed_trial_are_not_lost;
    a_doubled_metric: DoublesMetric, false, metrics::metrics_arrive_in_order_with_growing_cursors;
    a_metric_after_the_end: MetricAfterEnd, false, watching::synced_comes_once_and_after_the_live_trials;
    a_status_that_goes_back: StatusGoesBack, false, lifecycle::a_trial_waits_runs_and_succeeds_in_this_order;
    an_end_that_is_rewritten: EndIsRewritten, false, canceling::canceling_twice_is_canceling_once;
    a_second_synced: SyncedTwice, false, watching::synced_comes_once_and_after_the_live_trials;
    an_early_synced: SyncedTooEarly, false, watching::synced_comes_once_and_after_the_live_trials;
    a_cursor_ignored: IgnoresCursor, false, watching::a_resumed_watch_repeats_nothing_before_its_cursor;
    a_cancel_reason_forgotten: ForgetsCancelReason, false, canceling::a_running_trial_ends_with_the_status_of_the_reason;
    a_cancel_that_complains: CancelOfUnknownFails, false, canceling::canceling_what_ended_or_never_was_is_fine;
    a_loss_kept_quiet: AdoptsEverything, false, recovery::a_trial_that_was_never_submitted_is_lost;
    a_stray_ended: EndsStrays, false, recovery::strays_are_reported_and_left_alone;
    a_refusal_that_works: RecoverSilentlyWorks, true, housekeeping::refusals_match_the_capabilities;
    a_cleanup_that_does_nothing: CleanupDoesNothing, false, housekeeping::cleanup_of_trials_spares_the_others;
    a_cleanup_that_boasts: CleanupCountsAbsent, false, housekeeping::bad_input_is_an_error_and_no_panic;
    a_secret_shown: RenderShowsSecret, false, housekeeping::render_is_pure_and_shows_no_secret;
    parameters_rewritten: ReserializesParameters, false, lifecycle::parameters_reach_the_trial_byte_for_byte;
    a_second_job: SubmitMakesTwoJobs, false, recovery::running_trials_are_adopted_and_lose_nothing;
}

#[test]
fn every_case_is_in_the_macro() {
    let listed: HashSet<&str> = include_str!("../src/conformance/mod.rs")
        .lines()
        .filter_map(|line| line.trim().split_once("::"))
        .map(|(_, case)| case)
        .collect();
    let sources = [
        include_str!("../src/conformance/cases/canceling.rs"),
        include_str!("../src/conformance/cases/housekeeping.rs"),
        include_str!("../src/conformance/cases/lifecycle.rs"),
        include_str!("../src/conformance/cases/metrics.rs"),
        include_str!("../src/conformance/cases/recovery.rs"),
        include_str!("../src/conformance/cases/watching.rs"),
    ];
    let cases = sources.iter().flat_map(|source| source.lines()).filter_map(|line| {
        let (name, _) = line.strip_prefix("pub async fn ")?.split_once('(')?;
        Some(name)
    });
    let missing: Vec<&str> = cases.filter(|case| !listed.contains(case)).collect();
    assert!(missing.is_empty(), "no test is made of {missing:?}");
}
