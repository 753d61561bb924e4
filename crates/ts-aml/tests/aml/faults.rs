//! Whatever goes wrong between here and Azure: one job, one end, no metric lost or doubled, nothing left.

use crate::world::World;
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use ts_aml_testkit::{Area, Fault, Matcher};
use ts_core::{
    CancelReason, Clock, JournalCursor, ReasonCode, SystemClock, Timestamp, TrialRecord, TrialStatus, Verdict,
};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

/// Faults that heal.
fn passing() -> [Fault; 11] {
    let status = |code| Fault::Status {
        code,
        retry_after: None,
    };
    [
        status(401),
        status(500),
        Fault::Status {
            code: 503,
            retry_after: Some(1),
        },
        Fault::ThrottledByArm { retry_after: 1 },
        Fault::ThrottledByService,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::CutBody,
        Fault::Html,
        Fault::Slow(Duration::from_millis(300)),
        Fault::Status {
            code: 429,
            retry_after: Some(1),
        },
    ]
}

fn job_put() -> Matcher {
    Matcher::any().area(Area::Arm).method("PUT").path("/jobs/")
}

fn job_list() -> Matcher {
    Matcher::any().area(Area::Arm).method("GET").path("/jobs")
}

/// Runs a trial while these requests go wrong, each in its way.
async fn survives(fault: &Fault, matchers: &[Matcher]) {
    let world = World::fresh().await;
    for matcher in matchers {
        world.server.fault(matcher.clone(), fault.clone(), 1);
    }
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{fault:?}: {history:?}");
    assert_eq!(history.bodies(), Behavior::values(0, 2), "{fault:?}");
    assert_eq!(world.server.jobs().len(), 1, "{fault:?}");
    assert_eq!(world.server.starts(&world.server.jobs()[0]), 1, "{fault:?}");
    assert_eq!(world.server.faults_left(), 0, "{fault:?}: not all happened");
    client.finish().await;
}

#[tokio::test]
async fn a_submit_that_fails_in_any_way_makes_one_job() {
    let conflict = Fault::Status {
        code: 409,
        retry_after: None,
    };
    for fault in passing().into_iter().chain([conflict]) {
        survives(&fault, &[job_put()]).await;
    }
}

#[tokio::test]
async fn whatever_is_asked_may_fail_once() {
    for fault in passing() {
        let blob = || Matcher::any().area(Area::Blob);
        let arm = || Matcher::any().area(Area::Arm);
        let matchers = [
            job_list(),
            arm().method("POST").path("/listSecrets"),
            arm().path("/datastores"),
            arm().method("PUT").path("/codes/"),
            arm().method("POST").path("/startPendingUpload"),
            arm().path("/environments/"),
            blob().method("PUT").path("/start.sh"),
            blob().method("PUT").query("comp=blocklist"),
            blob().method("GET").path("/metrics"),
            blob().method("GET").path("/state"),
        ];
        survives(&fault, &matchers).await;
    }
}

#[tokio::test]
async fn a_login_that_fails_is_tried_again() {
    for fault in passing().into_iter().skip(1) {
        survives(
            &fault,
            &[Matcher::any().area(Area::Entra).method("POST").path("/token")],
        )
        .await;
    }
}

#[tokio::test]
async fn tokens_and_access_that_end_all_the_time_lose_nothing() {
    let world = World::with(|setting| {
        setting.token_life = Duration::from_secs(1);
        setting.sas_life = Duration::from_secs(1);
    })
    .await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    world.server.expire_tokens();
    let refused = |world: &World| {
        let requests = world.server.requests();
        let is_refused = |one: &&ts_aml_testkit::Request| one.area == Area::Blob && one.status == 403;
        requests.iter().filter(is_refused).count()
    };
    // The SAS is older than it may be, and not by our clock.
    while refused(&world) == 0 {
        tokio::task::yield_now().await;
    }
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    client.finish().await;
}

/// The machine's clock, set wrong by so many milliseconds.
#[derive(Debug)]
struct Skewed(SystemClock, i64);

#[async_trait]
impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.now().0 + self.1)
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
    async fn sleep(&self, d: Duration) {
        self.0.sleep(d).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_changes_nothing() {
    for hours in [-3, 3] {
        let world = World::fresh().await;
        let mut ctx = world.ctx();
        ctx.clock = Arc::new(Skewed(SystemClock::new(), hours * 3_600_000));
        let service = world.service(&ctx);
        let client = Client::with(&world, ctx, service).await;
        let mut watch = client.watch();
        let trial = client.submit(&Behavior::gated("go")).await;
        watch.until_metrics(&trial.id, 1).await;
        world.open_gate("go").await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
        assert_eq!(history.bodies(), Behavior::values(0, 2));
        client.finish().await;
    }
}

#[tokio::test]
async fn what_is_forbidden_ends_the_trial_and_says_which_role_is_missing() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let forbidden = Fault::Status {
        code: 403,
        retry_after: None,
    };
    world.server.fault(job_put(), forbidden, 1);
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartRefused);
    assert!(why.unblock.expect("advice").contains("AzureML Data Scientist"));
    assert_eq!(world.server.jobs().len(), 0);
    client.finish().await;
}

