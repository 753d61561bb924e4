//! The one task that watches the cluster for all trials: objects of the kind, pods, warnings; three watches whatever their number.
//!
//! What it sees goes into the `scene`; what follows of that is carried out here: logs are read, code is delivered, ends are told.

use crate::{
    core::{Core, News, Place, Ready, Spawner},
    deliver, kinds, names,
    pods::{HeldUp, PodView, Wait},
    relay::{self, PodLog, Source, Spoken},
    rest,
    scene::{Finding, Object, Rest, Scene},
    status, submit,
};
use futures_util::{StreamExt as _, stream::BoxStream};
use k8s_openapi::api::core::v1::{Event as Warning, Pod};
use kube::{
    Api, ResourceExt as _,
    api::DynamicObject,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::sync::mpsc::UnboundedReceiver;
use ts_core::{
    Error, ErrorKind, LogKind, Reason, ReasonCode, RetryPolicy, TrialId, TrialStatus,
    follow::{End, Known, STDERR_TAIL, tail},
};

/// How often the way to the server is tried while nothing else shows that it is there, and trials that wait too long are sought.
const PULSE: Duration = Duration::from_secs(10);
/// How long one such try may take.
const PULSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an object that was created may be unseen before it is asked for.
const UNSEEN: Duration = Duration::from_secs(20);

type Watch<K> = BoxStream<'static, watcher::Result<Event<K>>>;

/// Observes until the service is dropped; goes to the cluster once somebody needs it.
pub(crate) async fn observe(spawner: Spawner, mut news: UnboundedReceiver<News>) {
    let core = Arc::clone(&spawner.core);
    core.needed().await;
    let policy = RetryPolicy::new();
    let mut observer = Observer {
        core: Arc::clone(&core),
        spawner,
        scene: Scene::default(),
        seen: Listing::default(),
    };
    let mut failures = 0;
    loop {
        let error = match core.connect().await {
            Ok(ready) => {
                failures = 0;
                core.set_ready(Arc::new(ready.clone()));
                observer.session(&ready, &mut news).await
            }
            Err(error) => error,
        };
        failures += 1;
        core.set_trouble(Some(trouble(&core, &error)));
        core.cut();
        observer.tell_trouble();
        core.ctx
            .clock
            .sleep(policy.wait(failures, 0.0).min(Duration::from_secs(15)))
            .await;
    }
}

fn trouble(core: &Core, error: &Error) -> Reason {
    let reason_code = match error.kind() {
        ErrorKind::NotFound => ReasonCode::CrdMissing,
        _ => ReasonCode::Unreachable,
    };
    let reason = Reason::new(reason_code, error.to_string(), core.ctx.clock.now());
    error.help().into_iter().fold(reason, Reason::unblocked_by)
}

/// Which list is being read, and what it held so far.
#[derive(Debug, Default)]
struct Listing {
    objects: HashSet<TrialId>,
    pods: HashSet<String>,
    has_objects: bool,
    has_pods: bool,
}

struct Observer {
    core: Arc<Core>,
    spawner: Spawner,
    scene: Scene,
    seen: Listing,
}

impl Observer {
    /// Watches over one connection until it fails, and says how.
    async fn session(&mut self, ready: &Ready, news: &mut UnboundedReceiver<News>) -> Error {
        let (cluster, selector) = (&ready.cluster, names::experiment_selector(&self.core.experiment));
        let config = watcher::Config::default;
        let objects =
            Api::<DynamicObject>::namespaced_with(cluster.streams.clone(), &cluster.namespace, &ready.served.resource);
        let pods = Api::<Pod>::namespaced(cluster.streams.clone(), &cluster.namespace);
        let warnings = Api::<Warning>::namespaced(cluster.streams.clone(), &cluster.namespace);
        let mut objects: Watch<DynamicObject> = watcher(objects, config().labels(&selector)).default_backoff().boxed();
        let mut pods: Watch<Pod> = watcher(pods, config().labels(&selector)).default_backoff().boxed();
        let mut warnings: Watch<Warning> = watcher(warnings, config().fields("type=Warning"))
            .default_backoff()
            .boxed();
        self.seen = Listing::default();
        let mut alive = self.core.ctx.clock.monotonic();
        loop {
            let pulse = self.core.ctx.clock.sleep(PULSE);
            tokio::select! {
                event = objects.next() => match event {
                    Some(Ok(event)) => self.object(event),
                    Some(Err(error)) => if let Some(error) = self.refused(error) { return error },
                    None => return closed(),
                },
                event = pods.next() => match event {
                    Some(Ok(event)) => self.pod(event),
                    Some(Err(error)) => if let Some(error) = self.refused(error) { return error },
                    None => return closed(),
                },
                event = warnings.next() => match event {
                    Some(Ok(event)) => self.warning(event),
                    // Reasons are poorer without; some may not read events.
                    Some(Err(error)) => tracing::debug!(%error, "events cannot be read"),
                    None => return closed(),
                },
                item = news.recv() => match item {
                    Some(item) => self.news(item),
                    None => std::future::pending().await,
                },
                () = pulse => {}
            }
            let now = self.core.ctx.clock.monotonic();
            if now.saturating_sub(alive) >= PULSE {
                alive = now;
                if let Err(error) = self.pulse(ready).await {
                    return error;
                }
                self.sweep(ready).await;
            }
        }
    }

    /// Whether the server still answers: a connection that was cut without a word looks like one on which nothing happens.
    async fn pulse(&self, ready: &Ready) -> ts_core::Result<()> {
        let what = "ask the API server for its version";
        tokio::select! {
            version = ready.cluster.client.apiserver_version() => {
                version.map_err(|e| crate::error::of_api(what, e))?;
                self.core.set_trouble(None);
                Ok(())
            }
            () = self.core.ctx.clock.sleep(PULSE_TIMEOUT) => Err(closed()),
        }
    }

    /// What the watch could not do; `Some` if it needs a new connection. All else it mends by itself.
    fn refused(&mut self, error: watcher::Error) -> Option<Error> {
        let what = "watch the trials";
        let error = match error {
            watcher::Error::WatchError(status) => {
                tracing::debug!(%status.message, "the watch begins anew");
                return None;
            }
            watcher::Error::InitialListFailed(e)
            | watcher::Error::WatchStartFailed(e)
            | watcher::Error::WatchFailed(e) => crate::error::of_api(what, e),
            watcher::Error::NoResourceVersion => return Some(closed()),
        };
        self.core.set_trouble(Some(trouble(&self.core, &error)));
        self.tell_trouble();
        // Credentials and kinds are looked up anew with the next connection.
        matches!(error.kind(), ErrorKind::Auth | ErrorKind::NotFound).then_some(error)
    }

    fn object(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Init => self.seen.objects.clear(),
            Event::InitApply(object) => {
                let trial = self.enter_object(&object);
                self.seen.objects.extend(trial);
            }
            Event::Apply(object) => drop(self.enter_object(&object)),
            Event::Delete(object) => {
                if let Some(trial) = trial_of(&object) {
                    self.scene.objects.insert(trial.clone(), Object::Gone);
                    self.look(&trial);
                }
            }
            Event::InitDone => {
                for trial in self.scene.objects_but(&self.seen.objects) {
                    self.scene.objects.insert(trial.clone(), Object::Gone);
                    self.look(&trial);
                }
                self.seen.has_objects = true;
                self.listed();
            }
        }
    }

    fn enter_object(&mut self, object: &DynamicObject) -> Option<TrialId> {
        let trial = trial_of(object)?;
        let state = status::state_of(self.core.kind(), &object.data["status"]);
        self.scene.objects.insert(trial.clone(), Object::There(state));
        self.look(&trial);
        Some(trial)
    }

    fn pod(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.seen.pods.clear(),
            Event::InitApply(pod) => {
                self.seen.pods.extend(pod.uid());
                self.enter_pod(&pod);
            }
            Event::Apply(pod) => self.enter_pod(&pod),
            Event::Delete(pod) => {
                // Its last state is in the message of its end.
                self.enter_pod(&pod);
                self.pod_gone(&pod.uid().unwrap_or_default());
            }
            Event::InitDone => {
                for uid in self.scene.pods_but(&self.seen.pods) {
                    self.pod_gone(&uid);
                }
                self.seen.has_pods = true;
                self.listed();
            }
        }
    }

    fn enter_pod(&mut self, pod: &Pod) {
        let Some(view) = PodView::of(pod) else { return };
        let (trial, uid) = (view.trial.clone(), view.uid.clone());
        let is_known = self.core.registry.with(&trial, |known| !known.status.is_terminal());
        if is_known != Some(true) {
            // Seen again when it is adopted.
            if self.core.registry.with(&trial, |_| ()).is_some() {
                return;
            }
        }
        self.scene.enter_pod(view);
        self.serve_pod(&uid);
        self.look(&trial);
    }

    fn pod_gone(&mut self, uid: &str) {
        if let Some(trial) = self.scene.remove_pod(uid) {
            self.look(&trial);
        }
    }

    /// Has the log of a pod read and its code brought, once it is so far.
    fn serve_pod(&mut self, uid: &str) {
        let core = &self.core;
        let Some(pod) = self.scene.pods.get_mut(uid) else {
            return;
        };
        let trial = pod.view.trial.clone();
        let Some(known) = core.registry.get(&trial).filter(|known| !known.status.is_terminal()) else {
            return;
        };
        let (place, view) = (known.extra, &pod.view);
        if view.has_begun() && pod.heard != Some(place.is_apart) {
            pod.heard = Some(place.is_apart);
            pod.spoken = None;
            let n_pods = rest::n_pods(core);
            let journal = match core.config.storage {
                Some(_) => rest::journal_of(core, &view.role, &view.index),
                None => uid.to_owned(),
            };
            let log = PodLog {
                token: names::token(&core.experiment, &trial),
                pod: view.name.clone(),
                container: view.container.clone(),
                source: Source {
                    pod: uid.to_owned(),
                    journal,
                },
                mirror: core.mirror_of(&trial),
                prefix: (n_pods > 1).then(|| format!("[{}-{}] ", view.role, view.index)),
                phase: pod.phase.subscribe(),
                trial,
            };
            let core = Arc::clone(core);
            self.spawner.spawn(async move {
                let spoken = relay::follow(&core, &log).await;
                core.tell(News::Heard(log.source.pod.clone(), place.is_apart, spoken));
                if matches!(spoken, Spoken::Ended(_)) && !place.is_looked_on {
                    deliver::acknowledge(&core, &log).await;
                }
            });
        }
        let digest = place.job.filter(|_| !place.is_looked_on).map(|job| job.digest.clone());
        if let Some(digest) = digest
            && view.wants_code
            && !std::mem::replace(&mut pod.is_served, true)
        {
            let (core, name, uid) = (Arc::clone(core), view.name.clone(), uid.to_owned());
            self.spawner.spawn(async move {
                let brought = deliver::into_pod(&core, &name, &digest).await;
                core.tell(News::Delivered(uid, brought));
            });
        }
    }

    fn warning(&mut self, event: Event<Warning>) {
        let (Event::InitApply(event) | Event::Apply(event)) = event else {
            return;
        };
        let name = event.involved_object.name.clone().unwrap_or_default();
        let trial = self.scene.trial_of_pod(&name).cloned().or_else(|| {
            let ids = self.core.registry.ids();
            ids.into_iter()
                .find(|id| names::job(self.core.kind(), &self.core.experiment, id) == name)
        });
        let Some(trial) = trial else { return };
        let event = HeldUp {
            word: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        };
        self.scene.enter_event(&trial, event);
        self.look(&trial);
    }

    fn news(&mut self, news: News) {
        match news {
            News::Look(trial) => {
                let uids: Vec<String> = self.scene.pods_of(&trial).map(|pod| pod.view.uid.clone()).collect();
                for uid in uids {
                    self.serve_pod(&uid);
                }
                self.look(&trial);
            }
            News::Gone(trial) => {
                self.scene.objects.insert(trial.clone(), Object::Gone);
                self.look(&trial);
            }
            News::Heard(uid, is_apart, spoken) => {
                if let Some(pod) = self.scene.pods.get_mut(&uid).filter(|pod| pod.heard == Some(is_apart)) {
                    pod.spoken = Some(spoken);
                    let trial = pod.view.trial.clone();
                    self.look(&trial);
                }
            }
            News::Rest(trial, is_apart, exit) => {
                self.scene.enter_rest(&trial, is_apart, Rest::Here(exit));
                self.look(&trial);
            }
            News::Delivered(uid, result) => {
                let Some(pod) = self.scene.pods.get_mut(&uid) else {
                    return;
                };
                if let Err(error) = result {
                    tracing::warn!(pod = pod.view.name, %error, "the code is sent again");
                    // Tried again with the next sweep, if the pod still waits for it.
                    pod.is_served = false;
                }
            }
        }
    }

    fn listed(&mut self) {
        if self.seen.has_objects && self.seen.has_pods {
            self.core.set_trouble(None);
            for trial in self.core.registry.ids() {
                self.look(&trial);
            }
        }
    }

    /// Says that nothing is known for now.
    fn tell_trouble(&self) {
        let Some(trouble) = self.core.trouble() else { return };
        for trial in self.core.registry.ids() {
            self.core.registry.update(&trial, |known| {
                if known.status != TrialStatus::Waiting {
                    known.status = TrialStatus::Unknown;
                }
                known.why = Some(trouble.clone());
            });
        }
    }

    /// Looks at a trial and enters what it is.
    fn look(&mut self, trial: &TrialId) {
        let core = Arc::clone(&self.core);
        let Some(known) = core.registry.get(trial) else { return };
        if known.status.is_terminal() {
            self.scene.forget(trial);
            return;
        }
        if !(self.seen.has_objects && self.seen.has_pods) {
            // Half of what is there tells too little; all are looked at when both lists are read.
            return;
        }
        let (now, elapsed) = (core.ctx.clock.now(), core.ctx.clock.monotonic());
        let finding = self
            .scene
            .look(trial, &known, core.config.grace_period, now, elapsed, || {
                stderr_tail(&core, trial)
            });
        match finding {
            Finding::Unclear => {}
            Finding::Waiting(wait) => self.enter_wait(trial, wait),
            Finding::Running(at) => {
                if known.status != TrialStatus::Running {
                    core.registry.update(trial, |known| {
                        known.status = TrialStatus::Running;
                        known.at = at;
                        known.why = None;
                        known.started.get_or_insert(at);
                    });
                }
            }
            Finding::Over(_) if self.must_wait_for_rest(trial, &known) => {}
            Finding::Over(_) if self.is_unknown(trial, &known) => core.waits(
                trial,
                ReasonCode::Lost,
                "nothing of the trial is left in the cluster, and no log of it is here",
                None,
            ),
            Finding::Over(end) => {
                if let Some(at) = self.scene.running(trial) {
                    core.registry.update(trial, |known| known.started.get_or_insert(at).0);
                }
                let is_there = self
                    .scene
                    .objects
                    .get(trial)
                    .is_some_and(|object| *object != Object::Gone);
                let status = end.status;
                core.conclude(trial, end);
                self.scene.forget(trial);
                if is_there && submit::is_removed(core.config.deletion_policy, status) && !known.extra.is_looked_on {
                    submit::remove_later(&self.spawner, trial.clone());
                }
            }
        }
    }

    /// Whether what a trial left on the storage is not here yet; has it read.
    fn must_wait_for_rest(&mut self, trial: &TrialId, known: &Known<Place>) -> bool {
        let core = &self.core;
        let is_apart = known.extra.is_apart;
        if core.config.storage.is_none() || !self.scene.lacks_rest(trial, known, rest::n_pods(core)) {
            return false;
        }
        match self.scene.rest(trial, is_apart) {
            Some(Rest::Here(_)) => false,
            Some(Rest::Wanted) => true,
            None => {
                self.scene.enter_rest(trial, is_apart, Rest::Wanted);
                core.want_rest(trial);
                true
            }
        }
    }

    /// Whether nobody here can say anything of a trial of another service.
    fn is_unknown(&self, trial: &TrialId, known: &Known<Place>) -> bool {
        known.extra.is_looked_on
            && self.scene.object(trial, known) == Some(&Object::Gone)
            && self
                .core
                .mirror_of(trial)
                .heard(trial)
                .is_ok_and(|heard| heard == (0, [0, 0]))
    }

    fn enter_wait(&mut self, trial: &TrialId, wait: Wait) {
        self.core.registry.update(trial, |known| {
            let same = known
                .why
                .as_ref()
                .is_some_and(|why| why.code == wait.reason.code && why.message == wait.reason.message);
            if known.status != TrialStatus::Waiting && known.started.is_some() {
                // Between two pods of a job that restarts them.
                known.status = TrialStatus::Running;
                known.why = None;
                return;
            }
            known.status = TrialStatus::Waiting;
            if !same {
                known.why = Some(wait.reason);
            }
            if !wait.is_hopeless {
                known.extra.hopeless_since = None;
            }
        });
        if wait.is_hopeless {
            let now = self.core.ctx.clock.monotonic();
            self.core
                .registry
                .update(trial, |known| known.extra.hopeless_since.get_or_insert(now).as_secs());
        }
    }

    /// What no event would bring: trials that wait in vain, pods without their code, objects that were never seen.
    async fn sweep(&mut self, ready: &Ready) {
        let elapsed = self.core.ctx.clock.monotonic();
        let uids: Vec<String> = self.scene.pods.keys().cloned().collect();
        for uid in uids {
            self.serve_pod(&uid);
        }
        for trial in self.core.registry.ids() {
            let Some(known) = self.core.registry.get(&trial) else {
                continue;
            };
            if known.status.is_terminal() {
                continue;
            }
            let is_in_vain = known
                .extra
                .hopeless_since
                .is_some_and(|since| elapsed.saturating_sub(since) >= self.core.config.start_timeout);
            if is_in_vain && known.extra.given_up.is_none() && !known.extra.is_looked_on {
                self.give_up(&trial, known.why);
            }
            let is_unseen = known
                .extra
                .created_at
                .is_some_and(|at| elapsed.saturating_sub(at) > UNSEEN);
            if is_unseen && !self.scene.objects.contains_key(&trial) {
                let api = kinds::api(&ready.cluster, &ready.served.resource);
                let name = names::job(self.core.kind(), &self.core.experiment, &trial);
                if let Ok(None) = api.get_metadata_opt(&name).await {
                    self.scene.objects.insert(trial.clone(), Object::Gone);
                }
            }
            self.look(&trial);
        }
    }

    fn give_up(&self, trial: &TrialId, why: Option<Reason>) {
        let core = &self.core;
        let now = core.ctx.clock.now();
        let said = why.as_ref().map_or("", |why| why.message.as_str());
        let minutes = core.config.start_timeout.as_secs().div_ceil(60);
        let reason = Reason::new(
            ReasonCode::StartRefused,
            format!("given up after {minutes} min (`startTimeout`): {said}"),
            now,
        );
        let unblock = why.and_then(|why| why.unblock);
        let end = End {
            status: TrialStatus::Failed,
            at: now,
            why: Some(unblock.into_iter().fold(reason, Reason::unblocked_by)),
        };
        core.registry.update(trial, |known| known.extra.given_up = Some(end));
        submit::remove_later(&self.spawner, trial.clone());
    }
}

fn trial_of(object: &DynamicObject) -> Option<TrialId> {
    names::of_label(object.metadata.labels.as_ref()?.get(names::TRIAL)?)
}

fn closed() -> Error {
    Error::new(ErrorKind::Unreachable, "the API server does not answer any more")
        .with_help("the trials go on; looking at them goes on when it is back")
}

/// The last of what a trial has written to standard error.
fn stderr_tail(core: &Core, trial: &TrialId) -> String {
    let path = core.mirror_of(trial).paths(trial).log(LogKind::Stderr);
    tail(&path, STDERR_TAIL).unwrap_or_default()
}
