//! A second service that only looks at a log, as `tsctl logs` does: beside the manager, without one, and on another machine.

use crate::stored::{Stored, eventually};
use futures_util::{StreamExt as _, stream::BoxStream};
use std::time::Duration;
use ts_core::{Ctx, Event, LogKind, Result, TrainingService as _, TrialId, TrialSpec, TrialStatus, WatchRequest};
use ts_k8s::KubernetesService;
use ts_testkit::conformance::{Behavior, Client, DEADLINE, Fixture as _};

/// Somebody who looks at the standard output of a trial.
struct Look {
    ctx: Ctx,
    service: Option<KubernetesService>,
    events: BoxStream<'static, Result<Event>>,
    text: String,
    end: Option<TrialStatus>,
}

impl Look {
    /// With what is stored in this folder.
    fn at(world: &Stored, folder: &str, trial: &TrialId) -> Self {
        let ctx = Ctx::new(world.world.path(folder));
        let service = world.other(&ctx);
        let events = service.watch(WatchRequest::new().with_log(trial.clone(), LogKind::Stdout));
        Self {
            ctx,
            service: Some(service),
            events,
            text: String::new(),
            end: None,
        }
    }

    /// Reads until the end of the trial, or until the log is at least this.
    async fn until(&mut self, enough: &str) -> &str {
        let reading = async {
            while self.end.is_none() && self.text.len() < enough.len() {
                match self.events.next().await.expect("more").expect("no error") {
                    Event::Log { bytes, .. } => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                    Event::Status { status, .. } if status.is_terminal() => self.end = Some(status),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("in time");
        &self.text
    }

    async fn stop(mut self) -> (String, Option<TrialStatus>) {
        self.until(&"x".repeat(1000)).await;
        drop(self.events);
        drop(self.service.take());
        self.ctx.tasks.close().await;
        (self.text, self.end)
    }
}

/// A trial that says `first`, waits for the gate, and says `last`.
pub(crate) fn talk(world: &Stored, client: &Client<'_>) -> TrialSpec {
    let mut trial = client.trial(&Behavior::RunUntilCanceled { metrics: vec![] });
    let gate = world.world.path("gates/g");
    trial.command = format!(
        "echo first; while [ ! -e '{}' ]; do sleep 0.05; done; echo last",
        gate.display()
    );
    trial
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_grows_for_whoever_looks_on_beside_the_manager_and_elsewhere() {
    let world = Stored::without().await;
    let client = Client::start(&world).await;
    let trial = talk(&world, &client);
    client.submit_spec(&trial).await;
    let mut watch = client.watch();
    watch.until_status(&trial.id, TrialStatus::Running).await;
    let mut beside = Look::at(&world, "work", &trial.id);
    let mut elsewhere = Look::at(&world, "elsewhere", &trial.id);
    assert_eq!(beside.until("first\n").await, "first\n");
    assert_eq!(elsewhere.until("first\n").await, "first\n");
    world.open_gate("g").await;
    assert_eq!(beside.until("first\nlast\n").await, "first\nlast\n");
    assert_eq!(elsewhere.until("first\nlast\n").await, "first\nlast\n");
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    beside.stop().await;
    elsewhere.stop().await;
    // Its object is removed; the manager has the log.
    eventually("the end of the object", async || {
        world.world.server.objects("jobs").is_empty()
    })
    .await;
    for _ in 0..2 {
        let late = Look::at(&world, "work", &trial.id).stop().await;
        assert_eq!(late, ("first\nlast\n".to_owned(), Some(TrialStatus::Succeeded)));
    }
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_grows_while_no_manager_is_there_and_the_manager_misses_none_of_it() {
    let world = Stored::without().await;
    let client = Client::start(&world).await;
    let trial = talk(&world, &client);
    client.submit_spec(&trial).await;
    let mut watch = client.watch_from(WatchRequest::new().with_log(trial.id.clone(), LogKind::Stdout));
    watch
        .until("the first line", |seen| {
            seen.of(&trial.id).logs.contains_key(&LogKind::Stdout)
        })
        .await;
    drop(watch);
    let client = client.crash().await;
    world.open_gate("g").await;
    let (text, _) = Look::at(&world, "work", &trial.id).stop().await;
    assert_eq!(text, "first\nlast\n");
    let record = ts_core::TrialRecord::new(
        trial.clone(),
        true,
        TrialStatus::Running,
        ts_core::JournalCursor::default(),
    );
    client.recover(&[record]).await;
    let mut watch = client.watch_from(WatchRequest::new().with_log(trial.id.clone(), LogKind::Stdout));
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    assert_eq!(history.logs[&LogKind::Stdout], b"first\nlast\n");
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_storage_has_the_log_of_a_trial_of_which_nothing_else_is_left() {
    let world = Stored::fresh().await;
    let client = Client::start(&world).await;
    let trial = talk(&world, &client);
    client.submit_spec(&trial).await;
    world.open_gate("g").await;
    client.watch().until_end(&trial.id).await;
    eventually("the end of the object", async || {
        world.world.server.objects("jobs").is_empty()
    })
    .await;
    let n_maps = world.world.server.objects("configmaps").len();
    let (text, end) = Look::at(&world, "elsewhere", &trial.id).stop().await;
    assert_eq!((text.as_str(), end), ("first\nlast\n", Some(TrialStatus::Succeeded)));
    assert_eq!(world.world.server.objects("configmaps").len(), n_maps);
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_of_which_nothing_is_left_at_all_is_said_to_be_lost() {
    let world = Stored::without().await;
    let client = Client::start(&world).await;
    let trial = TrialId::new("gone").expect("legal");
    let mut look = Look::at(&world, "elsewhere", &trial);
    let found = async {
        loop {
            if let Event::Status { status, why, .. } = look.events.next().await.expect("more").expect("no error") {
                assert!(!status.is_terminal(), "nobody knows how it ended");
                if why.is_some_and(|why| why.code == ts_core::ReasonCode::Lost) {
                    break;
                }
            }
        }
    };
    tokio::time::timeout(DEADLINE, found).await.expect("in time");
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_on_before_there_is_a_trial_sees_its_log_once() {
    for storage in [true, false] {
        let world = if storage {
            Stored::fresh().await
        } else {
            Stored::without().await
        };
        let client = Client::start(&world).await;
        let trial = talk(&world, &client);
        world.open_gate("g").await;
        let mut early = Vec::new();
        // Some while the storage is being read, some before.
        for wait in [0, 30, 300] {
            let look = Look::at(&world, &format!("elsewhere-{wait}"), &trial.id);
            look.ctx.clock.sleep(Duration::from_millis(wait)).await;
            early.push(look);
        }
        client.submit_spec(&trial).await;
        for look in early {
            let (text, end) = look.stop().await;
            assert_eq!((text.as_str(), end), ("first\nlast\n", Some(TrialStatus::Succeeded)));
        }
        client.finish().await;
    }
}
