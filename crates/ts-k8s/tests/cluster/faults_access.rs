//! Who the manager is, what it may do, and what time it is, as the cluster sees it.

use crate::{
    faults::{World, gated, goes_on, goes_on_without_its_manager, until, until_reason},
    world::MANAGER,
};
use ts_core::{CancelReason, ReasonCode, TrialStatus};
use ts_k8s_testkit::{Rule, Setting, User};
use ts_testkit::conformance::{Client, Fixture as _};

/// All that the manager needs but these verbs and resources.
pub(crate) fn may_all_but(world: &World, verb: &str, resources: &[&str]) {
    let (all, rest): (Vec<&str>, Vec<&str>) = (
        vec![
            "jobs",
            "pods",
            "pods/log",
            "pods/exec",
            "configmaps",
            "secrets",
            "events",
        ],
        vec![
            "get",
            "list",
            "watch",
            "create",
            "update",
            "patch",
            "delete",
            "deletecollection",
        ],
    );
    let others: Vec<&str> = all.iter().copied().filter(|one| !resources.contains(one)).collect();
    let verbs: Vec<&str> = rest.iter().copied().filter(|one| *one != verb).collect();
    let rule = |resources: &[&str], verbs: &[&str]| Rule::new("*", &resources.join(" "), &verbs.join(" "), None);
    let rules = vec![rule(&others, &rest), rule(resources, &verbs)];
    world.server.set_user(User::with_rules(MANAGER, rules));
}

fn may_all(world: &World) {
    world.server.set_user(User::admin(MANAGER));
}

fn was_refused(world: &World, code: u16) -> bool {
    world.server.requests().iter().any(|request| request.status == code)
}

async fn token_expires(world: &World) {
    world.server.clear_requests();
    world.server.rotate_token(MANAGER, "another-token");
    world.server.reset_connections();
    until("a refusal", || was_refused(world, 401)).await;
    world.write_kubeconfig();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_and_a_kubeconfig_that_is_renewed() {
    goes_on(World::fresh().await, token_expires).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_rotated_while_the_manager_dies() {
    goes_on_without_its_manager(World::fresh().await, async |world: &World| {
        world.server.rotate_token(MANAGER, "another-token");
        world.write_kubeconfig();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_is_told() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated(0)).await;
    watch.until_metrics(&trial.id, 2).await;
    world.server.rotate_token(MANAGER, "another-token");
    world.server.reset_connections();
    watch.until_status(&trial.id, TrialStatus::Unknown).await;
    let why = until_reason(&mut watch, &trial.id, ReasonCode::Unreachable).await;
    assert!(
        why.contains("refused the credentials") || why.contains("does not answer"),
        "{why}"
    );
    world.write_kubeconfig();
    world.open_gate("go").await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!((end.status(), end.bodies().len()), (Some(TrialStatus::Succeeded), 4));
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_that_are_taken_away_and_given_back() {
    for (verb, resources) in [("watch", vec!["jobs", "pods"]), ("get", vec!["pods/log"])] {
        goes_on(World::fresh().await, async |world: &World| {
            world.server.clear_requests();
            may_all_but(world, verb, &resources);
            world.server.reset_connections();
            until("a refusal", || was_refused(world, 403)).await;
            world.open_gate("go").await;
            may_all(world);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_is_not_allowed_is_carried_out_once_it_is() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated(0)).await;
    watch.until_metrics(&trial.id, 2).await;
    may_all_but(&world, "delete", &["jobs"]);
    client.cancel(&trial.id, CancelReason::User).await;
    until("a refusal", || was_refused(&world, 403)).await;
    may_all(&world);
    let end = watch.until_end(&trial.id).await;
    assert_eq!((end.status(), end.bodies().len()), (Some(TrialStatus::UserCanceled), 2));
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_the_right_to_read_events_runs_trials() {
    let world = World::fresh().await;
    may_all_but(&world, "watch", &["events"]);
    goes_on(world, async |_: &World| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_by_hours() {
    for hours in [-5, 5] {
        let setting = Setting {
            clock_seconds: hours * 3600,
            ..Setting::default()
        };
        goes_on(World::with(setting).await, async |world: &World| {
            world.server.cut_watches();
        })
        .await;
    }
}
