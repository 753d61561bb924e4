//! What an object of each kind must hold, a table a rule; the script inside is tested by running it, in `tests/`.

use super::*;
use crate::{Access, CompletionPolicy, Storage, StorageKind};
use std::time::Duration;
use ts_core::{CodeDirectory, ExperimentId, ExperimentSpec, Parameters, TrialId};

fn role(name: &str, replicas: u32) -> Role {
    Role {
        replicas,
        gpus: 1,
        cpus: Some("2".to_owned()),
        memory_mib: Some(512),
        ..Role::new(name, "local/a:1")
    }
}

fn config(kind: JobKind, roles: Vec<Role>) -> KubernetesConfig {
    KubernetesConfig::new(kind, roles)
}

fn trial(command: &str, parameters: &str) -> TrialSpec {
    let experiment = ExperimentId::new("exp1").expect("legal");
    let experiment = ExperimentSpec::new(experiment, CodeDirectory::new("/code"), command);
    TrialSpec::new(
        &experiment,
        TrialId::new("tr1").expect("legal"),
        7,
        Parameters::new(parameters),
    )
}

fn made(config: &KubernetesConfig) -> Value {
    let owner = Owner {
        name: "nni-exp1".to_owned(),
        uid: "u-1".to_owned(),
    };
    let trial = trial("echo $HOME", "{\"a\": 1}");
    object(&Blueprint {
        config,
        trial: &trial,
        digest: "sha256:d",
        version: "v1",
        owner: Some(&owner),
    })
    .expect("an object")
}

