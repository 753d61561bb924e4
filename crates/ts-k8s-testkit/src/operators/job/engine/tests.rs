//! One test for each rule of the controller of Jobs.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a table of cases reads better without borrows"
)]

use super::*;
use std::sync::Arc;

fn view(spec: &Value, status: Value, pods: Vec<Value>) -> View {
    View {
        object: Arc::new(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": "j", "namespace": "n", "uid": "u" },
            "spec": spec,
            "status": status,
        })),
        pods: pods.into_iter().map(Arc::new).collect(),
        services: vec![],
        config_maps: vec![],
        runtime: None,
        refused: vec![],
        now: "2026-01-01T00:01:00Z".parse().unwrap(),
    }
}

fn pod(name: &str, phase: &str) -> Value {
    json!({ "metadata": { "name": name, "uid": name }, "status": { "phase": phase } })
}

fn plan(minor: u32, view: &View) -> Plan {
    Jobs { server_minor: minor }.plan(view)
}

fn conditions(plan: &Plan) -> Vec<String> {
    let conditions = list(plan.status.as_ref().unwrap(), "/conditions").iter();
    conditions
        .map(|entry| {
            format!(
                "{}={} {}",
                text(entry, "/type"),
                text(entry, "/status"),
                text(entry, "/reason")
            )
        })
        .collect()
}

fn deleted(plan: &Plan) -> Vec<&str> {
    let names = plan.actions.iter().filter_map(|action| match action {
        Action::Delete { name, .. } => Some(name.as_str()),
        _ => None,
    });
    names.collect()
}

#[test]
fn a_new_job_starts_and_gets_its_pod() {
    let plan = plan(20, &view(&json!({ "template": { "spec": {} } }), Value::Null, vec![]));
    assert_eq!(
        plan.status,
        Some(json!({ "startTime": "2026-01-01T00:01:00Z", "active": 1 }))
    );
    assert!(matches!(&plan.actions[..], [Action::Create(Kind::Pod, _)]));
}

#[test]
fn fields_depend_on_the_release() {
    let status = plan(31, &view(&json!({}), Value::Null, vec![pod("a", "Pending")]))
        .status
        .unwrap();
    assert_eq!(
        status,
        json!({
            "startTime": "2026-01-01T00:01:00Z", "active": 1, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {},
        })
    );
}

#[test]
fn success_has_a_time_and_on_old_servers_no_reason() {
    let plan = plan(20, &view(&json!({}), Value::Null, vec![pod("a", "Succeeded")]));
    assert_eq!(conditions(&plan), ["Complete=True "]);
    let status = plan.status.unwrap();
    assert_eq!(
        (&status["succeeded"], &status["completionTime"]),
        (&json!(1), &json!("2026-01-01T00:01:00Z"))
    );
}

#[test]
fn failure_deletes_what_runs_counts_it_and_has_no_time() {
    let spec = json!({ "backoffLimit": 0, "parallelism": 2, "completions": 2 });
    let plan = plan(
        20,
        &view(&spec, Value::Null, vec![pod("a", "Failed"), pod("b", "Running")]),
    );
    assert_eq!(conditions(&plan), ["Failed=True BackoffLimitExceeded"]);
    assert_eq!(deleted(&plan), ["b"]);
    let status = plan.status.unwrap();
    assert_eq!(
        (&status["failed"], status.get("completionTime"), status.get("active")),
        (&json!(2), None, None)
    );
}

#[test]
fn newer_servers_say_first_what_is_to_come() {
    let spec = json!({ "backoffLimit": 0, "parallelism": 2, "completions": 2 });
    let first = plan(
        31,
        &view(&spec, Value::Null, vec![pod("a", "Failed"), pod("b", "Running")]),
    );
    assert_eq!(conditions(&first), ["FailureTarget=True BackoffLimitExceeded"]);
    let second = plan(31, &view(&spec, first.status.unwrap(), vec![pod("a", "Failed")]));
    assert_eq!(
        conditions(&second),
        [
            "FailureTarget=True BackoffLimitExceeded",
            "Failed=True BackoffLimitExceeded"
        ]
    );
    let complete = plan(31, &view(&json!({}), Value::Null, vec![pod("a", "Succeeded")]));
    assert_eq!(
        conditions(&complete),
        [
            "SuccessCriteriaMet=True CompletionsReached",
            "Complete=True CompletionsReached"
        ]
    );
}

