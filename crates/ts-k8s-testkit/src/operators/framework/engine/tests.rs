//! The rules of FrameworkController, with a small world that does what plans ask for.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a table of cases reads better without borrows"
)]

use super::*;
use serde_json::json;

struct World {
    framework: Value,
    pods: Vec<Value>,
    config_maps: Vec<Value>,
    refused: Vec<crate::operators::plan::Refusal>,
    uids: u32,
    now: k8s_openapi::jiff::Timestamp,
    states: Vec<String>,
}

impl World {
    fn new(roles: Value, retry: Value) -> Self {
        let framework = json!({
            "apiVersion": "frameworkcontroller.microsoft.com/v1",
            "kind": "Framework",
            "metadata": { "name": "f", "namespace": "n", "uid": "fw", "labels": { "mine": "1" } },
            "spec": { "executionType": "Start", "retryPolicy": retry, "taskRoles": roles },
        });
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        Self {
            framework,
            pods: vec![],
            config_maps: vec![],
            refused: vec![],
            uids: 0,
            now,
            states: vec![],
        }
    }

    /// One role `r` with one task.
    fn single() -> Self {
        Self::new(json!([role("r", 1, 1, -1)]), json!({}))
    }

    /// One look. Returns whether anything changed.
    fn step(&mut self) -> bool {
        let arcs = |objects: &[Value]| objects.iter().cloned().map(Arc::new).collect();
        let view = View {
            object: Arc::new(self.framework.clone()),
            pods: arcs(&self.pods),
            services: vec![],
            config_maps: arcs(&self.config_maps),
            runtime: None,
            refused: std::mem::take(&mut self.refused),
            now: self.now,
        };
        let plan = Frameworks.plan(&view);
        let mut changed = !plan.actions.is_empty();
        for action in plan.actions {
            match action {
                Action::Create(kind, mut body) => {
                    self.uids += 1;
                    body["metadata"]["uid"] = json!(format!("uid{}", self.uids));
                    if kind == Kind::Pod {
                        &mut self.pods
                    } else {
                        &mut self.config_maps
                    }
                    .push(body);
                }
                Action::Delete { uid: gone, .. } => {
                    self.pods.retain(|pod| uid(pod) != gone);
                    self.config_maps.retain(|map| uid(map) != gone);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        let status = plan.status.unwrap_or_else(|| self.framework["status"].clone());
        changed |= self.framework["status"] != status;
        self.framework["status"] = status;
        let state = format!("{}/{}", self.state(), text(self.task(0), "/state"));
        if self.states.last() != Some(&state) {
            self.states.push(state);
        }
        changed
    }

    /// Looks until nothing changes any more.
    fn settle(&mut self) -> &mut Self {
        for _ in 0..50 {
            if !self.step() {
                return self;
            }
        }
        panic!("never settles: {}", self.framework["status"]);
    }

    fn phase(&mut self, pod: &str, phase: &str, exit: i64) -> &mut Self {
        let pod = self
            .pods
            .iter_mut()
            .find(|found| name(found) == pod)
            .expect("there is such a pod");
        pod["status"] = json!({ "phase": phase });
        if matches!(phase, "Succeeded" | "Failed") {
            let terminated = json!({ "exitCode": exit, "message": "last words" });
            pod["status"]["containerStatuses"] = json!([{ "name": "main", "state": { "terminated": terminated } }]);
        }
        self
    }

    fn stop(&mut self) -> &mut Self {
        self.framework["spec"]["executionType"] = json!("Stop");
        self
    }

    fn state(&self) -> &str {
        text(&self.framework, "/status/state")
    }

    fn attempt(&self) -> &Value {
        &self.framework["status"]["attemptStatus"]
    }

    fn task(&self, index: usize) -> &Value {
        &self.attempt()["taskRoleStatuses"][0]["taskStatuses"][index]
    }

    fn end(&self) -> (String, i64, String) {
        let end = &self.attempt()["completionStatus"];
        let (kind, phrase) = (text(end, "/type/name").to_owned(), text(end, "/phrase").to_owned());
        (kind, end["code"].as_i64().unwrap_or(i64::MIN), phrase)
    }
}

fn role(name: &str, tasks: i64, least_failed: i64, least_succeeded: i64) -> Value {
    json!({
        "name": name,
        "taskNumber": tasks,
        "frameworkAttemptCompletionPolicy": {
            "minFailedTaskCount": least_failed, "minSucceededTaskCount": least_succeeded,
        },
        "task": { "retryPolicy": {}, "pod": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "main", "image": "i", "args": ["{{FC_TASK_INDEX}}"] }],
        } } },
    })
}

