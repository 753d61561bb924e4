//! What a platform brings to the suite: a fresh world per test. The suite's own comfort on top of it is the client's part.

use super::Behavior;
use async_trait::async_trait;
use std::sync::Arc;
use ts_core::{Ctx, ExperimentSpec, Secret, Support, TrainingService, TrialId};

/// A platform's world for one test: its own experiment id, directories and server, so that all tests run in parallel.
///
/// Dropping it must end whatever a failed test left running.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// Makes a world that nothing has happened in.
    async fn fresh() -> Self
    where
        Self: Sized;

    /// A context with a task scope of its own. A crash of the manager closes the scope and drops the service.
    fn ctx(&self) -> Ctx;

    /// A new client of this same world. Called again after a crash.
    ///
    /// The time between the request to end and the forced end should be short here: the suite waits for it.
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService>;

    /// The experiment, with a code directory that exists.
    fn spec(&self) -> ExperimentSpec;

    /// The command of a trial that behaves so.
    fn command(&self, behavior: &Behavior) -> String;

    /// Lets trials pass a gate.
    async fn open_gate(&self, gate: &str);

    /// Makes the platform hold back what is submitted, or lets it go. `No`, with the reason, where a trial never waits.
    async fn hold_queue(&self, held: bool) -> Support;

    /// What runs for a trial: processes, pods, jobs, in words for a failure message.
    async fn running(&self, trial: &TrialId) -> Vec<String>;

    /// What the world still holds of the experiment once everything should be gone, in words for a failure message.
    async fn leftovers(&self) -> Vec<String>;

    /// Secrets that this world's services were given; no rendered request may show one.
    fn secrets(&self) -> Vec<Secret>;
}

/// Runs one case in a fresh world. [`conformance!`](crate::conformance!) calls it.
///
/// # Panics
/// When the platform breaks the promise; the message holds the events seen so far.
pub fn run<F: Fixture>(case: impl AsyncFnOnce(&dyn Fixture)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the machine has room for two threads");
    runtime.block_on(async {
        let fixture = F::fresh().await;
        case(&fixture).await;
    });
}
