//! What all operations of one service share: the way to the cluster, the trials, the mirror, and how they change each other.
//!
//! What happens in the cluster is `observe`'s business; how objects get there is that of `submit`.

use crate::{
    JobKind, KubernetesConfig,
    access::{self, Cluster},
    apart::Apart,
    job::Job,
    kinds::{self, Served},
    object::Owner,
    observe,
    relay::Mirror,
    rest,
};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use ts_codedir::Spool;
use ts_core::{
    Ctx, ExperimentId, Reason, ReasonCode, Result, TrialId, TrialStatus,
    follow::{End, Registry},
};

/// Requests that change something, at a time.
const WRITES: usize = 16;
/// Streams of code, at a time.
const DELIVERIES: usize = 4;

/// What is known of a trial beside its status.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(crate) struct Place {
    /// The stored request. One of another service may be unknown here.
    pub(crate) job: Option<Arc<Job>>,
    /// Whether an earlier service has created its object: if it is not there, it is gone.
    pub(crate) was_created: bool,
    /// Whether a request to create its object may have reached the cluster, whatever came of it.
    pub(crate) may_exist: bool,
    /// Done once somebody asks to end the trial.
    pub(crate) wish: CancellationToken,
    /// When its object was created, if this service did it or found it so; monotonic.
    pub(crate) created_at: Option<Duration>,
    /// Since when it waits for what does not mend itself; monotonic.
    pub(crate) hopeless_since: Option<Duration>,
    /// Its end, once we gave it up; told when nothing is left of it.
    pub(crate) given_up: Option<End>,
    /// Whether another service has it, and this one only looks on.
    pub(crate) is_looked_on: bool,
    /// Whether what it says is kept apart from the files of whoever has it.
    pub(crate) is_apart: bool,
}

/// The cluster once it has answered.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) cluster: Cluster,
    pub(crate) served: Served,
    /// What the runtimes of TrainJobs are made of.
    pub(crate) runtime: Option<Arc<Value>>,
}

impl Place {
    /// A trial of ours.
    pub(crate) fn new(job: Job) -> Self {
        Self {
            was_created: job.is_created,
            job: Some(Arc::new(job)),
            may_exist: false,
            wish: CancellationToken::new(),
            created_at: None,
            hopeless_since: None,
            given_up: None,
            is_looked_on: false,
            is_apart: false,
        }
    }

    /// A trial that another service has, with its request if that is stored here.
    pub(crate) fn looked_on(job: Option<Job>) -> Self {
        Self {
            // Nobody wants the log of what was never submitted.
            was_created: job.as_ref().is_none_or(|job| job.is_created),
            job: job.map(Arc::new),
            may_exist: true,
            wish: CancellationToken::new(),
            created_at: None,
            hopeless_since: None,
            given_up: None,
            is_looked_on: true,
            is_apart: true,
        }
    }
}

/// Something that the observer has to know.
#[derive(Debug)]
pub(crate) enum News {
    /// Look at a trial again.
    Look(TrialId),
    /// A list of what is there has been read, or could not be: of the trials that it was read for, these are not there.
    Listed(Vec<TrialId>),
    /// The object of a trial is not there any more.
    Gone(TrialId),
    /// A pod's log was read to its end, and whether into the files of a service that only looks on.
    Heard(String, bool, crate::relay::Spoken),
    /// What a trial left on the storage was read.
    Rest(crate::rest::Wanted, crate::rest::Left),
    /// A pod has the code, or why it has not.
    Delivered(String, Result<()>),
}

/// The running side of a service; made when it is first needed.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) ctx: Ctx,
    pub(crate) config: KubernetesConfig,
    pub(crate) experiment: ExperimentId,
    pub(crate) registry: Arc<Registry<Place>>,
    pub(crate) mirror: Arc<Mirror>,
    apart: OnceLock<Apart>,
    rests: mpsc::UnboundedSender<crate::rest::Wanted>,
    ready: watch::Sender<Option<Arc<Ready>>>,
    /// Why the cluster cannot be used at present.
    trouble: watch::Sender<Option<Reason>>,
    /// Counts how often streams had to be given up.
    cuts: watch::Sender<u64>,
    news: mpsc::UnboundedSender<News>,
    is_needed: Notify,
    owner: tokio::sync::Mutex<Option<Owner>>,
    /// Whether somebody may have removed the owner.
    is_owner_in_doubt: AtomicBool,
    /// Whether the Secrets have gone with it.
    has_lost_secrets: AtomicBool,
    spools: Mutex<HashMap<String, Arc<Spool>>>,
    pub(crate) writes: Semaphore,
    pub(crate) deliveries: Semaphore,
    /// Objects that are being removed; `cleanup` waits for them.
    pub(crate) removals: watch::Sender<usize>,
}

