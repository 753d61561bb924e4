//! Faults on purpose: a wrapper around any service that fails at planned or random requests. It decides only whether and how
//! a request fails; what the platform does with the requests that arrive is the platform's business.

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::HashMap,
    future::{Future, pending, poll_fn},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};
use tokio::sync::watch;
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Error, ErrorKind, Event, ExperimentSpec,
    Parameters, Prepared, Recovered, Rendered, Result, Retry, Submitted, TrainingService, TrialId, TrialRecord,
    TrialSpec, Warnings, WatchRequest,
};

/// A request that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// `validate`.
    Validate,
    /// `prepare`.
    Prepare,
    /// `submit`.
    Submit,
    /// `send_parameters`.
    SendParameters,
    /// `cancel`.
    Cancel,
    /// `recover`.
    Recover,
    /// `cleanup`; its faults become failures of the report.
    Cleanup,
}

impl Step {
    /// All steps, for loops over every step and fault.
    pub const ALL: [Self; 7] = [
        Self::Validate,
        Self::Prepare,
        Self::Submit,
        Self::SendParameters,
        Self::Cancel,
        Self::Recover,
        Self::Cleanup,
    ];
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The platform never got it and says so: [`Retry::NotApplied`].
    Refused,
    /// The connection breaks before the platform got it; the caller cannot know: [`Retry::MaybeApplied`].
    ResetBefore,
    /// The connection breaks after the platform did it; the caller cannot know: [`Retry::MaybeApplied`].
    ResetAfter,
    /// The platform refuses for good: [`Retry::Never`].
    Final,
    /// No answer, ever, until the caller gives up.
    Hang,
    /// The manager dies when the request has been polled so often (or has ended, if that comes first): the request is
    /// dropped, nothing is answered any more, and [`FaultPlan::until_crash`] tells the test to drop the manager.
    Crash {
        /// After how many polls; 0 dies before the request is made.
        polls: u32,
    },
}

/// How a watch fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WatchFault {
    /// One error, then it goes on.
    Retryable,
    /// One error, then it ends.
    Final,
}

/// Which requests fail, and how. Clones share their state, so the test keeps one and the service gets one.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    state: Arc<Mutex<State>>,
    crashes: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    planned: HashMap<(Step, u32), Fault>,
    /// Random faults: the generator and how likely one is.
    random: Option<(ChaCha8Rng, f64)>,
    n_calls: HashMap<Step, u32>,
    watch: HashMap<usize, WatchFault>,
    n_items: usize,
    injected: Vec<(Step, u32, Fault)>,
}

impl FaultPlan {
    /// No faults.
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            crashes: watch::Sender::new(0),
        }
    }

    /// Each request fails with probability `rate`, in a way that trying again heals. Prints the seed, which a failed test
    /// shows, so that the run can be repeated.
    #[expect(clippy::disallowed_macros, reason = "test output, shown when the test fails")]
    pub fn seeded(seed: u64, rate: f64) -> Self {
        eprintln!("fault plan with seed {seed}");
        let plan = Self::new();
        plan.lock().random = Some((ChaCha8Rng::seed_from_u64(seed), rate));
        plan
    }

    /// Lets the request number `nth` of a kind fail, counted from 1.
    #[must_use]
    pub fn on(self, step: Step, nth: u32, fault: Fault) -> Self {
        self.lock().planned.insert((step, nth), fault);
        self
    }

    /// Lets a watch fail once `n_items` have been yielded by all watches together.
    #[must_use]
    pub fn on_watch(self, n_items: usize, fault: WatchFault) -> Self {
        self.lock().watch.insert(n_items, fault);
        self
    }

    /// How many requests of a kind were made.
    pub fn n_calls(&self, step: Step) -> u32 {
        self.lock().n_calls.get(&step).copied().unwrap_or(0)
    }

    /// The faults so far: step, its number, fault.
    pub fn injected(&self) -> Vec<(Step, u32, Fault)> {
        self.lock().injected.clone()
    }

    /// Waits until a request has crashed; at once if one has.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    pub async fn until_crash(&self) {
        let mut crashes = self.crashes.subscribe();
        let outcome = crashes.wait_for(|n| *n > 0).await;
        outcome.expect("the plan itself holds the sender");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, step: Step) -> Option<Fault> {
        const HEALING: [Fault; 3] = [Fault::Refused, Fault::ResetBefore, Fault::ResetAfter];
        let mut state = self.lock();
        let n = state.n_calls.entry(step).or_default();
        *n += 1;
        let n = *n;
        let planned = state.planned.remove(&(step, n));
        let fault = planned.or_else(|| {
            let (rng, rate) = state.random.as_mut()?;
            let which = rng.random_range(0..HEALING.len());
            rng.random_bool(*rate).then_some(HEALING[which])
        })?;
        state.injected.push((step, n, fault));
        Some(fault)
    }

    /// The fault that is due after as many items as were yielded.
    fn watch_fault(&self) -> Option<WatchFault> {
        let mut state = self.lock();
        let n = state.n_items;
        state.watch.remove(&n)
    }

    /// Makes a request, or fails it as planned.
    async fn inject<T: Send>(&self, step: Step, request: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let broken = |retry| {
            let message = format!("the connection broke during `{step:?}`");
            Err(Error::new(ErrorKind::Unreachable, message).with_retry(retry))
        };
        match self.draw(step) {
            None => request.await,
            Some(Fault::Refused) => broken(Retry::NotApplied { after: None }),
            Some(Fault::ResetBefore) => broken(Retry::MaybeApplied { after: None }),
            Some(Fault::ResetAfter) => {
                request.await?;
                broken(Retry::MaybeApplied { after: None })
            }
            Some(Fault::Final) => Err(Error::new(
                ErrorKind::Rejected,
                format!("`{step:?}` was refused for good"),
            )),
            Some(Fault::Hang) => pending().await,
            Some(Fault::Crash { polls }) => {
                poll_at_most(request, polls).await;
                self.crashes.send_modify(|n| *n += 1);
                pending().await
            }
        }
    }
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::new()
    }
}