#[test]
fn a_deadline_is_waited_for_and_then_ends_the_job() {
    let spec = json!({ "activeDeadlineSeconds": 90 });
    let status = json!({ "startTime": "2026-01-01T00:00:00Z" });
    let waiting = plan(20, &view(&spec, status.clone(), vec![pod("a", "Running")]));
    assert_eq!(waiting.wake, Some(Duration::from_secs(30)));
    let spec = json!({ "activeDeadlineSeconds": 60 });
    let ended = plan(20, &view(&spec, status, vec![pod("a", "Running")]));
    assert_eq!(conditions(&ended), ["Failed=True DeadlineExceeded"]);
    assert_eq!(deleted(&ended), ["a"]);
}

#[test]
fn a_finished_job_changes_no_more_and_goes_after_its_time() {
    let ended =
        json!({ "conditions": [{ "type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:30Z" }] });
    let spec = json!({ "ttlSecondsAfterFinished": 60 });
    let waiting = plan(21, &view(&spec, ended.clone(), vec![]));
    assert_eq!(
        (waiting.status, waiting.actions, waiting.wake),
        (None, vec![], Some(Duration::from_secs(30)))
    );
    let spec = json!({ "ttlSecondsAfterFinished": 0 });
    assert_eq!(
        plan(21, &view(&spec, ended.clone(), vec![])).actions,
        [Action::DeleteSelf]
    );
    assert_eq!(plan(20, &view(&spec, ended, vec![])).actions, []);
}

#[test]
fn a_suspended_job_has_no_pods_and_its_clock_starts_anew() {
    let spec = json!({ "suspend": true });
    let started = json!({ "startTime": "2026-01-01T00:00:00Z" });
    let suspended = plan(21, &view(&spec, started, vec![pod("a", "Running")]));
    assert_eq!(conditions(&suspended), ["Suspended=True JobSuspended"]);
    assert_eq!(deleted(&suspended), ["a"]);
    let status = suspended.status.unwrap();
    assert_eq!(status.get("startTime"), None);
    let resumed = plan(21, &view(&json!({}), status, vec![]));
    assert_eq!(conditions(&resumed), ["Suspended=False JobResumed"]);
    assert_eq!(resumed.status.unwrap()["startTime"], "2026-01-01T00:01:00Z");
    // 1.20 does not know the field.
    assert!(matches!(
        plan(20, &view(&spec, Value::Null, vec![])).actions[..],
        [Action::Create(..)]
    ));
}

#[test]
fn a_refused_pod_is_told_and_tried_again() {
    let mut view = view(&json!({}), Value::Null, vec![]);
    view.refused.push(crate::operators::plan::Refusal {
        kind: Kind::Pod,
        name: "j-x".to_owned(),
        code: 403,
        message: "pods \"j-x\" is forbidden: exceeded quota".to_owned(),
    });
    let plan = plan(20, &view);
    let message = "Error creating: pods \"j-x\" is forbidden: exceeded quota".to_owned();
    assert_eq!(
        plan.actions[0],
        Action::Event {
            warning: true,
            reason: "FailedCreate".to_owned(),
            message
        }
    );
    assert!(matches!(plan.actions[1], Action::Create(..)));
    assert_eq!(plan.status.unwrap().get("active"), None);
}

#[test]
fn a_disrupted_pod_is_replaced_without_counting() {
    let spec = json!({
        "backoffLimit": 0,
        "podFailurePolicy": { "rules": [{ "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget" }] }] },
    });
    let mut evicted = pod("a", "Failed");
    evicted["status"]["conditions"] = json!([{ "type": "DisruptionTarget", "status": "True" }]);
    let modern = plan(31, &view(&spec, Value::Null, vec![evicted.clone()]));
    assert!(matches!(modern.actions[..], [Action::Create(..)]));
    assert_eq!(
        conditions(&plan(20, &view(&spec, Value::Null, vec![evicted]))),
        ["Failed=True BackoffLimitExceeded"]
    );
}

#[test]
fn a_job_of_another_manager_is_left_alone() {
    let plan = plan(
        31,
        &view(
            &json!({ "managedBy": "kueue.x-k8s.io/multikueue" }),
            Value::Null,
            vec![],
        ),
    );
    assert_eq!((plan.actions, plan.status), (vec![], None));
}