/// A core whose tasks end when this is dropped. Trials do not.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) core: Arc<Core>,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl Running {
    /// Starts the observer, which goes to the cluster once it is needed.
    pub(crate) fn start(ctx: Ctx, config: KubernetesConfig, experiment: ExperimentId, mirror: Mirror) -> Arc<Self> {
        let (news, inbox) = mpsc::unbounded_channel();
        let (rests, wanted) = mpsc::unbounded_channel();
        let core = Arc::new(Core {
            registry: Arc::default(),
            mirror: Arc::new(mirror),
            apart: OnceLock::new(),
            rests,
            ready: watch::Sender::default(),
            trouble: watch::Sender::default(),
            cuts: watch::Sender::default(),
            news,
            is_needed: Notify::new(),
            owner: tokio::sync::Mutex::default(),
            is_owner_in_doubt: AtomicBool::default(),
            has_lost_secrets: AtomicBool::default(),
            spools: Mutex::default(),
            writes: Semaphore::new(WRITES),
            deliveries: Semaphore::new(DELIVERIES),
            removals: watch::Sender::default(),
            ctx,
            config,
            experiment,
        });
        let stop = CancellationToken::new();
        let running = Arc::new(Self {
            core: Arc::clone(&core),
            _stop: stop.clone().drop_guard(),
            stop: stop.clone(),
        });
        let spawner = Spawner {
            core: Arc::clone(&core),
            stop,
        };
        spawner.spawn(observe::observe(spawner.clone(), inbox));
        spawner.spawn(rest::serve(Arc::clone(&core), wanted));
        running
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

impl Core {
    pub(crate) const fn kind(&self) -> JobKind {
        self.config.kind
    }

    /// Goes to the cluster and asks what it serves.
    pub(crate) async fn connect(&self) -> Result<Ready> {
        let cluster = access::cluster(&self.config.access).await?;
        let served = kinds::discover(&cluster, self.kind(), self.config.api_version.as_deref()).await?;
        let runtime = match self.config.runtime() {
            Some(name) => Some(Arc::new(kinds::runtime(&cluster, &served.resource, name).await?)),
            None => None,
        };
        Ok(Ready {
            cluster,
            served,
            runtime,
        })
    }

    /// Has the observer go to the cluster.
    pub(crate) fn need(&self) {
        self.is_needed.notify_one();
    }

    pub(crate) async fn needed(&self) {
        self.is_needed.notified().await;
    }

    /// The cluster; waits until it has answered.
    pub(crate) async fn ready(&self) -> Arc<Ready> {
        self.need();
        let mut ready = self.ready.subscribe();
        loop {
            if let Some(ready) = ready.borrow_and_update().as_ref() {
                return Arc::clone(ready);
            }
            if ready.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn ready_now(&self) -> Option<Arc<Ready>> {
        self.ready.borrow().clone()
    }

    pub(crate) fn set_ready(&self, ready: Arc<Ready>) {
        self.ready.send_replace(Some(ready));
    }

    /// Notes that the cluster can be used, or why not.
    pub(crate) fn set_trouble(&self, trouble: Option<Reason>) {
        let changed = self.trouble.send_if_modified(|present| {
            let is_news =
                present.as_ref().map(|r| (&r.code, &r.message)) != trouble.as_ref().map(|r| (&r.code, &r.message));
            if is_news {
                present.clone_from(&trouble);
            }
            is_news
        });
        if changed && let Some(reason) = trouble {
            tracing::warn!(%reason.message, "the cluster cannot be used at present");
        }
    }

    pub(crate) fn trouble(&self) -> Option<Reason> {
        self.trouble.borrow().clone()
    }

    /// Changes when streams have to be opened anew.
    pub(crate) fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }

    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }

    /// Tells the observer.
    pub(crate) fn tell(&self, news: News) {
        // Without an observer there is nobody to tell: the service is being dropped.
        let _ = self.news.send(news);
    }

    /// The owner of all that the experiment has in the cluster; made if it is not there.
    pub(crate) async fn owner(&self, cluster: &Cluster) -> Result<Owner> {
        let mut owner = self.owner.lock().await;
        if owner.is_some() && self.is_owner_in_doubt.load(Relaxed) {
            if crate::anchor::find(self, cluster).await? != *owner {
                *owner = None;
                self.has_lost_secrets.store(true, Relaxed);
            }
            self.is_owner_in_doubt.store(false, Relaxed);
        }
        if let Some(owner) = &*owner {
            return Ok(owner.clone());
        }
        let made = crate::anchor::ensure(self, cluster).await?;
        Ok(owner.insert(made).clone())
    }

    /// Has the owner looked for before it is used again: an object that belongs to what is not there is removed at once.
    pub(crate) fn doubt_owner(&self) {
        self.is_owner_in_doubt.store(true, Relaxed);
    }

    /// Makes the Secrets anew if they have gone with their owner.
    pub(crate) async fn restore_secrets(&self, cluster: &Cluster) -> Result<()> {
        if self.has_lost_secrets.load(Relaxed) {
            crate::anchor::restore_secrets(self, cluster).await?;
            self.has_lost_secrets.store(false, Relaxed);
        }
        Ok(())
    }

    /// Forgets the owner, which was removed.
    pub(crate) async fn forget_owner(&self) {
        *self.owner.lock().await = None;
    }

    /// Has the rest of a trial read from the storage; [`News::Rest`] says when it is.
    pub(crate) fn want_rest(&self, wanted: crate::rest::Wanted) {
        // Without a reader there is nobody to tell either: the service is being dropped.
        let _ = self.rests.send(wanted);
    }

    /// Whether what a trial says is kept apart.
    pub(crate) fn is_apart(&self, trial: &TrialId) -> bool {
        self.registry.with(trial, |known| known.extra.is_apart) == Some(true)
    }

    /// Where what a trial says is kept.
    pub(crate) fn mirror_of(&self, trial: &TrialId) -> Arc<Mirror> {
        let apart = self.apart.get().filter(|_| self.is_apart(trial));
        Arc::clone(apart.map_or(&self.mirror, Apart::mirror))
    }

    /// Where a service that only looks on keeps what trials say.
    pub(crate) fn apart(&self) -> Result<&Arc<Mirror>> {
        if self.apart.get().is_none() {
            let _ = self.apart.set(Apart::make(&self.ctx.work_dir)?);
        }
        Ok(self.apart.get().map_or(&self.mirror, Apart::mirror))
    }

    pub(crate) fn add_spool(&self, spool: Spool) -> Arc<Spool> {
        let mut spools = self.spools.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            spools
                .entry(spool.digest().to_owned())
                .or_insert_with(|| Arc::new(spool)),
        )
    }

    /// Forgets packages, which were removed.
    pub(crate) fn forget_spools(&self) {
        self.spools.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn spool(&self, digest: &str) -> Option<Arc<Spool>> {
        let spools = self.spools.lock().unwrap_or_else(PoisonError::into_inner);
        spools.get(digest).cloned()
    }

    /// Enters the end of a trial; what it has not begun it never will.
    pub(crate) fn conclude(&self, trial: &TrialId, end: End) {
        tracing::debug!(%trial, status = %end.status, "ended");
        let mirror = self.mirror_of(trial);
        if let Err(error) = crate::job::save_end(&mirror.paths(trial), &end) {
            tracing::warn!(%trial, %error, "the trial's end is not on disk");
        }
        self.registry.update(trial, |known| {
            known.status = end.status;
            known.at = end.at;
            known.why = end.why;
        });
        mirror.forget(trial);
    }

    /// Has a waiting trial say why it waits.
    pub(crate) fn waits(&self, trial: &TrialId, code: ReasonCode, message: impl Into<String>, unblock: Option<&str>) {
        let now = self.ctx.clock.now();
        let message = message.into();
        self.registry.update(trial, |known| {
            let same = known
                .why
                .as_ref()
                .is_some_and(|why| why.code == code && why.message == message);
            if known.status == TrialStatus::Waiting && !same {
                let why = Reason::new(code, message, now);
                known.why = Some(unblock.into_iter().fold(why, Reason::unblocked_by));
            }
        });
    }
}
