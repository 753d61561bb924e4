//! The runner: watches, a queue of objects to look at, a bounded number of plans at a time and never two for one object.

use super::{
    act::{Hand, Outcome},
    framework::Frameworks,
    job::Jobs,
    kubeflow::{Dialect, Trainings},
    options::Options,
    plan::{Engine, Kind, Refusal, View},
    store::{Id, Store, runtime_of},
    trainjob::TrainJobs,
    value::controlled_by,
};
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client,
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};

/// How many objects are worked on at a time.
const WORKERS: usize = 32;
/// Pause after the first failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause. Kubernetes' own controllers go up to minutes; only patience would depend on it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Operators at work. Dropping it ends them; what they made stays.
#[derive(Debug)]
pub struct Operators {
    task: JoinHandle<()>,
}

impl Operators {
    /// Starts operators as clients of a server.
    ///
    /// Their kinds may be installed before or after; see [`install_crds`](super::install_crds).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(client: Client, options: Options) -> Self {
        #[expect(clippy::disallowed_methods, reason = "lives as long as the value that is returned")]
        let task = tokio::spawn(run(client, options));
        Self { task }
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs until it is dropped.
async fn run(client: Client, options: Options) {
    let engines = engines(&client, &options).await;
    let store = Arc::new(Mutex::new(Store::new(
        engines.iter().map(|engine| engine.kind()).collect(),
    )));
    let mut news = watches(&client, &options, &engines);
    let engines = engines.into_iter().map(|engine| (engine.kind(), engine)).collect();
    let mut shop = Shop::new(Arc::new(Hand::new(client)), store, engines);
    loop {
        let timer = shop.timers.first().map(|(at, _)| *at);
        let timer = async {
            match timer {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((kind, event)) = news.next() => {
                let concerned = shop.lock().observe(kind, event);
                shop.enqueue(concerned);
            }
            Some(done) = shop.running.next(), if !shop.running.is_empty() => shop.finish(done),
            () = timer => shop.ring(),
        }
        shop.start_work();
    }
}

async fn engines(client: &Client, options: &Options) -> Vec<Arc<dyn Engine>> {
    let mut engines: Vec<Arc<dyn Engine>> = Vec::new();
    if options.job {
        engines.push(Arc::new(Jobs {
            server_minor: server_minor(client, options).await,
        }));
    }
    if let Some(generation) = options.tf {
        engines.push(Arc::new(Trainings::new(Dialect::Tf, generation, None)));
    }
    if let Some(generation) = options.pytorch {
        engines.push(Arc::new(Trainings::new(
            Dialect::PyTorch,
            generation,
            options.init_image.clone(),
        )));
    }
    if options.frameworks {
        engines.push(Arc::new(Frameworks));
    }
    if let Some(minor) = options.trainer {
        engines.push(Arc::new(TrainJobs { minor }));
    }
    engines
}

async fn server_minor(client: &Client, options: &Options) -> u32 {
    if let Some(minor) = options.server_minor {
        return minor;
    }
    loop {
        match client.apiserver_version().await {
            // Some distributions append a plus sign.
            Ok(version) => return version.minor.trim_end_matches('+').parse().unwrap_or(u32::MAX),
            Err(error) => tracing::debug!(%error, "the server does not tell its version yet"),
        }
        tokio::time::sleep_until(Instant::now() + PAUSE).await;
    }
}

type News = BoxStream<'static, (Kind, Event<DynamicObject>)>;

fn watches(client: &Client, options: &Options, engines: &[Arc<dyn Engine>]) -> SelectAll<News> {
    let kinds: BTreeSet<Kind> = engines
        .iter()
        .flat_map(|engine| engine.kind().watched_for())
        .copied()
        .collect();
    kinds.into_iter().map(|kind| watch(client, options, kind)).collect()
}

fn watch(client: &Client, options: &Options, kind: Kind) -> News {
    let resource = kind.resource();
    let api: Api<DynamicObject> = match &options.namespace {
        Some(namespace) if kind != Kind::ClusterTrainingRuntime => {
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
        _ => Api::all_with(client.clone(), &resource),
    };
    watcher(api, watcher::Config::default())
        .default_backoff()
        .filter_map(move |event| async move {
            match event {
                Ok(event) => Some((kind, event)),
                Err(error) => {
                    tracing::debug!(kind = ?kind, %error, "watch interrupted");
                    None
                }
            }
        })
        .boxed()
}

/// One piece of work that has ended.
struct Done {
    id: Id,
    outcome: Outcome,
    wake: Option<Duration>,
}

/// The queue and all that belongs to it.
struct Shop {
    hand: Arc<Hand>,
    store: Arc<Mutex<Store>>,
    engines: HashMap<Kind, Arc<dyn Engine>>,
    queue: VecDeque<Id>,
    queued: HashSet<Id>,
    busy: HashSet<Id>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    timers: BTreeSet<(Instant, Id)>,
    alarms: HashMap<Id, Instant>,
    failures: HashMap<Id, (u32, Vec<Refusal>)>,
}

impl Shop {
    fn new(hand: Arc<Hand>, store: Arc<Mutex<Store>>, engines: HashMap<Kind, Arc<dyn Engine>>) -> Self {
        Self {
            hand,
            store,
            engines,
            queue: VecDeque::new(),
            queued: HashSet::new(),
            busy: HashSet::new(),
            running: FuturesUnordered::new(),
            timers: BTreeSet::new(),
            alarms: HashMap::new(),
            failures: HashMap::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&mut self, ids: impl IntoIterator<Item = Id>) {
        for id in ids {
            if self.queued.insert(id.clone()) {
                self.queue.push_back(id);
            }
        }
    }

    /// Takes work from the queue. What is busy stays queued until it has ended, and all of a kind until enough is known.
    fn start_work(&mut self) {
        let mut waiting = VecDeque::new();
        while self.running.len() < WORKERS
            && let Some(id) = self.queue.pop_front()
        {
            if self.busy.contains(&id) || !self.lock().knows_all_about(id.0) {
                waiting.push_back(id);
                continue;
            }
            self.queued.remove(&id);
            if let Some(work) = self.work(&id) {
                self.busy.insert(id);
                self.running.push(work);
            }
        }
        self.queue.append(&mut waiting);
    }

    fn work(&mut self, id: &Id) -> Option<BoxFuture<'static, Done>> {
        let (kind, key) = id;
        let engine = Arc::clone(self.engines.get(kind)?);
        let Some(object) = self.lock().get(*kind, key) else {
            self.failures.remove(id);
            self.set_alarm(id, None);
            return None;
        };
        let refused = self
            .failures
            .get_mut(id)
            .map(|(_, refused)| std::mem::take(refused))
            .unwrap_or_default();
        let view = self.view(id, object, refused);
        let plan = engine.plan(&view);
        let (hand, store, id) = (Arc::clone(&self.hand), Arc::clone(&self.store), id.clone());
        Some(
            async move {
                let wake = plan.wake;
                let outcome = hand
                    .carry_out(&store, id.0, engine.component(), &view.object, plan)
                    .await;
                Done { id, outcome, wake }
            }
            .boxed(),
        )
    }

    fn view(&self, id: &Id, object: Arc<Value>, refused: Vec<Refusal>) -> View {
        let store = self.lock();
        // Not those of an earlier object of this name. A Framework looks at that itself, since its pods are its ConfigMap's.
        let own = |kind| {
            let mut children = store.children(id, kind);
            children.retain(|child| id.0 == Kind::Framework || controlled_by(child, &object));
            children
        };
        View {
            pods: own(Kind::Pod),
            services: own(Kind::Service),
            config_maps: own(Kind::ConfigMap),
            runtime: (id.0 == Kind::TrainJob)
                .then(|| runtime_of(&object))
                .and_then(|(kind, key)| store.get(kind, &key)),
            object,
            refused,
            now: Timestamp::now(),
        }
    }

    fn finish(&mut self, done: Done) {
        self.busy.remove(&done.id);
        self.enqueue(done.outcome.concerned);
        if done.outcome.again {
            let (count, refused) = self.failures.entry(done.id.clone()).or_default();
            *refused = done.outcome.refused;
            let pause = PAUSE.saturating_mul(1 << (*count).min(10)).min(LONGEST_PAUSE);
            *count += 1;
            self.set_alarm(&done.id, Some(done.wake.map_or(pause, |wake| wake.min(pause))));
        } else {
            self.failures.remove(&done.id);
            self.set_alarm(&done.id, done.wake);
        }
    }

    fn set_alarm(&mut self, id: &Id, after: Option<Duration>) {
        if let Some(at) = self.alarms.remove(id) {
            self.timers.remove(&(at, id.clone()));
        }
        if let Some(after) = after {
            let at = Instant::now() + after;
            self.timers.insert((at, id.clone()));
            self.alarms.insert(id.clone(), at);
        }
    }

    /// Queues all whose time has come.
    fn ring(&mut self) {
        let now = Instant::now();
        while let Some((at, id)) = self.timers.first().cloned()
            && at <= now
        {
            self.set_alarm(&id, None);
            self.enqueue([id]);
        }
    }
}
