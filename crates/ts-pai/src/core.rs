//! What all operations of one service share: the REST server, the trials, the storage.
//!
//! What happens in the cluster is `observe`'s business; how jobs get there is that of `submit`.

use crate::{
    PaiConfig,
    api::Api,
    files::{self, Job},
    observe,
    push::Gate,
    reuse::{self, Pool},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore};
use ts_core::{
    Ctx, Error, ExperimentId, Reason, ReasonCode, Result, TrialId, TrialStatus,
    follow::{self, Claims, Known, Registry, Trouble, mounted::Folders, reason_of},
};

/// Requests that change something, at a time.
const WRITES: usize = 8;

/// What is known of a trial beside its status.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub(crate) job: Arc<Job>,
    /// Whether its folder is complete.
    pub(crate) is_stored: bool,
    /// When the server took its job, if this service did it or found it so; monotonic.
    pub(crate) created_at: Option<Duration>,
    /// Since when the server does not know its job; monotonic.
    pub(crate) missing_since: Option<Duration>,
    /// When the cluster was last asked why it waits; monotonic.
    pub(crate) asked_at: Option<Duration>,
    /// Whether another service has it, and this one only looks on.
    pub(crate) is_looked_on: bool,
}

impl Place {
    /// A trial of ours.
    pub(crate) fn new(job: Job) -> Self {
        Self {
            job: Arc::new(job),
            is_stored: false,
            created_at: None,
            missing_since: None,
            asked_at: None,
            is_looked_on: false,
        }
    }
}

/// The running side of a service; made when it is first needed.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) ctx: Ctx,
    pub(crate) config: PaiConfig,
    pub(crate) experiment: ExperimentId,
    pub(crate) folders: Folders,
    pub(crate) api: Api,
    pub(crate) registry: Arc<Registry<Place>>,
    pub(crate) writes: Semaphore,
    /// Where trials push.
    pub(crate) gate: Gate,
    /// The workers, where jobs take several trials.
    pub(crate) pool: Pool,
    /// Rings when the jobs are to be looked at.
    pub(crate) bell: Notify,
    /// Trials whose folder is being made or taken up.
    pub(crate) claims: Claims,
    /// Why the cluster cannot be used at present.
    trouble: Trouble,
}

/// A core whose tasks end when this is dropped.
pub(crate) type Running = follow::Running<Core>;
/// Runs tasks until the service is dropped or its scope is closed.
pub(crate) type Spawner = follow::Spawner<Core>;

/// Starts the observer, which asks the cluster once there is a trial.
///
/// # Errors
/// Those of the file of certificate authorities.
pub(crate) fn start(ctx: Ctx, config: PaiConfig, experiment: ExperimentId) -> Result<Arc<Running>> {
    let tasks = ctx.tasks.clone();
    let core = Core {
        api: Api::new(&ctx, &config)?,
        folders: files::folders(&config, &ctx.work_dir, &experiment),
        registry: Arc::default(),
        writes: Semaphore::new(WRITES),
        gate: Gate::default(),
        pool: Pool::default(),
        bell: Notify::new(),
        claims: Claims::default(),
        trouble: Trouble::default(),
        ctx,
        config,
        experiment,
    };
    let running = Running::new(core, tasks);
    observe::start(&running.spawner());
    if running.core.config.reuse {
        running.spawner().spawn(reuse::serve(running.spawner()));
    }
    Ok(running)
}

impl Core {
    /// Runs work on the storage, which may hang with its server, where it holds up nobody.
    pub(crate) async fn on_storage<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let core = Arc::clone(self);
        self.ctx.tasks.blocking(move || work(&core)).await
    }

    /// Has a waiting trial say why it waits.
    pub(crate) fn waits(&self, trial: &TrialId, code: ReasonCode, message: impl Into<String>, unblock: Option<&str>) {
        if self.registry.with(trial, |known| known.status == TrialStatus::Waiting) == Some(true) {
            let why = Reason::new(code, message, self.ctx.clock.now());
            let why = unblock.into_iter().fold(why, Reason::unblocked_by);
            self.registry.explain(trial, why);
        }
    }

    /// Notes why the cluster cannot be used at present; every trial says so that needs it: whose job it has, or that has or wants a worker.
    pub(crate) fn begin_trouble(&self, error: &Error) {
        let why = reason_of(ReasonCode::Unreachable, error, self.ctx.clock.now());
        let needs_it =
            |known: &Known<Place>| known.extra.created_at.is_some() || self.config.reuse && known.extra.is_stored;
        if self.trouble.begin(&self.registry, &why, needs_it) {
            tracing::warn!(%error, "the cluster cannot be used at present");
        }
    }

    /// Notes that the cluster answers; no trial says any more that it does not.
    pub(crate) fn end_trouble(&self) {
        self.trouble.end(&self.registry, |known| {
            let queued = || Reason::new(ReasonCode::Queued, "in the cluster's queue", self.ctx.clock.now());
            (known.status == TrialStatus::Waiting).then(queued)
        });
    }
}
