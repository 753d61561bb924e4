//! One test for each rule of Kubeflow's operators.

use super::*;
use std::time::Duration;

const NOW: &str = "2026-01-01T00:01:00Z";

struct Case {
    dialect: Dialect,
    generation: Generation,
    spec: Value,
    status: Value,
    pods: Vec<Value>,
}

impl Case {
    fn new(dialect: Dialect, generation: Generation, roles: &[(&str, i64, &str)]) -> Self {
        let mut spec = json!({});
        for (role, replicas, policy) in roles {
            let mut value = json!({
                "replicas": replicas,
                "template": { "spec": { "containers": [{ "name": dialect.container(), "image": "i" }] } },
            });
            if !policy.is_empty() {
                value["restartPolicy"] = json!(policy);
            }
            spec[dialect.roles_key()][role] = value;
        }
        Self {
            dialect,
            generation,
            spec,
            status: Value::Null,
            pods: vec![],
        }
    }

    fn tf(roles: &[(&str, i64, &str)]) -> Self {
        Self::new(Dialect::Tf, Generation::TrainingOperator, roles)
    }

    fn torch(roles: &[(&str, i64, &str)]) -> Self {
        Self::new(Dialect::PyTorch, Generation::TrainingOperator, roles)
    }

    fn old(self) -> Self {
        Self {
            generation: Generation::Old,
            ..self
        }
    }

    fn limits(mut self, limits: Value) -> Self {
        match self.generation {
            Generation::TrainingOperator => self.spec["runPolicy"] = limits,
            Generation::Old => self
                .spec
                .as_object_mut()
                .unwrap()
                .extend(limits.as_object().unwrap().clone()),
        }
        self
    }

    fn pod(mut self, role: &str, index: i64, phase: &str, exit: Option<i64>) -> Self {
        let (type_label, index_label) = self.dialect.replica_labels(self.generation);
        let name = format!("j-{role}-{index}");
        let mut pod = json!({
            "metadata": {
                "name": name, "namespace": "n", "uid": name,
                "labels": { type_label: role, index_label: index.to_string() },
            },
            "status": { "phase": phase },
        });
        if let Some(code) = exit {
            pod["status"]["containerStatuses"] =
                json!([{ "name": self.dialect.container(), "state": { "terminated": { "exitCode": code } } }]);
        }
        self.pods.push(pod);
        self
    }

    fn status(self, status: Value) -> Self {
        Self { status, ..self }
    }

    fn plan(self) -> Plan {
        let view = View {
            object: Arc::new(json!({
                "apiVersion": "kubeflow.org/v1",
                "kind": self.dialect.kind_name(),
                "metadata": { "name": "j", "namespace": "n", "uid": "u" },
                "spec": self.spec,
                "status": self.status,
            })),
            pods: self.pods.into_iter().map(Arc::new).collect(),
            services: vec![],
            config_maps: vec![],
            runtime: None,
            refused: vec![],
            now: NOW.parse().unwrap(),
        };
        Trainings::new(self.dialect, self.generation, None).plan(&view)
    }

    /// The conditions that follow, `-` before those that no longer hold.
    fn conditions(self) -> Vec<String> {
        conditions_of(&self.plan())
    }
}

fn conditions_of(plan: &Plan) -> Vec<String> {
    let entries = list(plan.status.as_ref().unwrap(), "/conditions").iter();
    let shown = entries.map(|entry| match text(entry, "/status") {
        "True" => text(entry, "/type").to_owned(),
        _ => format!("-{}", text(entry, "/type")),
    });
    shown.collect()
}

fn made(plan: &Plan) -> Vec<String> {
    let made = plan.actions.iter().filter_map(|action| match action {
        Action::Create(kind, body) => Some(format!("{kind:?} {}", name(body))),
        Action::Delete { kind, name, .. } => Some(format!("-{kind:?} {name}")),
        Action::DeleteSelf => Some("-self".to_owned()),
        Action::Event { .. } => None,
    });
    made.collect()
}

