//! What is put together of all that is seen.

use super::*;
use crate::names;
use serde_json::{Value, json};

#[test]
fn a_trial_is_found_by_the_names_of_its_objects_until_it_is_forgotten() {
    let trial = |id| TrialId::new(id).expect("legal");
    let mut scene = Scene::default();
    scene.enter_name(&trial("a"), "job-a".to_owned());
    scene.enter_name(&trial("a"), "job-a".to_owned());
    scene.enter_name(&trial("b"), "job-b".to_owned());
    assert_eq!(scene.trial_named("job-a"), Some(&trial("a")));
    assert_eq!(scene.trial_named("job-c"), None);
    scene.forget(&trial("a"));
    assert_eq!(scene.trial_named("job-a"), None);
    assert_eq!(scene.trial_named("job-b"), Some(&trial("b")));
    assert_eq!((scene.names.of_name.len(), scene.names.of_trial.len()), (1, 1));
}

/// A warning that the cluster told in this second.
fn told(word: &str, message: &str, second: i64, seen: Duration) -> Told {
    Told {
        event: HeldUp {
            word: word.to_owned(),
            message: message.to_owned(),
        },
        at: Some(Timestamp(second * 1000)),
        seen,
        is_live: true,
    }
}

#[test]
fn the_scheduler_is_the_reason_until_the_pod_has_a_node() {
    let trial = TrialId::new("a").expect("legal");
    let pod = |node: Value, waits: &str| {
        let pod = json!({
            "metadata": {"name": "job-a-x", "uid": "1", "labels": {names::TRIAL: "a"}},
            "spec": {"nodeName": node, "containers": [{"name": "worker"}]},
            "status": {"containerStatuses": [{
                "name": "worker", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": {"waiting": {"reason": waits}},
            }]},
        });
        PodView::of(&serde_json::from_value(pod).expect("a pod")).expect("a trial's")
    };
    let code = |scene: &Scene| scene.wait(&trial, None, Timestamp(1), Duration::ZERO).reason.code;
    let mut scene = Scene::default();
    let message = "0/1 nodes are available: 1 Insufficient cpu.";
    scene.enter_event(&trial, told("FailedScheduling", message, 1, Duration::ZERO));
    // Whichever of the two watches is ahead.
    assert_eq!(code(&scene), ReasonCode::Queued);
    scene.enter_pod(pod(Value::Null, ""));
    assert_eq!(code(&scene), ReasonCode::Queued);
    scene.enter_pod(pod("node".into(), "ContainerCreating"));
    assert_eq!(code(&scene), ReasonCode::Starting);
}

/// A pod of the trial `a` on a node, whose image is being pulled, made in this second.
fn pulling(uid: &str, second: u8) -> PodView {
    let pod = json!({
        "metadata": {
            "name": format!("job-a-{uid}"), "uid": uid, "labels": {names::TRIAL: "a"},
            "creationTimestamp": format!("1970-01-01T00:00:{second:02}Z"),
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "worker"}]},
        "status": {"containerStatuses": [{
            "name": "worker", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"waiting": {"reason": "ContainerCreating"}},
        }]},
    });
    PodView::of(&serde_json::from_value(pod).expect("a pod")).expect("a trial's")
}

#[test]
fn a_warning_of_a_node_that_is_not_told_again_is_past() {
    let trial = TrialId::new("a").expect("legal");
    let mut scene = Scene::default();
    scene.enter_pod(pulling("1", 1));
    let is_hopeless = |scene: &Scene, minutes: u64| {
        let elapsed = Duration::from_mins(minutes);
        scene.wait(&trial, None, Timestamp(1), elapsed).is_hopeless
    };
    let failed = |minutes: u64, second| told("FailedMount", "timed out", second, Duration::from_mins(minutes));
    scene.enter_event(&trial, failed(1, 2));
    assert!(is_hopeless(&scene, 2));
    assert!(!is_hopeless(&scene, 8), "the pod has gone on; its image is large");
    scene.enter_event(&trial, failed(9, 600));
    assert!(is_hopeless(&scene, 14), "it is told again");
    // A new connection brings all of them once more.
    for second in [600, 2] {
        let mut listed = failed(30, second);
        listed.is_live = false;
        scene.enter_event(&trial, listed);
    }
    assert!(!is_hopeless(&scene, 31));
    let mut other = Scene::default();
    other.enter_pod(pulling("1", 1));
    let mut listed = failed(30, 2);
    listed.is_live = false;
    other.enter_event(&trial, listed);
    let wait = other.wait(&trial, None, Timestamp(1), Duration::from_mins(31));
    assert!(
        wait.reason.message.contains("cannot be mounted") && !wait.is_hopeless,
        "{wait:?}"
    );
}

#[test]
fn that_a_pod_cannot_be_made_is_past_once_one_is_made() {
    let trial = TrialId::new("a").expect("legal");
    let mut scene = Scene::default();
    let is_hopeless = |scene: &Scene| {
        let late = Duration::from_hours(1);
        scene.wait(&trial, None, Timestamp(1), late).is_hopeless
    };
    scene.enter_event(&trial, told("FailedCreate", "webhook", 10, Duration::ZERO));
    assert!(is_hopeless(&scene), "an operator may take long to try again");
    scene.enter_pod(pulling("1", 5));
    assert!(is_hopeless(&scene), "another pod is missing");
    scene.enter_pod(pulling("2", 20));
    assert!(!is_hopeless(&scene));
    scene.enter_event(&trial, told("FailedCreate", "webhook", 30, Duration::ZERO));
    assert!(is_hopeless(&scene));
}
