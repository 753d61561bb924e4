//! What all operations of one service share: the services of Azure, the trials, our copies of what they write.
//!
//! What happens in the workspace is `observe`'s business; how jobs get there is that of `submit`.

use crate::{
    AmlConfig,
    api::Api,
    files::{self, Job},
    observe, pull,
    reuse::{self, Pool},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};
use tokio::sync::{Notify, Semaphore};
use ts_core::{
    Ctx, Error, ErrorKind, ExperimentId, LogKind, Reason, ReasonCode, Result, TrialId, TrialStatus,
    follow::{self, Claims, Known, Registry, TrialDirs, Trouble, reason_of},
};

/// Requests that change something, at a time.
const WRITES: usize = 8;

/// What is known of a trial beside its status.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub(crate) job: Arc<Job>,
    /// Whether its folder here is complete.
    pub(crate) is_stored: bool,
    /// When the service took its job, if we sent it or found it so; monotonic.
    pub(crate) created_at: Option<Duration>,
    /// Since when the service does not know its job; monotonic.
    pub(crate) missing_since: Option<Duration>,
    /// Whether another manager has it, and this one only looks on.
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
            is_looked_on: false,
        }
    }
}

/// The running side of a service; made when it is first needed.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) ctx: Ctx,
    pub(crate) config: AmlConfig,
    pub(crate) experiment: ExperimentId,
    pub(crate) folders: TrialDirs,
    pub(crate) api: Api,
    pub(crate) registry: Arc<Registry<Place>>,
    pub(crate) writes: Semaphore,
    /// Rings when the jobs are to be looked at.
    pub(crate) bell: Notify,
    pub(crate) claims: Claims,
    /// Who copies a trial's files, one at a time.
    pub(crate) turns: Mutex<HashMap<TrialId, Arc<tokio::sync::Mutex<()>>>>,
    /// Logs that somebody follows.
    pub(crate) wanted: Mutex<HashMap<TrialId, HashSet<LogKind>>>,
    /// Why the workspace cannot be used at present.
    trouble: Trouble,
    pub(crate) pool: Pool,
}

/// A core whose tasks end when this is dropped. Trials do not.
pub(crate) type Running = follow::Running<Core>;
/// Runs tasks until the service is dropped or its scope is closed.
pub(crate) type Spawner = follow::Spawner<Core>;

/// Starts what looks at jobs and files, which asks nothing until there is a trial.
///
/// # Errors
/// Those of the file of certificate authorities.
pub(crate) fn start(ctx: Ctx, config: AmlConfig, experiment: ExperimentId) -> Result<Arc<Running>> {
    let tasks = ctx.tasks.clone();
    let core = Core {
        api: Api::new(&ctx, &config)?,
        folders: files::folders(&ctx),
        registry: Arc::default(),
        writes: Semaphore::new(WRITES),
        bell: Notify::new(),
        claims: Claims::default(),
        turns: Mutex::default(),
        wanted: Mutex::default(),
        trouble: Trouble::default(),
        pool: Pool::default(),
        ctx,
        config,
        experiment,
    };
    let running = Running::new(core, tasks);
    let spawner = running.spawner();
    spawner.spawn(tell_of_login(Arc::downgrade(&running.core)));
    if running.core.config.reuse {
        spawner.spawn(reuse::serve(spawner.clone()));
    } else {
        observe::start(&spawner);
    }
    pull::start(&spawner);
    Ok(running)
}

/// While a person is to let us in, every trial that has not ended says so.
async fn tell_of_login(core: Weak<Core>) {
    let Some(mut asked) = core.upgrade().map(|core| core.api.asked()) else {
        return;
    };
    while asked.changed().await.is_ok() {
        let message = asked.borrow_and_update().clone();
        let (Some(message), Some(core)) = (message, core.upgrade()) else {
            continue;
        };
        let error = Error::new(ErrorKind::Auth, "somebody has to log in to Azure").with_help(message);
        // Those that are not sent yet, too.
        core.begin_trouble(&error, |_| true);
    }
}

impl Core {
    /// Runs work on the disk, which may hang, where it holds up nobody.
    pub(crate) async fn on_disk<T: Send + 'static>(
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
            self.registry
                .explain(trial, unblock.into_iter().fold(why, Reason::unblocked_by));
        }
    }

    /// Notes why the workspace cannot be used at present; every trial says so that it has.
    pub(crate) fn set_trouble(&self, error: &Error) {
        self.begin_trouble(error, |known| known.extra.created_at.is_some());
    }

    fn begin_trouble(&self, error: &Error, is_concerned: impl Fn(&Known<Place>) -> bool) {
        let why = reason_of(ReasonCode::Unreachable, error, self.ctx.clock.now());
        if self.trouble.begin(&self.registry, &why, is_concerned) {
            tracing::warn!(%error, "the workspace cannot be used at present");
        }
    }

    /// Notes that the workspace answers; no trial says any more that it does not.
    pub(crate) fn end_trouble(&self) {
        self.trouble.end(&self.registry, |known| {
            let queued = || Reason::new(ReasonCode::Queued, "it waits in the workspace", self.ctx.clock.now());
            (known.status == TrialStatus::Waiting).then(queued)
        });
    }
}
