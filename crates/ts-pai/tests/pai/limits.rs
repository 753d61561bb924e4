//! Tokens and the limits of the server.

use crate::{
    server::{Fault, PASSWORD},
    world::World,
};
use axum::http::Method;
use std::time::Duration;
use ts_core::{
    CancelReason, Ctx, ErrorKind, LogKind, ReasonCode, Secret, TrialStatus, WatchRequest, config::SecretRef,
};
use ts_pai::Credential;
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

#[tokio::test]
async fn a_password_is_exchanged_for_tokens_that_are_renewed() {
    let world = World::with(|setting| setting.login_life = Duration::from_millis(1500)).await;
    let mut config = world.config();
    config.credential = Credential::Password(SecretRef::Literal(Secret::new(PASSWORD)));
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    while *world.server.shared.cluster.n_logins.lock().expect("no panic") < 3 {
        tokio::task::yield_now().await;
    }
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    assert!(history.why.is_none());
    client.finish().await;
}

#[tokio::test]
async fn wrong_credentials_are_told_before_the_first_trial() {
    let world = World::fresh().await;
    let wrong = |secret: &str| SecretRef::Literal(Secret::new(secret));
    for (credential, expected) in [
        (Credential::Token(wrong("stale-token")), "Your token is invalid."),
        (Credential::Password(wrong("not-this-one")), "Password is incorrect."),
    ] {
        let mut config = world.config();
        config.credential = credential;
        let ctx = world.ctx();
        let service = world.service_of(&ctx, config);
        let error = service.validate(&world.spec).await.expect_err("wrong");
        assert_eq!(error.kind(), ErrorKind::Auth, "{error:?}");
        assert!(
            error.message().contains(expected) && error.help().is_some(),
            "{error:?}"
        );
        let shown = format!("{error:?} {service:?}");
        assert!(
            !shown.contains("stale-token") && !shown.contains("not-this-one"),
            "{shown}"
        );
        ctx.tasks.close().await;
    }
}

#[tokio::test]
async fn the_limit_of_submits_is_told_and_kept() {
    let world = World::with(|setting| setting.limits[2] = 1).await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let first = client.submit(&Behavior::quick()).await;
    watch.until_end(&first.id).await;
    let second = client.submit(&Behavior::quick()).await;
    let id = second.id.clone();
    watch
        .until("the limit", |seen| {
            seen.of(&id)
                .why
                .is_some_and(|why| why.code == ReasonCode::Quota && why.message.contains("in an hour"))
        })
        .await;
    assert_eq!(world.server.count("POST", "/api/v2/jobs"), 1, "it waits without asking");
    client.cancel(&second.id, CancelReason::User).await;
    assert_eq!(
        watch.until_end(&second.id).await.status(),
        Some(TrialStatus::UserCanceled)
    );
    client.finish().await;
}

#[tokio::test]
async fn a_refusal_by_the_limiter_is_waited_out() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world.server.fail(Method::POST, "/api/v2/jobs", Fault::Limited(2), 1);
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), Behavior::values(0, 1));
    assert_eq!(world.server.count("POST", "/api/v2/jobs"), 2);
    client.finish().await;
}

#[tokio::test]
async fn lists_take_half_of_what_the_limiter_leaves() {
    let world = World::with(|setting| setting.limits[1] = 12).await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    let n_lists = world.server.count("GET", "/api/v2/jobs?");
    assert!(n_lists <= 6, "{n_lists} lists of 12 a minute");
    client.finish().await;
}

#[tokio::test]
async fn running_trials_cost_one_list_and_nothing_each() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let mut trials = Vec::new();
    for _ in 0..12 {
        trials.push(client.submit(&Behavior::gated("go")).await);
    }
    for trial in &trials {
        watch.until_status(&trial.id, TrialStatus::Running).await;
    }
    let before = (
        world.server.count("GET", "/api/v2/jobs/"),
        world.server.count("GET", "/api/v2/jobs?"),
    );
    while world.server.count("GET", "/api/v2/jobs?") < before.1 + 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        world.server.count("GET", "/api/v2/jobs/"),
        before.0,
        "details of jobs that run"
    );
    world.open_gate("go").await;
    for trial in &trials {
        watch.until_end(&trial.id).await;
    }
    let done = world.server.count("GET", "/api/v2/jobs/");
    assert!(done - before.0 <= 24, "{} details of 12 ends", done - before.0);
    client.finish().await;
}

/// Its manager sends it when the limit lets it: whoever looks on waits, too.
#[tokio::test]
async fn a_trial_of_another_manager_that_is_not_sent_yet_is_not_lost() {
    let world = World::with(|setting| setting.limits[2] = 1).await;
    let client = Client::start(&world).await;
    let first = client.submit(&Behavior::quick()).await;
    client.watch().until_end(&first.id).await;
    let second = client.submit(&Behavior::quick()).await;
    let mut config = world.config();
    config.vanish_after = Duration::from_millis(500);
    let ctx = Ctx::new(world.path("other"));
    let other = Client::with(&world, ctx.clone(), world.service_of(&ctx, config)).await;
    let mut request = WatchRequest::new();
    request.logs.push((second.id.clone(), LogKind::Stdout));
    let mut watch = other.watch_from(request);
    watch.until_status(&second.id, TrialStatus::Waiting).await;
    // Of twelve looks the last comes a second after the first.
    let looks = async {
        while world.server.count("GET", &format!("_trial_{}", second.id)) < 12 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        history = watch.until_end(&second.id) => panic!("{history:?}"),
        () = looks => {}
    }
    ctx.tasks.close().await;
    client.cancel(&second.id, CancelReason::User).await;
    client.watch().until_end(&second.id).await;
    client.finish().await;
}