fn ended(kind: &str, code: i64, phrase: &str) -> (String, i64, String) {
    (kind.to_owned(), code, phrase.to_owned())
}

#[test]
fn all_states_of_a_framework_that_succeeds() {
    let mut world = World::single();
    world.settle().phase("f-r-0", "Running", 0).settle();
    assert_eq!(world.state(), "AttemptRunning");
    assert_eq!(world.attempt()["runTime"], "2026-01-01T00:00:00Z");
    world.phase("f-r-0", "Succeeded", 0).settle();
    assert_eq!(
        world.states,
        [
            "AttemptCreationPending/AttemptCreationPending",
            "AttemptCreationRequested/AttemptCreationPending",
            "AttemptPreparing/AttemptCreationPending",
            "AttemptPreparing/AttemptCreationRequested",
            "AttemptPreparing/AttemptPreparing",
            "AttemptRunning/AttemptRunning",
            "AttemptRunning/AttemptDeletionPending",
            "AttemptRunning/AttemptDeletionRequested",
            "AttemptRunning/AttemptCompleted",
            "AttemptDeletionPending/Completed",
            "AttemptDeletionRequested/Completed",
            "AttemptCompleted/Completed",
            "Completed/Completed",
        ]
    );
    assert_eq!(world.end(), ended("Succeeded", 0, "Succeeded"));
    assert_eq!((world.pods.len(), world.config_maps.len()), (0, 0));
    assert_eq!(world.framework["status"]["completionTime"], "2026-01-01T00:00:00Z");
}

#[test]
fn the_pod_of_a_task_goes_when_the_task_ends_and_its_last_words_stay() {
    let mut world = World::new(json!([role("r", 2, -1, -1)]), json!({}));
    world
        .settle()
        .phase("f-r-0", "Running", 0)
        .phase("f-r-1", "Running", 0)
        .settle();
    world.phase("f-r-0", "Failed", 3).settle();
    assert_eq!(world.state(), "AttemptRunning");
    assert_eq!(world.pods.iter().map(name).collect::<Vec<_>>(), ["f-r-1"]);
    let kept = &world.task(0)["attemptStatus"]["completionStatus"];
    assert_eq!(
        (&kept["code"], &kept["pod"]["containers"][0]["message"]),
        (&json!(3), &json!("last words"))
    );
}

#[test]
fn what_ends_an_attempt() {
    for (least_failed, least_succeeded, outcomes, expected) in [
        (
            1,
            -1,
            &[("Failed", 3)][..],
            ended("Failed", 3, "ContainerUnrecognizedFailed"),
        ),
        (2, -1, &[("Failed", 3)], ended("", i64::MIN, "")),
        (-1, 1, &[("Succeeded", 0)], ended("Succeeded", 0, "Succeeded")),
        // All done without any limit reached is a success.
        (
            -1,
            -1,
            &[("Failed", 3), ("Failed", 4)],
            ended("Succeeded", 0, "Succeeded"),
        ),
        // Zero is no limit.
        (0, 0, &[("Failed", 3)], ended("", i64::MIN, "")),
    ] {
        let mut world = World::new(json!([role("r", 2, least_failed, least_succeeded)]), json!({}));
        world
            .settle()
            .phase("f-r-0", "Running", 0)
            .phase("f-r-1", "Running", 0)
            .settle();
        for (index, (phase, exit)) in outcomes.iter().enumerate() {
            world.phase(&format!("f-r-{index}"), phase, *exit).settle();
        }
        assert_eq!(world.end(), expected, "{least_failed} {least_succeeded} {outcomes:?}");
    }
}