/// Polls a request so often, then drops it.
async fn poll_at_most<T>(request: impl Future<Output = T> + Send, polls: u32) {
    let mut request = Box::pin(request);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        match request.as_mut().poll(cx) {
            Poll::Pending if left > 0 => Poll::Pending,
            Poll::Pending | Poll::Ready(_) => Poll::Ready(()),
        }
    })
    .await;
}

/// A service whose requests fail as planned.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn TrainingService>,
    plan: FaultPlan,
}

impl Faulty {
    /// Wraps a service.
    pub fn new(inner: Arc<dyn TrainingService>, plan: &FaultPlan) -> Self {
        Self {
            inner,
            plan: plan.clone(),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TrainingService for Faulty {
    fn platform(&self) -> &'static str {
        self.inner.platform()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        self.plan.inject(Step::Validate, self.inner.validate(spec)).await
    }

    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared> {
        self.plan.inject(Step::Prepare, self.inner.prepare(code)).await
    }

    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        self.inner.render(code, trial)
    }

    async fn submit(&self, code: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        self.plan.inject(Step::Submit, self.inner.submit(code, trial)).await
    }

    async fn send_parameters(&self, trial: &TrialId, next: &Parameters) -> Result<()> {
        let request = self.inner.send_parameters(trial, next);
        self.plan.inject(Step::SendParameters, request).await
    }

    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        let start = (self.plan.clone(), Some(self.inner.watch(what)));
        stream::unfold(start, |(plan, inner)| async move {
            let mut inner = inner?;
            let broken = || Error::new(ErrorKind::Unreachable, "the connection of the watch broke");
            match plan.watch_fault() {
                Some(WatchFault::Retryable) => {
                    let error = broken().with_retry(Retry::NotApplied { after: None });
                    Some((Err(error), (plan, Some(inner))))
                }
                Some(WatchFault::Final) => Some((Err(broken()), (plan, None))),
                None => {
                    let item = inner.next().await?;
                    plan.lock().n_items += 1;
                    Some((item, (plan, Some(inner))))
                }
            }
        })
        .boxed()
    }

    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        self.plan.inject(Step::Cancel, self.inner.cancel(trial, why)).await
    }

    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered> {
        self.plan.inject(Step::Recover, self.inner.recover(known)).await
    }

    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        let request = async { Ok(self.inner.cleanup(scope).await) };
        self.plan.inject(Step::Cleanup, request).await.unwrap_or_else(|error| {
            let mut report = CleanupReport::new();
            report.failures.push(("the request".into(), error));
            report
        })
    }
}
