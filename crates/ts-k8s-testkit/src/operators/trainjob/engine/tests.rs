//! One test for each rule of the trainer.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a table of cases reads better without borrows"
)]

use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

fn view(spec: Value, status: Value, pods: Vec<Value>) -> View {
    let mut object = json!({
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": { "name": "t", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "runtimeRef": { "name": "torch-distributed" } },
        "status": status,
    });
    section(&mut object, &["spec"]).extend(spec.as_object().unwrap().clone());
    let runtime = json!({ "spec": {
        "mlPolicy": { "numNodes": 1, "torch": {} },
        "template": { "spec": { "replicatedJobs": [{
            "name": "node",
            "template": {
                "metadata": { "labels": { "trainer.kubeflow.org/trainjob-ancestor-step": "trainer" } },
                "spec": { "template": { "spec": { "containers": [{ "name": "node", "image": "i" }] } } },
            },
        }] } },
    } });
    View {
        object: Arc::new(object),
        pods: pods.into_iter().map(Arc::new).collect(),
        services: vec![],
        config_maps: vec![],
        runtime: Some(Arc::new(runtime)),
        refused: vec![],
        now: NOW.parse().unwrap(),
    }
}

fn pod(index: i64, phase: &str, ready: bool, restarts: i64) -> Value {
    json!({
        "metadata": {
            "name": format!("t-node-0-{index}-x"), "uid": format!("{index}"),
            "labels": { "jobset.sigs.k8s.io/replicatedjob-name": "node" },
            "annotations": { "batch.kubernetes.io/job-completion-index": index.to_string() },
        },
        "status": {
            "phase": phase,
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
            "containerStatuses": [{ "name": "node", "restartCount": restarts }],
        },
    })
}

fn plan(view: &View) -> Plan {
    TrainJobs { minor: Minor::V2_2 }.plan(view)
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

fn counts(plan: &Plan) -> String {
    let status = &plan.status.as_ref().unwrap()["jobsStatus"][0];
    let shown = members(status);
    format!("{} {}", text(status, "/name"), shown.join(" "))
}

fn members(status: &Value) -> Vec<String> {
    let counts = ["ready", "succeeded", "failed", "active", "suspended"].into_iter();
    counts.filter(|key| status[*key] == 1).map(str::to_owned).collect()
}

#[test]
fn pods_and_a_service_are_made() {
    let plan = plan(&view(json!({ "trainer": { "numNodes": 2 } }), Value::Null, vec![]));
    let Action::Create(Kind::Service, service) = &plan.actions[0] else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(
        (name(service), &service["spec"]["publishNotReadyAddresses"]),
        ("t", &json!(true))
    );
    let names: Vec<String> = plan.actions[1..]
        .iter()
        .map(|action| match action {
            Action::Create(Kind::Pod, pod) => name(pod)[.."t-node-0-0-".len()].to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["t-node-0-0-", "t-node-0-1-"]);
    assert_eq!((conditions(&plan).len(), counts(&plan).as_str()), (0, "node "));
}

#[test]
fn only_counts_tell_that_it_runs() {
    let two = |ready: bool| {
        let pods = vec![pod(0, "Running", true, 0), pod(1, "Running", ready, 0)];
        plan(&view(json!({ "trainer": { "numNodes": 2 } }), Value::Null, pods))
    };
    assert_eq!(
        (conditions(&two(false)).len(), counts(&two(false)).as_str()),
        (0, "node active")
    );
    assert_eq!(
        (conditions(&two(true)).len(), counts(&two(true)).as_str()),
        (0, "node ready active")
    );
}

#[test]
fn success_and_failure() {
    let done = plan(&view(json!({}), Value::Null, vec![pod(0, "Succeeded", false, 0)]));
    assert_eq!(
        (conditions(&done), counts(&done).as_str()),
        (vec!["Complete=True AllJobsCompleted".to_owned()], "node succeeded")
    );
    // Containers start again in place, six times by default.
    let retrying = plan(&view(json!({}), Value::Null, vec![pod(0, "Running", true, 5)]));
    assert_eq!(conditions(&retrying).len(), 0);
    let failed = plan(&view(json!({}), Value::Null, vec![pod(0, "Running", true, 6)]));
    assert_eq!(
        (conditions(&failed), counts(&failed).as_str()),
        (vec!["Failed=True FailedJobs".to_owned()], "node failed")
    );
    assert_eq!(
        text(failed.status.as_ref().unwrap(), "/conditions/0/message"),
        "jobset failed due to one or more job failures (first failed job: t-node-0)"
    );
    let after = plan(&view(
        json!({}),
        failed.status.unwrap(),
        vec![pod(0, "Running", true, 6)],
    ));
    assert_eq!(
        after.actions,
        [Action::Delete {
            kind: Kind::Pod,
            name: "t-node-0-0-x".into(),
            uid: "0".into()
        }]
    );
}

#[test]
fn a_deadline_since_2_2() {
    let spec = json!({ "activeDeadlineSeconds": 60 });
    let late = view(spec, Value::Null, vec![pod(0, "Running", true, 0)]);
    let ended = plan(&late);
    assert_eq!(conditions(&ended), ["Failed=True DeadlineExceeded"]);
    assert_eq!(conditions(&TrainJobs { minor: Minor::V2_1 }.plan(&late)).len(), 0);
    // The JobSet goes, and its pods with it, the ended ones too.
    let after = plan(&view(
        json!({}),
        ended.status.unwrap(),
        vec![pod(0, "Succeeded", false, 0)],
    ));
    assert_eq!(after.actions.len(), 1);
    let early = plan(&view(
        json!({ "activeDeadlineSeconds": 90 }),
        Value::Null,
        vec![pod(0, "Running", true, 0)],
    ));
    assert_eq!(early.wake, Some(Duration::from_secs(30)));
}

#[test]
fn a_suspended_job_has_no_pods() {
    let suspended = plan(&view(
        json!({ "suspend": true }),
        Value::Null,
        vec![pod(0, "Running", true, 0)],
    ));
    assert_eq!(
        (conditions(&suspended), counts(&suspended).as_str()),
        (vec!["Suspended=True Suspended".to_owned()], "node suspended")
    );
    assert_eq!(suspended.actions.len(), 1);
    let resumed = plan(&view(json!({}), suspended.status.unwrap(), vec![]));
    assert_eq!(conditions(&resumed), ["Suspended=False Resumed"]);
    assert_eq!(resumed.actions.len(), 2);
}

#[test]
fn without_its_runtime_nothing_is_made() {
    let mut view = view(json!({}), Value::Null, vec![]);
    view.runtime = None;
    let plan = plan(&view);
    let [
        Action::Event {
            warning: true,
            reason,
            message,
        },
    ] = &plan.actions[..]
    else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(reason, "TrainJobResourcesCreationFailed");
    assert!(
        message.ends_with("TrainingRuntime specified in TrainJob is not found"),
        "{message}"
    );
    assert_eq!(plan.wake, Some(RUNTIME_RETRY));
}

#[test]
fn a_job_of_another_manager_is_left_alone() {
    let plan = plan(&view(
        json!({ "managedBy": "kueue.x-k8s.io/multikueue" }),
        Value::Null,
        vec![],
    ));
    assert_eq!((plan.actions, plan.status), (vec![], None));
}