#[test]
fn the_task_that_ended_an_attempt_is_told_and_others_are_stopped() {
    let mut world = World::new(json!([role("r", 2, 1, -1)]), json!({}));
    world
        .settle()
        .phase("f-r-0", "Running", 0)
        .phase("f-r-1", "Running", 0)
        .settle();
    world.phase("f-r-1", "Failed", 3).settle();
    assert_eq!(world.state(), "Completed");
    let trigger = &world.attempt()["completionStatus"]["trigger"];
    assert_eq!(
        *trigger,
        json!({
            "message": "FailedTaskCount 1 has reached MinFailedTaskCount 1 in the TaskRole",
            "taskRoleName": "r", "taskIndex": 1,
        })
    );
    assert_eq!(world.task(0)["attemptStatus"]["completionStatus"]["code"], -220);
    assert_eq!(world.pods.len(), 0);
}

#[test]
fn a_stop_ends_a_framework_in_any_state() {
    let stopped = ended("Failed", -210, "StopFrameworkRequested");
    let mut running = World::single();
    running.settle().phase("f-r-0", "Running", 0).settle().stop().settle();
    assert_eq!(
        (running.state(), running.end(), running.pods.len()),
        ("Completed", stopped.clone(), 0)
    );
    let mut waiting = World::single();
    waiting.step();
    waiting.stop().settle();
    assert_eq!(
        (waiting.state(), waiting.end(), waiting.config_maps.len()),
        ("Completed", stopped, 0)
    );
}

#[test]
fn a_framework_that_is_only_created_waits() {
    let mut world = World::single();
    world.framework["spec"]["executionType"] = json!("Create");
    world.settle();
    assert_eq!((world.state(), world.config_maps.len()), ("AttemptCreationPending", 0));
}

#[test]
fn a_framework_is_retried_with_a_new_config_map() {
    let mut world = World::new(json!([role("r", 1, 1, -1)]), json!({ "maxRetryCount": 1 }));
    world.settle().phase("f-r-0", "Running", 0).settle();
    let first = text(world.attempt(), "/instanceUID").to_owned();
    world.phase("f-r-0", "Failed", 3).settle();
    assert_eq!(world.state(), "AttemptPreparing");
    assert_eq!(
        (
            &world.attempt()["id"],
            world.framework["status"]["retryPolicyStatus"]["totalRetriedCount"].as_i64()
        ),
        (&json!(1), Some(1))
    );
    let second = text(world.attempt(), "/instanceUID").to_owned();
    assert!(first.starts_with("0_") && second.starts_with("1_"), "{first} {second}");
    world.phase("f-r-0", "Failed", 3).settle();
    assert_eq!((world.state(), world.end().1), ("Completed", 3));
}

#[test]
fn a_conflict_is_retried_after_a_while() {
    let mut world = World::new(json!([role("r", 1, 1, -1)]), json!({ "fancyRetryPolicy": true }));
    world.settle().phase("f-r-0", "Failed", 201).settle();
    assert_eq!(world.state(), "AttemptCompleted");
    let status = &world.framework["status"]["retryPolicyStatus"];
    assert!(
        (60..=900).contains(&status["retryDelaySec"].as_i64().unwrap()),
        "{status}"
    );
    world.now += Duration::from_secs(901);
    world.settle();
    assert_eq!((world.state(), &world.attempt()["id"]), ("AttemptPreparing", &json!(1)));
    assert_eq!(
        world.framework["status"]["retryPolicyStatus"]["accountableRetriedCount"],
        0
    );
}

