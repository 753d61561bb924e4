//! Whose end is a trial's, by what its pods show.

use super::*;
use crate::{
    pods::PodView,
    relay::{Exit, Spoken},
    scene::Scene,
};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_000_000);

/// A pod of a trial whose container ended so.
fn view(name: &str, ended: &Value) -> PodView {
    let pod = json!({
        "metadata": {"name": name, "uid": name, "labels": {"trialId": "t1", "nniRole": "worker"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "trial", "env": [{"name": "NNI_POD_NAME"}]}]},
        "status": {"phase": "Failed", "containerStatuses": [{
            "name": "trial", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": ended},
        }]},
    });
    PodView::of(&serde_json::from_value(pod).expect("a pod")).expect("one of ours")
}

fn ended(code: i32, reason: &str, at: &str) -> Value {
    json!({"exitCode": code, "reason": reason, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": at})
}

/// How a job of these pods failed; the object names the one that counts, or none.
fn failure_of(views: Vec<PodView>, named: Option<&str>) -> End {
    let mut scene = Scene::default();
    let trial = views[0].trial.clone();
    for view in views {
        scene.enter_pod(view);
    }
    let failure = Failure {
        pod: named.map(str::to_owned),
        ..Failure::default()
    };
    let pods: Vec<&Pod> = scene.pods_of(&trial).collect();
    failed(&pods, None, &failure, NOW, "")
}

fn said(end: &End) -> &str {
    end.why.as_ref().map_or("", |why| &why.message)
}

#[test]
fn the_first_pod_that_failed_counts_unless_the_object_names_another() {
    let first = || view("a-0", &ended(3, "Error", "2026-01-01T00:00:01Z"));
    let second = || view("b-0", &ended(143, "Error", "2026-01-01T00:00:09Z"));
    let end = failure_of(vec![second(), first()], None);
    assert!(said(&end).contains('3') && !said(&end).contains("143"), "{end:?}");
    let end = failure_of(vec![second(), first()], Some("a-0"));
    assert!(!said(&end).contains("143"), "{end:?}");
    let end = failure_of(vec![first(), second()], Some("b-0"));
    assert_ne!(said(&end), said(&failure_of(vec![first(), second()], None)), "{end:?}");
}

#[test]
fn a_node_that_lost_a_container_does_not_know_how_it_ended() {
    let lost = || view("a-0", &ended(137, "ContainerStatusUnknown", "2026-01-01T00:00:01Z"));
    let end = failure_of(vec![lost()], None);
    assert_eq!(end.status, TrialStatus::SysCanceled, "{end:?}");
    assert!(said(&end).contains("lost the container"), "{end:?}");

    // What was seen before is not forgotten for it.
    let known = view("a-0", &ended(3, "Error", "2026-01-01T00:00:01Z"));
    let end = failure_of(vec![known, lost()], None);
    assert_eq!(end.status, TrialStatus::Failed, "{end:?}");

    // Nor what the pod itself has said.
    let mut scene = Scene::default();
    let pod = scene.enter_pod(lost());
    pod.spoken = Some(Spoken::Ended(Exit { code: 5, at: 1 }));
    let trial = pod.view.trial.clone();
    let pods: Vec<&Pod> = scene.pods_of(&trial).collect();
    let end = failed(&pods, None, &Failure::default(), NOW, "");
    assert_eq!(end.status, TrialStatus::Failed, "{end:?}");
    assert!(said(&end).contains('5'), "{end:?}");
}

/// A pod whose init container ended so; that of the trial never began.
fn not_begun(code: i32, is_going: bool) -> PodView {
    let mut pod = json!({
        "metadata": {"name": "a-0", "uid": "a-0", "labels": {"trialId": "t1", "nniRole": "worker"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "trial", "env": [{"name": "NNI_POD_NAME"}]}]},
        "status": {
            "phase": "Failed",
            "initContainerStatuses": [
                {"name": "fine", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"terminated": ended(0, "Completed", "2026-01-01T00:00:01Z")}},
                {"name": "frameworkbarrier", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code, "message": "waited for 600 s\n"}}},
            ],
            "containerStatuses": [{"name": "trial", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "PodInitializing"}}}],
        },
    });
    if is_going {
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:01Z".into();
    }
    PodView::of(&serde_json::from_value(pod).expect("a pod")).expect("one of ours")
}

#[test]
fn an_init_container_that_failed_is_named() {
    let end = failure_of(vec![not_begun(201, false)], None);
    assert_eq!(end.status, TrialStatus::Failed, "{end:?}");
    for word in ["`frameworkbarrier`", "`a-0`", "201", "waited for 600 s"] {
        assert!(said(&end).contains(word), "{word}: {end:?}");
    }
    assert!(!not_begun(201, false).has_begun(), "there is no log of the trial");
    // Somebody has removed the pod.
    let end = failure_of(vec![not_begun(143, true)], None);
    assert_eq!(end.status, TrialStatus::SysCanceled, "{end:?}");
}
