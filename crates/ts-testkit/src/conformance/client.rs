//! The suite's manager: a service of a fixture with its context, its code delivered, and shorthand for what cases do.

use super::{Behavior, Fixture, Observer, observer::within};
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
};
use ts_core::{
    CancelReason, CleanupScope, Ctx, ExperimentSpec, JournalCursor, Parameters, Prepared, Recovered, Support,
    TrainingService, TrialId, TrialRecord, TrialSpec, TrialStatus, WatchRequest,
};

/// A manager that lives until it crashes or finishes.
pub struct Client<'a> {
    fixture: &'a dyn Fixture,
    ctx: Ctx,
    /// The service under test.
    pub service: Arc<dyn TrainingService>,
    /// The experiment.
    pub spec: ExperimentSpec,
    /// Receipt of the delivered code.
    pub code: Prepared,
    n_minted: Arc<AtomicU32>,
}

impl<'a> Client<'a> {
    /// Makes a service in the fixture's world and delivers the code.
    pub async fn start(fixture: &'a dyn Fixture) -> Self {
        Self::restart(fixture, Arc::new(AtomicU32::new(0))).await
    }

    /// Uses a service that is made otherwise than the fixture's own, and delivers the code.
    pub async fn with(fixture: &'a dyn Fixture, ctx: Ctx, service: Arc<dyn TrainingService>) -> Self {
        Self::begin(fixture, ctx, service, Arc::new(AtomicU32::new(0))).await
    }

    async fn restart(fixture: &'a dyn Fixture, n_minted: Arc<AtomicU32>) -> Self {
        let ctx = fixture.ctx();
        let service = fixture.service(&ctx);
        Self::begin(fixture, ctx, service, n_minted).await
    }

    async fn begin(
        fixture: &'a dyn Fixture,
        ctx: Ctx,
        service: Arc<dyn TrainingService>,
        n_minted: Arc<AtomicU32>,
    ) -> Self {
        let spec = fixture.spec();
        let code = within("prepare", service.prepare(&spec.code)).await.expect("prepare");
        Self {
            fixture,
            ctx,
            service,
            spec,
            code,
            n_minted,
        }
    }

    /// The manager is killed and started again: tasks and service are gone, the world is not. Nothing is recovered yet.
    pub async fn crash(self) -> Self {
        let Self {
            fixture,
            ctx,
            service,
            n_minted,
            ..
        } = self;
        drop(service);
        ctx.tasks.close().await;
        Self::restart(fixture, n_minted).await
    }

    /// Removes everything and asserts that nothing is left in the world.
    pub async fn finish(self) {
        let report = within("cleanup", self.service.cleanup(&CleanupScope::Experiment)).await;
        assert!(report.is_clean(), "cleanup failed: {:?}", report.failures);
        let left = self.fixture.leftovers().await;
        assert!(left.is_empty(), "left after cleanup: {left:#?}");
        self.ctx.tasks.close().await;
    }

    /// A new trial that behaves so. Nothing is submitted.
    pub fn trial(&self, behavior: &Behavior) -> TrialSpec {
        let n = self.n_minted.fetch_add(1, Ordering::Relaxed);
        let id = TrialId::new(&format!("T{n:04}x")).expect("a legal id");
        let parameters = format!(r#"{{"parameter_id": {n}, "parameters": {{"x": {n}}}, "parameter_index": 0}}"#);
        let mut trial = TrialSpec::new(&self.spec, id, n, Parameters::new(parameters));
        trial.command = self.fixture.command(behavior);
        trial
    }

    /// Makes and submits a trial.
    pub async fn submit(&self, behavior: &Behavior) -> TrialSpec {
        let trial = self.trial(behavior);
        self.submit_spec(&trial).await;
        trial
    }

    /// Submits a trial.
    pub async fn submit_spec(&self, trial: &TrialSpec) {
        let submitted = within("submit", self.service.submit(&self.code, trial)).await;
        submitted.expect("submit");
    }

    /// Submits a trial but drops the request at its await number `n`. Says whether it had ended before.
    pub async fn submit_dropped_at(&self, trial: &TrialSpec, n: usize) -> bool {
        let mut request = pin!(self.service.submit(&self.code, trial));
        let mut left = n;
        let dropped = std::future::poll_fn(|cx| match request.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        });
        let outcome = within("submit", dropped).await;
        outcome.map(|result| result.expect("submit")).is_some()
    }

    /// Cancels a trial.
    pub async fn cancel(&self, trial: &TrialId, why: CancelReason) {
        within("cancel", self.service.cancel(trial, why)).await.expect("cancel");
    }

    /// Watches everything from the beginning.
    pub fn watch(&self) -> Observer {
        self.watch_from(WatchRequest::new())
    }

    /// Watches what is asked for.
    pub fn watch_from(&self, request: WatchRequest) -> Observer {
        let resumed = request.from.clone();
        Observer::new(self.service.watch(request), resumed)
    }

    /// Recovers; the platform must be able to.
    pub async fn recover(&self, known: &[TrialRecord]) -> Recovered {
        within("recover", self.service.recover(known)).await.expect("recover")
    }

    /// Whether the platform can find jobs again. If not, asserts that it says so, and cases of recovery end there.
    pub async fn can_recover(&self) -> bool {
        let Support::No(reason) = self.service.capabilities().recover else {
            return true;
        };
        let refusal = within("recover", self.service.recover(&[])).await;
        super::cases::assert_refused("recover", refusal, reason);
        false
    }

    /// Waits until nothing runs for a trial.
    pub async fn until_nothing_runs(&self, trial: &TrialId) {
        let gone = async {
            while !self.fixture.running(trial).await.is_empty() {
                self.ctx.clock.sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        within("end of everything that runs for the trial", gone).await;
    }

    /// What runs for a trial.
    pub async fn running(&self, trial: &TrialId) -> Vec<String> {
        self.fixture.running(trial).await
    }
}

/// What a store knows of a trial whose submit returned, and whose journal was read up to `cursor`.
pub(super) fn record(trial: &TrialSpec, cursor: JournalCursor) -> TrialRecord {
    TrialRecord::new(trial.clone(), true, TrialStatus::Waiting, cursor)
}