#[test]
fn a_task_is_retried_with_a_new_pod() {
    let mut roles = json!([role("r", 1, 1, -1)]);
    roles[0]["task"]["retryPolicy"] = json!({ "maxRetryCount": 1 });
    let mut world = World::new(roles, json!({}));
    world.settle().phase("f-r-0", "Running", 0).settle();
    let first = uid(&world.pods[0]).to_owned();
    world.phase("f-r-0", "Failed", 3).settle();
    assert_eq!(world.state(), "AttemptRunning");
    assert_ne!(uid(&world.pods[0]), first);
    assert_eq!(annotation(&world.pods[0], "FC_TASK_ATTEMPT_ID"), "1");
    world.phase("f-r-0", "Failed", 4).settle();
    assert_eq!((world.state(), world.end().1), ("Completed", 4));
}

#[test]
fn a_container_that_starts_again_in_place_changes_nothing() {
    let mut world = World::single();
    world.settle().phase("f-r-0", "Running", 0).settle();
    world.pods[0]["status"]["containerStatuses"] = json!([{ "name": "main", "restartCount": 7 }]);
    assert!(!world.step());
    assert_eq!(world.state(), "AttemptRunning");
}

#[test]
fn what_others_delete_ends_attempts() {
    let mut world = World::single();
    world.settle().phase("f-r-0", "Running", 0).settle();
    world.pods.clear();
    world.settle();
    assert_eq!(world.end(), ended("Failed", -101, "PodExternalDeleted"));
    let mut world = World::single();
    world.settle().phase("f-r-0", "Running", 0).settle();
    world.config_maps.clear();
    world.settle();
    assert_eq!(
        (world.end(), world.pods.len()),
        (ended("Failed", -100, "ConfigMapExternalDeleted"), 0)
    );
}

#[test]
fn a_pod_that_the_server_refuses() {
    for (code, message, expected) in [
        (
            422,
            "Pod is invalid",
            ended("Failed", -200, "PodCreationPermanentError"),
        ),
        (403, "forbidden", ended("Failed", -200, "PodCreationPermanentError")),
        (400, "bad", ended("Failed", -310, "PodCreationUnknownError")),
        (403, "exceeded quota", ended("", i64::MIN, "")),
        (500, "internal", ended("", i64::MIN, "")),
    ] {
        let mut world = World::single();
        while world.pods.is_empty() {
            world.step();
        }
        world.pods.clear();
        let refusal = crate::operators::plan::Refusal {
            kind: Kind::Pod,
            name: "f-r-0".to_owned(),
            code,
            message: message.to_owned(),
        };
        world.refused.push(refusal);
        world.settle();
        assert_eq!(world.end(), expected, "{code} {message}");
    }
}

#[test]
fn a_pod_knows_where_it_belongs() {
    let mut world = World::single();
    world.settle();
    let pod = &world.pods[0];
    assert_eq!(
        pod["metadata"]["labels"],
        json!({ "FC_FRAMEWORK_NAME": "f", "FC_TASKROLE_NAME": "r", "FC_TASK_INDEX": "0" })
    );
    assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "ConfigMap");
    assert_eq!(world.config_maps[0]["metadata"]["ownerReferences"][0]["uid"], "fw");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        (&container["args"], &container["terminationMessagePolicy"]),
        (&json!(["0"]), &json!("FallbackToLogsOnError"))
    );
    let names: Vec<&str> = list(container, "/env")
        .iter()
        .map(|variable| text(variable, "/name"))
        .collect();
    assert_eq!(
        names,
        [
            "FC_FRAMEWORK_NAMESPACE",
            "FC_FRAMEWORK_NAME",
            "FC_TASKROLE_NAME",
            "FC_TASK_INDEX",
            "FC_CONFIGMAP_NAME",
            "FC_POD_NAME",
            "FC_FRAMEWORK_UID",
            "FC_FRAMEWORK_ATTEMPT_ID",
            "FC_FRAMEWORK_ATTEMPT_INSTANCE_UID",
            "FC_CONFIGMAP_UID",
            "FC_TASKROLE_UID",
            "FC_TASK_UID",
            "FC_TASK_ATTEMPT_ID",
            "FC_POD_UID",
            "FC_TASK_ATTEMPT_INSTANCE_UID",
        ]
    );
    assert_eq!(world.task(0)["attemptStatus"]["podUID"], pod["metadata"]["uid"]);
}