#[tokio::test]
async fn a_crash_behind_a_lost_answer_makes_one_job() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    world.server.fault(job_put(), Fault::ResetAfter, 1);
    let down = Fault::Status {
        code: 503,
        retry_after: None,
    };
    world.server.fault(job_put(), down, 1000);
    let trial = client.submit(&Behavior::gated("go")).await;
    while world.server.jobs().is_empty() {
        tokio::task::yield_now().await;
    }
    let client = client.crash().await;
    world.server.heal();
    let record = TrialRecord::new(trial.clone(), false, TrialStatus::Waiting, JournalCursor::default());
    let found = client.recover(&[record]).await;
    assert_eq!(found.adopted, std::slice::from_ref(&trial.id));
    let mut watch = client.watch();
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    assert_eq!(world.server.jobs().len(), 1);
    client.finish().await;
}

#[tokio::test]
async fn a_crash_before_anything_was_sent_makes_one_job() {
    for matcher in [
        job_put(),
        Matcher::any().area(Area::Blob).method("PUT").path("/start.sh"),
    ] {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        world.server.fault(matcher, Fault::ResetBefore, 1000);
        let trial = client.submit(&Behavior::quick()).await;
        let client = client.crash().await;
        world.server.heal();
        let record = TrialRecord::new(trial.clone(), false, TrialStatus::Waiting, JournalCursor::default());
        let found = client.recover(&[record]).await;
        assert_eq!(found.adopted, std::slice::from_ref(&trial.id));
        let mut watch = client.watch();
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.bodies(), Behavior::values(0, 1));
        assert_eq!(world.server.jobs().len(), 1);
        client.finish().await;
    }
}

#[tokio::test]
async fn a_request_to_stop_that_fails_is_repeated() {
    for fault in [
        Fault::Html,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::ThrottledByArm { retry_after: 1 },
    ] {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        let trial = client.submit(&Behavior::gated("never")).await;
        watch.until_metrics(&trial.id, 1).await;
        let cancels = Matcher::any().method("POST").path("/cancel");
        world.server.fault(cancels, fault.clone(), 1);
        client.cancel(&trial.id, CancelReason::User).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::UserCanceled), "{fault:?}");
        client.finish().await;
    }
}

#[tokio::test]
async fn a_crash_while_canceling_is_completed() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    let cancels = Matcher::any().method("POST").path("/cancel");
    world.server.fault(cancels, Fault::ResetBefore, 1000);
    client.cancel(&trial.id, CancelReason::EarlyStop).await;
    drop(watch);
    let client = client.crash().await;
    world.server.heal();
    let record = TrialRecord::new(trial.clone(), true, TrialStatus::Running, JournalCursor::default());
    client.recover(&[record]).await;
    let mut watch = client.watch();
    assert_eq!(
        watch.until_end(&trial.id).await.status(),
        Some(TrialStatus::EarlyStopped)
    );
    client.finish().await;
}

#[tokio::test]
async fn a_workspace_that_stays_away_is_told_and_ends_no_trial() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    world.server.fault(job_list(), Fault::Html, 1_000_000);
    let id = trial.id.clone();
    let is_told = |code| move |why: ts_core::Reason| why.code == code;
    watch
        .until("a reason", |seen| {
            seen.of(&id).why.is_some_and(is_told(ReasonCode::Unreachable))
        })
        .await;
    assert_eq!(watch.of(&trial.id).status(), Some(TrialStatus::Running));
    world.server.heal();
    watch.until("no reason", |seen| seen.of(&id).why.is_none()).await;
    world.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_told_as_it_is() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    let job = world.server.jobs().remove(0);
    world.server.tell_status(&job, Some("Hibernating"));
    let history = watch.until_status(&trial.id, TrialStatus::Unknown).await;
    assert!(history.why.expect("a reason").message.contains("`Hibernating`"));
    world.server.tell_status(&job, None);
    watch.until_status(&trial.id, TrialStatus::Running).await;
    world.server.silence(&job, true);
    let id = trial.id.clone();
    watch
        .until("a silent node", |seen| {
            seen.of(&id)
                .why
                .is_some_and(|why| why.message.contains("NotResponding"))
        })
        .await;
    world.open_gate("go").await;
    // The metric comes over the storage, whatever is heard of the node.
    watch.until_metrics(&trial.id, 2).await;
    world.server.silence(&job, false);
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    client.finish().await;
}

#[tokio::test]
async fn a_node_that_is_taken_away_ends_the_trial_as_the_platforms() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    let job = world.server.jobs().remove(0);
    world.server.preempt(&job);
    let history = watch.until_end(&trial.id).await;
    let why = history.why.clone().expect("a reason");
    assert_eq!(why.code, ReasonCode::Preempted, "{why:?}");
    assert_eq!(why.code.verdict(), Some(Verdict::Platform));
    assert_eq!(history.bodies(), Behavior::values(0, 1));
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_waits_says_for_what() {
    let world = World::with(|setting| setting.computes[0].max_nodes = 1).await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let first = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&first.id, 1).await;
    let second = client.submit(&Behavior::quick()).await;
    let id = second.id.clone();
    watch
        .until("a full cluster", |seen| {
            let why = seen.of(&id).why;
            why.is_some_and(|why| why.code == ReasonCode::Quota && why.message.contains("all 1 nodes"))
        })
        .await;
    world
        .server
        .compute_error(Some(("ClusterCoreQuotaReached", "You have no cores left.")));
    watch
        .until("a quota", |seen| {
            let why = seen.of(&id).why;
            why.is_some_and(|why| {
                why.message.contains("ClusterCoreQuotaReached") && why.unblock.is_some_and(|how| how.contains("quota"))
            })
        })
        .await;
    world.server.compute_error(None);
    world.open_gate("go").await;
    for trial in [&first, &second] {
        assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    }
    client.finish().await;
}