fn events(plan: &Plan) -> Vec<&str> {
    let reasons = plan.actions.iter().filter_map(|action| match action {
        Action::Event { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    reasons.collect()
}

fn ended(kind: &str) -> Value {
    json!({
        "conditions": [{ "type": kind, "status": "True" }],
        "completionTime": "2026-01-01T00:00:30Z",
        "replicaStatuses": { "Worker": { "active": 1 } },
    })
}

#[test]
fn a_new_job_is_created_and_gets_pods_and_services() {
    let plan = Case::tf(&[("Worker", 1, ""), ("PS", 1, "")]).plan();
    assert_eq!(
        made(&plan),
        ["Pod j-ps-0", "Service j-ps-0", "Pod j-worker-0", "Service j-worker-0"]
    );
    assert_eq!(conditions_of(&plan), ["Created"]);
    let status = plan.status.unwrap();
    assert_eq!(
        (&status["startTime"], &status["conditions"][0]["reason"]),
        (&json!(NOW), &json!("TFJobCreated"))
    );
}

#[test]
fn a_policy_in_the_template_is_overwritten_and_told() {
    for (generation, reason) in [
        (Generation::TrainingOperator, "SetPodTemplateRestartPolicy"),
        (Generation::Old, "SettedPodTemplateRestartPolicy"),
    ] {
        let mut case = Case::new(Dialect::Tf, generation, &[("Worker", 1, "")]);
        case.spec["tfReplicaSpecs"]["Worker"]["template"]["spec"]["restartPolicy"] = json!("ExitCode");
        let plan = case.plan();
        assert_eq!(events(&plan), [reason]);
        let Action::Create(_, pod) = &plan.actions[1] else {
            panic!("no pod: {:?}", plan.actions)
        };
        assert_eq!(pod["spec"]["restartPolicy"], "Never");
    }
}

#[test]
fn running_means_one_pod_runs() {
    let plan = Case::torch(&[("Master", 1, "")])
        .pod("master", 0, "Running", None)
        .plan();
    assert_eq!(conditions_of(&plan), ["Created", "Running"]);
    let counts = &plan.status.as_ref().unwrap()["replicaStatuses"]["Master"];
    assert_eq!(counts["active"], 1);
    assert!(text(counts, "/selector").contains("training.kubeflow.org/replica-type=master"));
    let pending = Case::torch(&[("Master", 1, "")])
        .pod("master", 0, "Pending", None)
        .conditions();
    assert_eq!(pending, ["Created"]);
}

#[test]
fn the_end_of_a_tf_job() {
    let workers = |policy: &str| {
        let mut case = Case::tf(&[("Worker", 2, "")]);
        case.spec["successPolicy"] = json!(policy);
        case.pod("worker", 0, "Succeeded", Some(0))
            .pod("worker", 1, "Running", None)
    };
    assert_eq!(workers("").conditions(), ["Created", "Succeeded"]);
    assert_eq!(workers("AllWorkers").conditions(), ["Created", "Running"]);
    let chief = Case::tf(&[("Chief", 1, ""), ("Worker", 1, "")]);
    let chief = chief
        .pod("chief", 0, "Running", None)
        .pod("worker", 0, "Succeeded", Some(0));
    assert_eq!(chief.conditions(), ["Created", "Running"]);
    let failed = Case::tf(&[("Worker", 1, "")]).pod("worker", 0, "Failed", Some(1));
    let plan = failed.plan();
    assert_eq!(conditions_of(&plan), ["Created", "Failed"]);
    assert_eq!(plan.status.unwrap()["completionTime"], NOW);
    // Both may come at once.
    let both = Case::tf(&[("Worker", 2, "")])
        .pod("worker", 0, "Succeeded", Some(0))
        .pod("worker", 1, "Failed", Some(1));
    assert_eq!(both.conditions(), ["Created", "Succeeded", "Failed"]);
}

#[test]
fn the_end_of_a_torch_job() {
    let done = Case::torch(&[("Master", 1, ""), ("Worker", 1, "")]).pod("worker", 0, "Running", None);
    assert_eq!(
        done.pod("master", 0, "Succeeded", Some(0)).conditions(),
        ["Created", "Succeeded"]
    );
    let never = Case::torch(&[("Master", 1, "Never")]).pod("master", 0, "Failed", Some(1));
    assert_eq!(never.conditions(), ["Created", "Failed"]);
    let workers = Case::torch(&[("Worker", 2, "Never")]).pod("worker", 0, "Succeeded", Some(0));
    assert_eq!(
        workers.pod("worker", 1, "Running", None).conditions(),
        ["Created", "Running"]
    );
}

#[test]
fn an_exit_code_is_permanent_or_not() {
    for (code, conditions, deleted) in [
        (1, vec!["Created", "Failed"], vec!["Service j-master-0"]),
        (127, vec!["Created", "Failed"], vec!["Service j-master-0"]),
        (
            128,
            vec!["Created", "Restarting"],
            vec!["-Pod j-master-0", "Service j-master-0"],
        ),
        (
            137,
            vec!["Created", "Restarting"],
            vec!["-Pod j-master-0", "Service j-master-0"],
        ),
    ] {
        for old in [false, true] {
            let case = Case::torch(&[("Master", 1, "ExitCode")]);
            let case = if old { case.old() } else { case };
            let plan = case.pod("master", 0, "Failed", Some(code)).plan();
            assert_eq!(conditions_of(&plan), conditions, "{code} {old}");
            assert_eq!(made(&plan), deleted, "{code} {old}");
        }
    }
}

#[test]
fn a_failed_pod_that_is_to_restart_is_made_anew_by_the_successor_only() {
    let new = Case::torch(&[("Master", 1, "OnFailure")]).pod("master", 0, "Failed", Some(1));
    assert_eq!(new.conditions(), ["Created", "Restarting"]);
    let old = Case::torch(&[("Master", 1, "OnFailure")])
        .old()
        .pod("master", 0, "Failed", Some(1));
    assert_eq!(old.conditions(), ["Created", "Failed"]);
}

#[test]
fn the_old_torch_operator_waits_for_the_master() {
    let case = || Case::torch(&[("Master", 1, ""), ("Worker", 1, "")]).old();
    assert_eq!(made(&case().plan()), ["Pod j-master-0", "Service j-master-0"]);
    let runs = case().pod("master", 0, "Running", None).plan();
    assert_eq!(made(&runs), ["Service j-master-0", "Pod j-worker-0"]);
}

#[test]
fn limits_fail_a_job_and_the_successor_deletes_its_pods_whatever_the_policy() {
    let case = || Case::tf(&[("Worker", 1, "Never")]);
    let limits = json!({ "backoffLimit": 0, "cleanPodPolicy": "None" });
    let new = case().limits(limits.clone()).pod("worker", 0, "Failed", Some(1)).plan();
    assert_eq!(
        (conditions_of(&new), made(&new)),
        (vec!["Created".into(), "Failed".into()], vec!["-Pod j-worker-0".into()])
    );
    let message = text(new.status.as_ref().unwrap(), "/conditions/1/message").to_owned();
    assert_eq!(
        message,
        "Job j has failed because it has reached the specified backoff limit"
    );
    let old = case().old().limits(limits).pod("worker", 0, "Failed", Some(1)).plan();
    assert_eq!(made(&old), Vec::<String>::new());
    let started =
        json!({ "conditions": [{ "type": "Running", "status": "True" }], "startTime": "2026-01-01T00:00:00Z" });
    let late = case()
        .limits(json!({ "activeDeadlineSeconds": 60 }))
        .status(started.clone())
        .pod("worker", 0, "Running", None);
    assert_eq!(late.conditions(), ["-Running", "Failed"]);
    let early = case()
        .limits(json!({ "activeDeadlineSeconds": 90 }))
        .status(started)
        .pod("worker", 0, "Running", None);
    assert_eq!(early.plan().wake, Some(Duration::from_secs(30)));
}

#[test]
fn what_is_cleaned_up_after_the_end() {
    let all = ["-Pod j-worker-0", "-Pod j-worker-1", "-Pod j-worker-2"];
    let new = |policy: &str| Case::tf(&[("Worker", 3, "")]).limits(json!({ "cleanPodPolicy": policy }));
    let old = |policy: &str| {
        Case::tf(&[("Worker", 3, "")])
            .old()
            .limits(json!({ "cleanPodPolicy": policy }))
    };
    let torch = |policy: &str| {
        Case::torch(&[("Master", 1, "")])
            .old()
            .limits(json!({ "cleanPodPolicy": policy }))
    };
    for (case, expected) in [
        (new("None"), &[][..]),
        (new("Running"), &all[..2]),
        (new("All"), &all[..]),
        (old("None"), &[][..]),
        (old("Running"), &all[..1]),
        (old("All"), &all[..]),
        (torch("Running"), &[][..]),
        (torch("All"), &all[..]),
    ] {
        let case = case.status(ended("Failed"));
        let case = case.pod("worker", 0, "Running", None).pod("worker", 1, "Pending", None);
        let plan = case.pod("worker", 2, "Failed", Some(1)).plan();
        assert_eq!(made(&plan), expected);
    }
}

#[test]
fn after_success_active_pods_are_taken_for_done() {
    let plan = Case::tf(&[("Worker", 1, "")]).status(ended("Succeeded")).plan();
    assert_eq!(
        plan.status.unwrap()["replicaStatuses"],
        json!({ "Worker": { "succeeded": 1 } })
    );
}

#[test]
fn a_finished_job_goes_after_its_time() {
    let case = |ttl: i64| {
        Case::tf(&[("Worker", 1, "")])
            .limits(json!({ "ttlSecondsAfterFinished": ttl }))
            .status(ended("Failed"))
    };
    assert_eq!(case(60).plan().wake, Some(Duration::from_secs(30)));
    assert_eq!(made(&case(30).plan()), ["-self"]);
}

#[test]
fn a_suspended_job_has_no_pods_and_goes_on_later() {
    let running = json!({
        "conditions": [{ "type": "Created", "status": "True" }, { "type": "Running", "status": "True" }],
        "replicaStatuses": { "Worker": { "active": 1 } },
    });
    let case = Case::tf(&[("Worker", 1, "")])
        .limits(json!({ "suspend": true }))
        .status(running);
    let suspended = case.pod("worker", 0, "Running", None).plan();
    assert_eq!(conditions_of(&suspended), ["Created", "-Running", "Suspended"]);
    assert_eq!(made(&suspended), ["-Pod j-worker-0"]);
    let status = suspended.status.unwrap();
    assert_eq!(status["replicaStatuses"], json!({ "Worker": {} }));
    let resumed = Case::tf(&[("Worker", 1, "")]).status(status).plan();
    assert_eq!(conditions_of(&resumed), ["Created", "-Running", "-Suspended"]);
    assert_eq!(made(&resumed), ["Pod j-worker-0", "Service j-worker-0"]);
}

#[test]
fn a_job_that_cannot_be_read() {
    let mut case = Case::tf(&[("Worker", 1, "")]);
    case.spec["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]["name"] = json!("main");
    let spec = case.spec.clone();
    let new = case.plan();
    assert_eq!(
        (events(&new), new.status.clone()),
        (vec!["TFJobFailedValidation"], None)
    );
    let old = Case {
        spec,
        ..Case::tf(&[]).old()
    }
    .plan();
    assert_eq!(
        (events(&old), conditions_of(&old)),
        (vec!["InvalidTFJobSpec"], vec!["Failed".to_owned()])
    );
}

#[test]
fn a_restart_is_remembered_while_others_run() {
    let restarting = json!({ "conditions": [{ "type": "Restarting", "status": "True", "message": "m" }] });
    let case = Case::tf(&[("Worker", 2, "")]).status(restarting);
    let plan = case
        .pod("worker", 0, "Running", None)
        .pod("worker", 1, "Failed", Some(1))
        .plan();
    assert_eq!(conditions_of(&plan), ["Restarting"]);
}

#[test]
fn a_plan_for_what_it_has_brought_about_changes_nothing() {
    let case = |status: Value| {
        Case::torch(&[("Master", 1, "")])
            .status(status)
            .pod("master", 0, "Running", None)
    };
    let first = case(Value::Null).plan().status.unwrap();
    assert_eq!(case(first.clone()).plan().status, Some(first));
}
