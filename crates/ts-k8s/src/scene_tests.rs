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
    let code = |scene: &Scene| scene.wait(&trial, None, Timestamp(1)).reason.code;
    let mut scene = Scene::default();
    let event = HeldUp {
        word: "FailedScheduling".to_owned(),
        message: "0/1 nodes are available: 1 Insufficient cpu.".to_owned(),
    };
    scene.enter_event(&trial, event);
    // Whichever of the two watches is ahead.
    assert_eq!(code(&scene), ReasonCode::Queued);
    scene.enter_pod(pod(Value::Null, ""));
    assert_eq!(code(&scene), ReasonCode::Queued);
    scene.enter_pod(pod("node".into(), "ContainerCreating"));
    assert_eq!(code(&scene), ReasonCode::Starting);
}