fn pods(object: &Value) -> Vec<&Value> {
    fn collect<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(map) => {
                if map.contains_key("containers") && map.contains_key("restartPolicy") {
                    found.push(value);
                }
                map.values().for_each(|v| collect(v, found));
            }
            Value::Array(items) => items.iter().for_each(|v| collect(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(object, &mut found);
    found
}

#[test]
fn every_object_bears_its_stamp_and_its_owner() {
    for kind in [
        JobKind::Job,
        JobKind::TfJob,
        JobKind::PyTorchJob,
        JobKind::TrainJob,
        JobKind::Framework,
    ] {
        let object = made(&config(kind, vec![role("worker", 1)]));
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app"], "nni-kubernetes-trial");
        assert_eq!((&labels["expId"], &labels["trialId"]), (&json!("exp1"), &json!("tr1")));
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "u-1");
        assert_eq!(object["kind"], kind.kind());
        assert_eq!(object["apiVersion"], format!("{}/v1", kind.group()));
    }
}

#[test]
fn no_pod_is_ever_started_again_in_its_place() {
    let roles = || vec![role("master", 1), role("worker", 2)];
    for (kind, first) in [
        (JobKind::TfJob, "ps"),
        (JobKind::PyTorchJob, "master"),
        (JobKind::Framework, "ps"),
    ] {
        let object = made(&config(kind, vec![role(first, 1), role("worker", 2)]));
        let pods = pods(&object);
        assert_eq!(pods.len(), 2, "{kind:?}");
        assert!(pods.iter().all(|pod| pod["restartPolicy"] == "Never"));
    }
    let job = made(&config(JobKind::Job, vec![role("worker", 3)]));
    assert_eq!(job["spec"]["backoffLimit"], 0);
    assert_eq!(
        (&job["spec"]["completions"], &job["spec"]["completionMode"]),
        (&json!(3), &json!("Indexed"))
    );
    let pytorch = made(&config(JobKind::PyTorchJob, roles()));
    let replicas = &pytorch["spec"]["pytorchReplicaSpecs"];
    assert_eq!(
        replicas["Master"]["restartPolicy"], "Never",
        "the operator's default would restart it"
    );
    assert_eq!(replicas["Worker"]["replicas"], 2);
    assert_eq!(pytorch["spec"]["runPolicy"]["cleanPodPolicy"], "Running");
    assert_eq!(
        pytorch["spec"]["cleanPodPolicy"], "Running",
        "old operators have it here"
    );
}

#[test]
fn requests_and_limits_are_the_same_and_gpus_are_whole() {
    let object = made(&config(JobKind::Job, vec![role("worker", 1)]));
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    let resources = &container["resources"];
    assert_eq!(resources["limits"], resources["requests"]);
    assert_eq!(
        resources["limits"],
        json!({"memory": "512Mi", "cpu": "2", "nvidia.com/gpu": "1"})
    );
    let init = &object["spec"]["template"]["spec"]["initContainers"][0]["resources"]["limits"];
    assert_eq!(init, &json!({"memory": "512Mi", "cpu": "2"}), "the code needs no GPU");
    let mut none = role("worker", 1);
    none.gpus = 0;
    let object = made(&config(JobKind::Job, vec![none]));
    let env = object["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .expect("variables");
    assert!(
        env.contains(&json!({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"})),
        "{env:?}"
    );
}

#[test]
fn dollars_come_through_the_kubelet_as_they_are() {
    let object = made(&config(JobKind::Job, vec![role("worker", 1)]));
    let script = object["spec"]["template"]["spec"]["containers"][0]["command"][2]
        .as_str()
        .expect("a script");
    assert!(script.contains("echo $$HOME"), "{script}");
    assert!(!script.replace("$$", "").contains('$'));
}

#[test]
fn large_parameters_are_given_in_pieces_that_linux_takes() {
    let text = format!("{{\"a\": \"{}é\"}}", "x".repeat(299_990));
    let config = config(JobKind::Job, vec![role("worker", 1)]);
    let trial = trial("true", &text);
    let blueprint = Blueprint {
        config: &config,
        trial: &trial,
        digest: "d",
        version: "v1",
        owner: None,
    };
    let object = object(&blueprint).expect("an object");
    let args = object["spec"]["template"]["spec"]["containers"][0]["args"]
        .as_array()
        .expect("arguments");
    let pieces: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
    assert_eq!(pieces.concat(), text);
    assert!(pieces.len() == 3 && pieces.iter().all(|piece| piece.len() <= 120_000));
}

#[test]
fn storage_is_mounted_where_nni_has_it_and_no_code_is_waited_for() {
    let mut config = config(JobKind::TfJob, vec![role("worker", 1)]);
    config.storage = Some(Storage {
        kind: StorageKind::Nfs {
            server: "nas".to_owned(),
            path: "/export".to_owned(),
        },
        mount_path: "/tmp/mount".to_owned(),
    });
    let object = made(&config);
    let pod = &object["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"];
    assert_eq!(
        pod["volumes"][1],
        json!({"name": "nni-vol", "nfs": {"server": "nas", "path": "/export"}})
    );
    assert_eq!(
        pod["containers"][0]["volumeMounts"][1],
        json!({"name": "nni-vol", "mountPath": "/tmp/mount"})
    );
    assert!(pod.get("initContainers").is_none());
}

#[test]
fn tasks_of_a_framework_find_each_other_by_its_barrier() {
    let mut worker = role("worker", 2);
    worker.completion = CompletionPolicy {
        min_failed: 1,
        min_succeeded: 2,
    };
    let config = config(JobKind::Framework, vec![role("ps", 1), worker]);
    let object = made(&config);
    assert_eq!(object["metadata"]["name"], "nniexpexp1trialtr1");
    let roles = object["spec"]["taskRoles"].as_array().expect("roles");
    assert_eq!(
        roles[1]["frameworkAttemptCompletionPolicy"],
        json!({"minFailedTaskCount": 1, "minSucceededTaskCount": 2})
    );
    let pod = &roles[1]["task"]["pod"]["spec"];
    let names: Vec<&Value> = pod["initContainers"]
        .as_array()
        .expect("two")
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["code", "frameworkbarrier"]);
    assert_eq!(pod["containers"][0]["ports"], json!([{"containerPort": 4001}]));
    let env = pod["containers"][0]["env"].as_array().expect("variables");
    assert!(env.contains(&json!({"name": "FB_WORKER_PORT", "value": "4001"})));
}

#[test]
fn a_framework_of_the_users_own_keeps_what_is_not_ours() {
    let mut config = config(JobKind::Framework, vec![role("worker", 1)]);
    let metadata =
        json!({"name": "theirs", "namespace": "x", "labels": {"team": "a", "app": "b"}, "annotations": {"c": "d"}});
    config.framework_template = Some(json!({"metadata": metadata, "spec": {
        "retryPolicy": {"maxRetryCount": 2},
        "taskRoles": [{"name": "worker", "task": {"retryPolicy": {"fancyRetryPolicy": true}, "pod": {"spec": {
            "hostNetwork": true,
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}],
            "containers": [{"name": "mine", "image": "own:2", "command": ["x"], "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        }}}}],
    }}));
    let object = made(&config);
    let metadata = &object["metadata"];
    assert_eq!(
        (&metadata["name"], metadata.get("namespace")),
        (&json!("nniexpexp1trialtr1"), None)
    );
    assert_eq!(
        (
            &metadata["labels"]["team"],
            &metadata["labels"]["app"],
            &metadata["annotations"]["c"]
        ),
        (&json!("a"), &json!("nni-kubernetes-trial"), &json!("d"))
    );
    assert_eq!(object["spec"]["retryPolicy"]["maxRetryCount"], 2);
    let task = &object["spec"]["taskRoles"][0]["task"];
    assert_eq!(task["retryPolicy"]["fancyRetryPolicy"], true);
    let pod = &task["pod"]["spec"];
    assert_eq!(
        (&pod["hostNetwork"], &pod["restartPolicy"]),
        (&json!(true), &json!("Never"))
    );
    let containers = pod["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 1);
    assert_eq!(
        (&containers[0]["name"], &containers[0]["image"]),
        (&json!("mine"), &json!("own:2"))
    );
    assert_eq!(containers[0]["command"][0], "/bin/sh");
    let paths: Vec<&Value> = containers[0]["volumeMounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .map(|m| &m["mountPath"])
        .collect();
    assert_eq!(paths, ["/data", "/tmp/nni"]);
}

#[test]
fn a_framework_of_the_users_own_keeps_its_barrier_and_its_times() {
    let mut config = config(JobKind::Framework, vec![role("worker", 2)]);
    config.grace_period = Duration::from_secs(5);
    let made_of = |task: Value| {
        let mut config = config.clone();
        config.framework_template = Some(json!({"spec": {"taskRoles": [{"name": "worker", "task": task}]}}));
        (
            made(&config)["spec"]["taskRoles"][0]["task"].clone(),
            config.longest_grace(),
        )
    };
    let pod = |times: Value| {
        let mut spec = json!({
            "containers": [{"name": "mine", "image": "own:2"}],
            "initContainers": [{"name": "frameworkbarrier", "image": "registry.local/barrier:1", "env": [{"name": "A"}]}],
        });
        merge::strategic(&mut spec, &times);
        json!({"spec": spec})
    };
    let (task, grace) = made_of(json!({"podGracefulDeletionTimeoutSec": 1800, "pod": pod(json!({}))}));
    assert_eq!(task["podGracefulDeletionTimeoutSec"], 1800);
    assert_eq!(task["pod"]["spec"]["terminationGracePeriodSeconds"], 5);
    assert_eq!(grace, Duration::from_secs(5));
    let barriers: Vec<&Value> = task["pod"]["spec"]["initContainers"]
        .as_array()
        .expect("containers")
        .iter()
        .filter(|container| container["name"] == "frameworkbarrier")
        .collect();
    let [barrier] = barriers.as_slice() else {
        panic!("{barriers:?}")
    };
    assert_eq!(
        barrier["image"], "registry.local/barrier:1",
        "no other registry may be there"
    );
    assert_eq!(barrier["env"], json!([{"name": "A"}]));
    let (task, grace) = made_of(json!({"pod": pod(json!({"terminationGracePeriodSeconds": 300}))}));
    assert_eq!(
        task["podGracefulDeletionTimeoutSec"], 360,
        "not before the pod's own time"
    );
    assert_eq!(task["pod"]["spec"]["terminationGracePeriodSeconds"], 300);
    assert_eq!(grace, Duration::from_mins(5));
}

#[test]
fn the_code_is_taken_by_whom_the_trial_runs_as() {
    let code_of = |pod: &Value| {
        let containers = pod["initContainers"].as_array().expect("containers");
        let code = containers.iter().find(|container| container["name"] == CODE_CONTAINER);
        code.expect("one that waits for the code")["securityContext"].clone()
    };
    let user = json!({"runAsUser": 1000});
    let mut job = config(JobKind::Job, vec![role("worker", 1)]);
    let template = |own: Value| json!({"spec": {"containers": [{"name": "trial", "securityContext": user}], "initContainers": own}});
    job.pods.template = Some(template(json!([])));
    assert_eq!(code_of(&made(&job)["spec"]["template"]["spec"]), user);
    job.pods.template = Some(template(json!([{"name": "code", "securityContext": {"runAsUser": 0}}])));
    assert_eq!(
        code_of(&made(&job)["spec"]["template"]["spec"]),
        json!({"runAsUser": 0})
    );
    let mut framework = config(JobKind::Framework, vec![role("worker", 1)]);
    framework.framework_template = Some(
        json!({"spec": {"taskRoles": [{"name": "worker", "task": {"pod": {"spec": {
            "containers": [{"name": "mine", "image": "own:2", "securityContext": user}],
        }}}}]}}),
    );
    let made = made(&framework);
    assert_eq!(code_of(&made["spec"]["taskRoles"][0]["task"]["pod"]["spec"]), user);
}

#[test]
fn the_runtime_of_a_trial_is_the_configured_one_with_a_pod_that_runs_once() {
    let config = config(JobKind::TrainJob, vec![role("worker", 2)]);
    let job = made(&config);
    assert_eq!(job["spec"]["trainer"]["numNodes"], 2);
    assert_eq!(job["spec"]["trainer"]["resourcesPerNode"]["limits"]["cpu"], "2");
    let base = json!({
        "metadata": {"name": "torch", "labels": {"trainer.kubeflow.org/framework": "torch"}, "resourceVersion": "1"},
        "spec": {
            "mlPolicy": {"numNodes": 1, "torch": {"numProcPerNode": "auto"}},
            "template": {"spec": {
                "failurePolicy": {"maxRestarts": 3},
                "ttlSecondsAfterFinished": 5,
                "replicatedJobs": [
                    {"name": "data", "template": {"spec": {"backoffLimit": 2, "template": {"spec": {"containers": []}}}}},
                    {"name": "train", "template": {
                        "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
                        "spec": {"ttlSecondsAfterFinished": 5, "template": {"spec": {
                            "restartPolicy": "OnFailure",
                            "containers": [{"name": "node", "image": "theirs", "env": [{"name": "THEIRS", "value": "1"}]}],
                        }}},
                    }},
                ],
            }},
        },
    });
    let trial = trial("true", "{}");
    let blueprint = Blueprint {
        config: &config,
        trial: &trial,
        digest: "sha256:d",
        version: "v1alpha1",
        owner: None,
    };
    let runtime = runtime(&blueprint, &base).expect("a runtime");
    assert_eq!(runtime["kind"], job["spec"]["runtimeRef"]["kind"]);
    assert_eq!(runtime["metadata"]["name"], job["spec"]["runtimeRef"]["name"]);
    assert_eq!(runtime["metadata"].get("resourceVersion"), None);
    assert_eq!(runtime["metadata"]["labels"]["trainer.kubeflow.org/framework"], "torch");
    assert_eq!(runtime["metadata"]["labels"]["trialId"], "tr1");
    assert_eq!(runtime["spec"]["mlPolicy"], base["spec"]["mlPolicy"]);
    let set = &runtime["spec"]["template"]["spec"];
    assert_eq!(
        (set.get("failurePolicy"), set.get("ttlSecondsAfterFinished")),
        (None, None)
    );
    let before = &base["spec"]["template"]["spec"]["replicatedJobs"][0];
    assert_eq!(&set["replicatedJobs"][0], before, "other jobs are as they were");
    let job = &set["replicatedJobs"][1]["template"]["spec"];
    assert_eq!(
        (&job["backoffLimit"], job.get("ttlSecondsAfterFinished")),
        (&json!(0), None)
    );
    let pod = &job["template"];
    assert_eq!(pod["metadata"]["labels"]["trialId"], "tr1");
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    assert_eq!(pod["spec"]["initContainers"][0]["name"], CODE_CONTAINER);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        (&container["name"], &container["image"]),
        (&json!("node"), &json!("local/a:1"))
    );
    assert_eq!(container["env"][0], json!({"name": "THEIRS", "value": "1"}));

    let error = super::runtime(&blueprint, &json!({"metadata": {"name": "empty"}, "spec": {}})).expect_err("no job");
    assert!(error.message().contains("`empty`"), "{error}");
}

#[test]
fn the_users_pod_template_is_merged_and_cannot_hide_a_pod() {
    let mut config = config(JobKind::Job, vec![role("worker", 1)]);
    config.access = Access::default();
    config.grace_period = Duration::from_millis(1500);
    config.pods.template = Some(json!({
        "metadata": {"labels": {"trialId": "other", "team": "a"}, "annotations": {"sidecar.istio.io/inject": "false"}},
        "spec": {"priorityClassName": "low", "containers": [{"name": "trial", "workingDir": "/x"}, {"name": "side", "image": "s"}]},
    }));
    let object = made(&config);
    let template = &object["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["trialId"], "tr1");
    assert_eq!(template["metadata"]["labels"]["team"], "a");
    assert_eq!(template["spec"]["priorityClassName"], "low");
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 2);
    assert_eq!(template["spec"]["containers"].as_array().map(Vec::len), Some(2));
}
