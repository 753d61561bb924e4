//! Every state that the operators are known to show, a line each.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn conditions(list: &[(&str, &str)]) -> Value {
    let list: Vec<Value> = list
        .iter()
        .map(|(name, status)| json!({"type": name, "status": status, "reason": format!("{name}Reason"), "message": "said"}))
        .collect();
    json!({"conditions": list})
}

fn kind_of(state: &JobState) -> &'static str {
    match state {
        JobState::Waiting(None) => "waiting",
        JobState::Waiting(Some(_)) => "suspended",
        JobState::Running => "running",
        JobState::Succeeded(_) => "succeeded",
        JobState::Failed(_) => "failed",
    }
}

#[test]
fn conditions_are_read_by_meaning_and_not_by_order() {
    use JobKind::{Job, PyTorchJob, TfJob, TrainJob};
    type Row = (JobKind, &'static [(&'static str, &'static str)], &'static str);
    let table: &[Row] = &[
        (TfJob, &[], "waiting"),
        (TfJob, &[("Created", "True")], "waiting"),
        (TfJob, &[("Created", "True"), ("Running", "True")], "running"),
        (
            TfJob,
            &[("Created", "True"), ("Running", "False"), ("Succeeded", "True")],
            "succeeded",
        ),
        (
            TfJob,
            &[("Succeeded", "True"), ("Running", "False"), ("Created", "True")],
            "succeeded",
        ),
        (TfJob, &[("Created", "True"), ("Restarting", "True")], "running"),
        (
            TfJob,
            &[("Created", "True"), ("Failed", "True"), ("Running", "False")],
            "failed",
        ),
        (TfJob, &[("Succeeded", "True"), ("Failed", "True")], "failed"),
        (
            PyTorchJob,
            &[("Created", "True"), ("Suspended", "True"), ("Running", "False")],
            "suspended",
        ),
        (PyTorchJob, &[("Suspended", "False"), ("Running", "True")], "running"),
        (PyTorchJob, &[("Failed", "False")], "waiting"),
        (Job, &[], "waiting"),
        (Job, &[("Suspended", "True")], "suspended"),
        (Job, &[("FailureTarget", "True")], "waiting"),
        (Job, &[("SuccessCriteriaMet", "True")], "waiting"),
        (
            Job,
            &[("SuccessCriteriaMet", "True"), ("Complete", "True")],
            "succeeded",
        ),
        (Job, &[("FailureTarget", "True"), ("Failed", "True")], "failed"),
        (TrainJob, &[], "waiting"),
        (TrainJob, &[("Suspended", "True")], "suspended"),
        (TrainJob, &[("Complete", "True")], "succeeded"),
        (TrainJob, &[("Failed", "True")], "failed"),
    ];
    for (kind, list, expected) in table {
        assert_eq!(
            kind_of(&state_of(*kind, &conditions(list))),
            *expected,
            "{kind:?} {list:?}"
        );
    }
}

#[test]
fn counts_tell_that_a_job_runs() {
    let running = json!({"ready": 1, "active": 1});
    assert_eq!(state_of(JobKind::Job, &running), JobState::Running);
    assert_eq!(state_of(JobKind::Job, &json!({"active": 1})), JobState::Waiting(None));
    let trainer = |ready: u32| json!({"jobsStatus": [{"name": "node", "ready": ready, "active": 1}]});
    assert_eq!(state_of(JobKind::TrainJob, &trainer(1)), JobState::Running);
    assert_eq!(state_of(JobKind::TrainJob, &trainer(0)), JobState::Waiting(None));
}

#[test]
fn every_state_of_a_framework_has_its_meaning() {
    let of = |state: &str, completion: Value| {
        state_of(
            JobKind::Framework,
            &json!({"state": state, "attemptStatus": {"completionStatus": completion}}),
        )
    };
    for state in [
        "",
        "AttemptCreationPending",
        "AttemptCreationRequested",
        "AttemptPreparing",
        "Invented",
    ] {
        assert_eq!(of(state, Value::Null), JobState::Waiting(None), "{state}");
    }
    for state in [
        "AttemptRunning",
        "AttemptDeletionPending",
        "AttemptDeletionRequested",
        "AttemptDeleting",
        "AttemptCompleted",
    ] {
        assert_eq!(of(state, Value::Null), JobState::Running, "{state}");
    }
    assert_eq!(
        of("Completed", json!({"code": 0, "type": {"name": "Succeeded"}})),
        JobState::Succeeded(None)
    );
    let failed = |code: i32| {
        let completion = json!({"code": code, "phrase": "P", "diagnostics": "d", "type": {"name": "Failed"}});
        match of("Completed", completion) {
            JobState::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failed(3).code, Some(3));
    assert_eq!(failed(-210).code, None);
    assert_eq!((failed(3).reason.as_str(), failed(3).message.as_str()), ("P", "d"));
}

#[test]
fn times_are_read_as_the_cluster_writes_them() {
    assert_eq!(time(&json!("2026-01-01T00:00:01Z")), Some(Timestamp(1_767_225_601_000)));
    assert_eq!(time(&json!("yesterday")), None);
    assert_eq!(time(&Value::Null), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "conditions",
        "type",
        "status",
        "True",
        "Failed",
        "state",
        "Completed",
        "x",
        "ready",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..4)
                .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Value>()),
        ]
    })
}

proptest! {
    #[test]
    fn anything_that_a_server_may_say_has_a_meaning(status in any_json()) {
        for kind in [JobKind::Job, JobKind::TfJob, JobKind::PyTorchJob, JobKind::TrainJob, JobKind::Framework] {
            let _ = state_of(kind, &status);
        }
    }
}

#[test]
fn a_framework_names_the_task_that_ended_it() {
    let task = |pod: &str, index: u32| json!({"index": index, "attemptStatus": {"podName": pod}});
    let status = json!({
        "state": "Completed",
        "attemptStatus": {
            "completionStatus": {
                "code": 7, "phrase": "x", "type": {"name": "Failed"},
                "trigger": {"message": "said", "taskRoleName": "worker", "taskIndex": 1},
            },
            "taskRoleStatuses": [
                {"name": "ps", "taskStatuses": [task("f-ps-0", 0), task("f-ps-1", 1)]},
                {"name": "worker", "taskStatuses": [task("f-worker-0", 0), task("f-worker-1", 1)]},
            ],
        },
    });
    let JobState::Failed(failure) = state_of(JobKind::Framework, &status) else {
        panic!("it failed");
    };
    assert_eq!(failure.pod.as_deref(), Some("f-worker-1"));
}
