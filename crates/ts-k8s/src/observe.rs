//! The one task that watches the cluster for all trials: objects of the kind, pods, warnings; three watches whatever their number.
//!
//! Here is the connection: how it is made, how it is seen to be gone. What the watches bring is entered by `seen`, what pods need
//! is done by `serve`, what a trial is by all that is told by `look`, that none
//! runs twice is seen to by `again`, that others beside it do not keep it from ending by `beside`, and what no watch brings is
//! sought by `sweep`.

mod again;
mod beside;
mod look;
mod seen;
mod serve;
mod sweep;

use crate::{
    core::{Core, News, Ready, Spawner},
    names,
    scene::Scene,
};
use futures_util::{StreamExt as _, stream::BoxStream};
use k8s_openapi::api::core::v1::{Event as Warning, Pod};
use kube::{
    Api,
    api::DynamicObject,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use seen::Listing;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::UnboundedReceiver;
use ts_core::{Error, ErrorKind, Reason, ReasonCode, RetryPolicy, TrialStatus};

/// How often the way to the server is tried while nothing else shows that it is there, and trials that wait too long are sought.
const PULSE: Duration = Duration::from_secs(10);
/// How long one such try may take.
const PULSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is tried while something is wrong: a watch that goes on where it was has nothing to say.
const QUICK_PULSE: Duration = Duration::from_secs(2);

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
        is_listing: false,
    };
    let mut failures = 0;
    loop {
        let error = match core.connect().await {
            Ok(ready) => {
                failures = 0;
                let ready = Arc::new(ready);
                core.set_ready(Arc::clone(&ready));
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

struct Observer {
    core: Arc<Core>,
    spawner: Spawner,
    scene: Scene,
    seen: Listing,
    /// Whether a list of what is there is being read.
    is_listing: bool,
}

impl Observer {
    /// Watches over one connection until it fails, and says how.
    async fn session(&mut self, ready: &Arc<Ready>, news: &mut UnboundedReceiver<News>) -> Error {
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
            let pace = if self.core.trouble().is_some() {
                QUICK_PULSE
            } else {
                PULSE
            };
            let pulse = self.core.ctx.clock.sleep(pace);
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
            if now.saturating_sub(alive) >= pace {
                alive = now;
                if let Err(error) = self.pulse(ready).await {
                    return error;
                }
                self.sweep(ready);
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
        if error.kind() == ErrorKind::Conflict {
            // The list is too old to go on with (410); it is read anew.
            return None;
        }
        self.core.set_trouble(Some(trouble(&self.core, &error)));
        self.tell_trouble();
        // Credentials and kinds are looked up anew with the next connection.
        matches!(error.kind(), ErrorKind::Auth | ErrorKind::NotFound).then_some(error)
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
}

fn closed() -> Error {
    Error::new(ErrorKind::Unreachable, "the API server does not answer any more")
        .with_help("the trials go on; looking at them goes on when it is back")
}
