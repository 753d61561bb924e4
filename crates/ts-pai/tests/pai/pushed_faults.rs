//! Whatever goes wrong between containers and the manager: each metric once, each byte once, one end.

use crate::{
    proxy::{Fate, Proxy},
    pushed::Pushing,
};
use std::{path::PathBuf, sync::atomic::Ordering};
use ts_core::{ErrorKind, JournalCursor, TrialId, TrialRecord, TrialStatus, http::Url};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

fn chatty() -> Behavior {
    Behavior::Exit {
        metrics: Behavior::values(0, 20),
        code: 0,
    }
}

/// Sends what containers push through a network with these fates.
async fn through(world: &mut Pushing, fates: &'static [Fate]) -> Proxy {
    world.reserve();
    let proxy = Proxy::start(world.push.listen, fates).await;
    world.push.address = Url::parse(&format!("http://{}", proxy.address)).expect("an address");
    proxy
}

fn in_container(world: &Pushing, trial: &TrialId, name: &str) -> PathBuf {
    let root = world.world.path("container").join(world.world.spec.id.as_str());
    root.join(trial.as_str()).join(".push").join(name)
}

#[expect(clippy::disallowed_methods, reason = "processes of a container take real time")]
async fn until_there(path: &std::path::Path) {
    let there = async {
        while !path.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_mins(1), there).await;
    assert!(waited.is_ok(), "{} never came", path.display());
}

#[tokio::test]
async fn a_network_that_loses_much_loses_and_doubles_nothing() {
    use Fate::{HalfAnswer, HalfRequest, LostAnswer, Passed, Refused};
    for client in [("curl", "curl"), ("wget", "wget"), ("wget", "busybox")] {
        let mut world = Pushing::with_client(Some(client)).await;
        let fates = &[
            LostAnswer,
            Passed,
            HalfAnswer,
            Passed,
            Refused,
            Passed,
            HalfRequest,
            Passed,
            Passed,
        ];
        let proxy = through(&mut world, fates).await;
        let manager = Client::start(&world).await;
        let mut watch = manager.watch();
        let trial = manager.submit(&chatty()).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{client:?} {history:?}");
        assert_eq!(history.bodies(), Behavior::values(0, 20), "{client:?}");
        assert!(proxy.count.load(Ordering::Relaxed) > fates.len(), "{client:?}");
        manager.finish().await;
    }
}

#[tokio::test]
async fn a_trial_that_ends_while_the_manager_is_away_waits_for_it() {
    let mut world = Pushing::fresh().await;
    world.reserve();
    let manager = Client::start(&world).await;
    let mut watch = manager.watch();
    let trial = manager.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    drop(watch);
    // Nobody listens between this and `recover`.
    let manager = manager.crash().await;
    world.open_gate("go").await;
    until_there(&in_container(&world, &trial.id, "exit")).await;
    let record = TrialRecord::new(trial.clone(), false, TrialStatus::Running, JournalCursor::default());
    let found = manager.recover(&[record]).await;
    assert_eq!(found.adopted, std::slice::from_ref(&trial.id));
    let mut watch = manager.watch();
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    manager.finish().await;
}

#[tokio::test]
async fn the_token_is_in_no_argument_and_no_variable_of_the_trial() {
    let world = Pushing::fresh().await;
    let manager = Client::start(&world).await;
    let mut watch = manager.watch();
    let trial = manager.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    let token = world.token().expect("a token");
    for process in std::fs::read_dir("/proc").expect("processes").flatten() {
        let read = |name: &str| std::fs::read(process.path().join(name)).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&read("cmdline")).into_owned();
        assert!(!arguments.contains(&token), "{arguments}");
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        let is_trials = environment.contains(&format!("NNI_EXP_ID={}", world.world.spec.id));
        assert!(!is_trials || !environment.contains(&token), "{arguments}");
    }
    world.open_gate("go").await;
    watch.until_end(&trial.id).await;
    manager.finish().await;
}

#[tokio::test]
async fn a_port_that_another_program_has_is_told_with_its_key() {
    let mut world = Pushing::fresh().await;
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    world.push.listen = other.local_addr().expect("bound");
    let manager = Client::start(&world).await;
    let error = manager.service.validate(&manager.spec).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Conflict, Some("push.listen")));
    assert!(
        error.help().is_some_and(|help| help.contains("another port")),
        "{error:?}"
    );
    let trial = manager.trial(&chatty());
    let error = manager.service.submit(&manager.code, &trial).await.unwrap_err();
    assert_eq!(error.key(), Some("push.listen"));
    drop(other);
    manager.service.validate(&manager.spec).await.expect("free now");
    manager.finish().await;
}

#[tokio::test]
async fn validate_says_which_way_is_taken_and_what_to_do_about_it() {
    let mut world = Pushing::fresh().await;
    let told = async |world: &Pushing| {
        let manager = Client::start(world).await;
        let warnings = manager.service.validate(&manager.spec).await.expect("good");
        manager.finish().await;
        format!("{warnings:?}")
    };
    let text = told(&world).await;
    for part in [
        "push there what they write",
        "only this machine itself",
        "unencrypted",
        "https://",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    world.push.listen.set_ip([0, 0, 0, 0].into());
    world.push.address = Url::parse("https://push.example.org/nni").expect("an address");
    let text = told(&world).await;
    assert!(text.contains("push there what they write"), "{text}");
    for part in ["only this machine itself", "unencrypted"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
}
