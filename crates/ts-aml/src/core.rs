//! What all operations of one service share: the services of Azure, the trials, our copies of what they write.
//!
//! What happens in the workspace is `observe`'s business; how jobs get there is that of `submit`.

use crate::{
    AmlConfig,
    api::Api,
    files::{Folders, Job},
    observe, pull,
    reuse::{self, Pool},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use ts_core::{
    Ctx, Error, ErrorKind, ExperimentId, LogKind, Reason, ReasonCode, Result, Retry, TrialId, TrialStatus,
    follow::{End, Registry},
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
    pub(crate) folders: Folders,
    pub(crate) api: Api,
    pub(crate) registry: Arc<Registry<Place>>,
    pub(crate) writes: Semaphore,
    /// Rings when the jobs are to be looked at.
    pub(crate) bell: Notify,
    /// Changes when a trial's folder is complete, or has failed to become so.
    pub(crate) stored: watch::Sender<u64>,
    /// Who copies a trial's files, one at a time.
    pub(crate) turns: Mutex<HashMap<TrialId, Arc<tokio::sync::Mutex<()>>>>,
    /// Logs that somebody follows.
    pub(crate) wanted: Mutex<HashMap<TrialId, HashSet<LogKind>>>,
    /// Why the workspace cannot be used at present.
    trouble: Mutex<Option<Reason>>,
    pub(crate) pool: Pool,
}

/// A core whose tasks end when this is dropped. Trials do not.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) core: Arc<Core>,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl Running {
    /// Starts what looks at jobs and files, which asks nothing until there is a trial.
    ///
    /// # Errors
    /// Those of the file of certificate authorities.
    pub(crate) fn start(ctx: Ctx, config: AmlConfig, experiment: ExperimentId) -> Result<Arc<Self>> {
        let core = Arc::new(Core {
            api: Api::new(&ctx, &config)?,
            folders: Folders::new(&ctx),
            registry: Arc::default(),
            writes: Semaphore::new(WRITES),
            bell: Notify::new(),
            stored: watch::Sender::default(),
            turns: Mutex::default(),
            wanted: Mutex::default(),
            trouble: Mutex::default(),
            pool: Pool::default(),
            ctx,
            config,
            experiment,
        });
        let stop = CancellationToken::new();
        let running = Arc::new(Self {
            core: Arc::clone(&core),
            _stop: stop.clone().drop_guard(),
            stop,
        });
        running.spawner().spawn(tell_of_login(Arc::downgrade(&core)));
        if core.config.reuse {
            running.spawner().spawn(reuse::serve(running.spawner()));
        } else {
            observe::start(&running.spawner());
        }
        pull::start(&running.spawner());
        Ok(running)
    }

    /// Runs tasks that end with this.
    pub(crate) fn spawner(&self) -> Spawner {
        Spawner {
            core: Arc::clone(&self.core),
            stop: self.stop.clone(),
        }
    }
}

/// Runs tasks until the service is dropped or its scope is closed.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    pub(crate) core: Arc<Core>,
    stop: CancellationToken,
}

impl Spawner {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stop.clone().cancelled_owned();
        self.core.ctx.tasks.spawn(async move {
            tokio::select! {
                () = stopped => {}
                () = task => {}
            }
        });
    }
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
        core.set_trouble(&error);
        // Those that are not sent yet, too.
        let why = Reason::new(ReasonCode::Unreachable, error.to_string(), core.ctx.clock.now());
        let why = error.help().into_iter().fold(why, Reason::unblocked_by);
        for trial in core.registry.ids() {
            core.explain(&trial, why.clone());
        }
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

    /// Enters the end of a trial.
    pub(crate) fn conclude(&self, trial: &TrialId, end: End) {
        tracing::debug!(%trial, status = %end.status, "ended");
        self.registry.update(trial, |known| {
            known.status = end.status;
            known.at = end.at;
            known.why = end.why;
        });
    }

    /// Has a trial that has not ended say why it is as it is.
    pub(crate) fn explain(&self, trial: &TrialId, why: Reason) {
        let is_news = |known: &ts_core::follow::Known<Place>| {
            let same = known
                .why
                .as_ref()
                .is_some_and(|old| old.code == why.code && old.message == why.message);
            !same && !known.status.is_terminal()
        };
        if self.registry.with(trial, is_news) == Some(true) {
            self.registry.update(trial, |known| known.why = Some(why));
        }
    }

    /// Has a waiting trial say why it waits.
    pub(crate) fn waits(&self, trial: &TrialId, code: ReasonCode, message: impl Into<String>, unblock: Option<&str>) {
        if self.registry.with(trial, |known| known.status == TrialStatus::Waiting) == Some(true) {
            let why = Reason::new(code, message, self.ctx.clock.now());
            self.explain(trial, unblock.into_iter().fold(why, Reason::unblocked_by));
        }
    }

    /// Notes why the workspace cannot be used at present; every trial says so.
    pub(crate) fn set_trouble(&self, error: &Error) {
        let why = Reason::new(ReasonCode::Unreachable, error.to_string(), self.ctx.clock.now());
        let why = error.help().into_iter().fold(why, Reason::unblocked_by);
        {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            if trouble.as_ref().is_none_or(|old| old.message != why.message) {
                tracing::warn!(%error, "the workspace cannot be used at present");
                *trouble = Some(why.clone());
            }
        }
        for trial in self.registry.ids() {
            if self.registry.with(&trial, |known| known.extra.created_at.is_some()) == Some(true) {
                self.explain(&trial, why.clone());
            }
        }
    }

    /// Notes that the workspace answers; no trial says any more that it does not.
    pub(crate) fn end_trouble(&self) {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(trouble) = trouble else { return };
        for trial in self.registry.ids() {
            let told = |known: &ts_core::follow::Known<Place>| {
                known.why.as_ref().is_some_and(|why| why.message == trouble.message)
            };
            if self.registry.with(&trial, told) == Some(true) {
                self.registry.update(&trial, |known| {
                    known.why = (known.status == TrialStatus::Waiting)
                        .then(|| Reason::new(ReasonCode::Queued, "it waits in the workspace", self.ctx.clock.now()));
                });
            }
        }
    }
}

/// How long to wait before another try.
pub(crate) fn wait_of(error: &Error, own: Duration) -> Duration {
    let asked = match error.retry() {
        Retry::NotApplied { after } | Retry::MaybeApplied { after } => after,
        Retry::Never => None,
    };
    own.max(asked.unwrap_or_default())
}
