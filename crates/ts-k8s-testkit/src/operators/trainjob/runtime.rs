//! A TrainJob together with its runtime: the Jobs that come of both.
//!
//! Source: kubeflow/trainer v2.2, `pkg/runtime/core/trainingruntime.go`, `pkg/runtime/framework/plugins/torch/torch.go`,
//! `plugins/jobset/jobset.go`, `builder.go`; defaults of a JobSet: kubernetes-sigs/jobset v0.8,
//! `pkg/webhooks/jobset_webhook.go`.

use super::merge::{merge, unknown_container};
use crate::operators::{
    Minor, pods,
    value::{list, members, name, number, section, text},
};
use serde_json::{Value, json};

/// The label of the Job in a runtime that a TrainJob's `trainer` is about.
const ANCESTOR: &str = "trainer.kubeflow.org/trainjob-ancestor-step";
/// The container that trains.
const NODE: &str = "node";
/// Where the first node listens.
const PORT: i64 = 29500;

/// One Job of a TrainJob.
#[derive(Debug, Clone)]
pub(super) struct Child {
    /// Name of the replicated job.
    pub(super) role: String,
    /// What the Job would be called.
    pub(super) job: String,
    /// Its spec.
    pub(super) spec: Value,
    /// Roles it waits for, and whether for their end or until they are ready.
    pub(super) depends_on: Vec<(String, String)>,
}

/// The Jobs of a TrainJob.
///
/// # Errors
/// Why the trainer's webhook would have refused it.
pub(super) fn children(minor: Minor, job: &Value, runtime: &Value) -> Result<Vec<Child>, String> {
    let mut roles = list(runtime, "/spec/template/spec/replicatedJobs").to_vec();
    match minor {
        Minor::V2_0 => {
            for change in list(job, "/spec/podSpecOverrides") {
                let mut spec = change.clone();
                section(&mut spec, &[]).remove("targetJobs");
                lay_over_targets(&mut roles, change, &json!({ "spec": spec }))?;
            }
        }
        Minor::V2_1 => {
            for change in list(job, "/spec/podTemplateOverrides") {
                let mut template = change.clone();
                section(&mut template, &[]).retain(|key, _| matches!(key.as_str(), "metadata" | "spec"));
                lay_over_targets(&mut roles, change, &template)?;
            }
        }
        Minor::V2_2 => {
            for patch in list(job, "/spec/runtimePatches") {
                for change in list(patch, "/trainingRuntimeSpec/template/spec/replicatedJobs") {
                    let template = change
                        .pointer("/template/spec/template")
                        .cloned()
                        .unwrap_or_else(|| json!({}));
                    lay_over(&mut roles, text(change, "/name"), &template)?;
                }
            }
        }
    }
    Ok(roles.into_iter().map(|role| child(job, runtime, &role)).collect())
}

fn lay_over_targets(roles: &mut [Value], change: &Value, template: &Value) -> Result<(), String> {
    for target in list(change, "/targetJobs") {
        lay_over(roles, text(target, "/name"), template)?;
    }
    Ok(())
}

fn lay_over(roles: &mut [Value], target: &str, change: &Value) -> Result<(), String> {
    let Some(role) = roles.iter_mut().find(|role| text(role, "/name") == target) else {
        return Err(format!(
            "must not have targetJob that doesn't exist in the runtime job template: {target}"
        ));
    };
    let template = &mut role["template"]["spec"]["template"];
    if let Some(spec) = change.get("spec") {
        if let Some(container) = unknown_container(&template["spec"], spec) {
            return Err(format!(
                "must not have container that doesn't exist in the runtime job {target}: {container}"
            ));
        }
        let mut containers = list(spec, "/containers").iter().chain(list(spec, "/initContainers"));
        let reserved = [NODE, "dataset-initializer", "model-initializer"];
        if containers.any(|found| reserved.contains(&text(found, "/name")) && !list(found, "/env").is_empty()) {
            return Err(format!("must not have envs for the {} containers", reserved.join(", ")));
        }
    }
    merge(template, change, "template");
    Ok(())
}

fn child(job: &Value, runtime: &Value, role: &Value) -> Child {
    let role_name = text(role, "/name");
    let mut spec = role.pointer("/template/spec").cloned().unwrap_or_else(|| json!({}));
    let trains = role
        .pointer("/template/metadata/labels")
        .and_then(|labels| labels.get(ANCESTOR))
        == Some(&json!("trainer"));
    let mut count = number(&spec, "/parallelism").unwrap_or(1);
    if trains {
        count = number(runtime, "/spec/mlPolicy/numNodes").unwrap_or(1);
        count = number(job, "/spec/trainer/numNodes").unwrap_or(count);
    }
    let fields = section(&mut spec, &[]);
    fields.insert("parallelism".to_owned(), json!(count));
    fields.insert("completions".to_owned(), json!(count));
    fields.entry("completionMode").or_insert_with(|| json!("Indexed"));
    let pod = section(&mut spec, &["template", "spec"]);
    pod.entry("restartPolicy").or_insert_with(|| json!("OnFailure"));
    pod.entry("subdomain").or_insert_with(|| json!(name(job)));
    if trains {
        set_trainer(job, runtime, count, &mut spec);
    }
    let replica = format!("{}-{role_name}-0", name(job));
    let labels = [
        ("jobset-name", name(job)),
        ("replicatedjob-name", role_name),
        ("replicatedjob-replicas", "1"),
        ("restart-attempt", "0"),
        ("job-index", "0"),
        ("job-global-index", "0"),
    ];
    let labels = labels.map(|(key, value)| (format!("jobset.sigs.k8s.io/{key}"), value.to_owned()));
    let template = &mut spec["template"];
    pods::set_labels(
        template,
        labels.iter().map(|(key, value)| (key.as_str(), value.clone())),
    );
    pods::set_annotations(
        template,
        labels.iter().map(|(key, value)| (key.as_str(), value.clone())),
    );
    Child {
        role: role_name.to_owned(),
        job: replica,
        spec,
        depends_on: list(role, "/dependsOn")
            .iter()
            .map(|known| (text(known, "/name").to_owned(), text(known, "/status").to_owned()))
            .collect(),
    }
}

/// What the TrainJob says of its nodes, and how torch's launcher finds the others.
fn set_trainer(job: &Value, runtime: &Value, count: i64, spec: &mut Value) {
    let torch = runtime.pointer("/spec/mlPolicy/torch");
    let containers = spec
        .pointer_mut("/template/spec/containers")
        .and_then(Value::as_array_mut);
    for container in containers
        .into_iter()
        .flatten()
        .filter(|container| text(container, "/name") == NODE)
    {
        for key in ["image", "command", "args"] {
            if let Some(value) = job
                .pointer(&format!("/spec/trainer/{key}"))
                .filter(|value| !value.is_null())
            {
                container[key] = value.clone();
            }
        }
        if let Some(resources) = job
            .pointer("/spec/trainer/resourcesPerNode")
            .filter(|value| !value.is_null())
        {
            container["resources"] = resources.clone();
        }
        for variable in list(job, "/spec/trainer/env") {
            pods::set_env(container, variable.clone());
        }
        let Some(torch) = torch else { continue };
        let index =
            json!({ "fieldRef": { "fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']" } });
        let address = format!("{0}-{NODE}-0-0.{0}", name(job));
        for variable in [
            json!({ "name": "PET_NNODES", "value": count.to_string() }),
            json!({ "name": "PET_NPROC_PER_NODE", "value": processes(job, torch) }),
            json!({ "name": "PET_NODE_RANK", "valueFrom": index }),
            json!({ "name": "PET_MASTER_ADDR", "value": address }),
            json!({ "name": "PET_MASTER_PORT", "value": PORT.to_string() }),
        ] {
            pods::set_env(container, variable);
        }
        crate::operators::value::list_mut(container, "ports").push(json!({ "containerPort": PORT }));
    }
}

/// Processes of a node: what is written, or with `auto` and no accelerator the number of processors.
fn processes(job: &Value, torch: &Value) -> String {
    let written = [job.pointer("/spec/trainer/numProcPerNode"), torch.get("numProcPerNode")];
    let written = written.into_iter().flatten().find(|value| !value.is_null());
    let written = match written {
        Some(Value::String(text)) => text.clone(),
        Some(number) => number.to_string(),
        None => "auto".to_owned(),
    };
    let resources = || {
        let of = |kind: &str| members(job, &format!("/spec/trainer/resourcesPerNode/{kind}")).collect::<Vec<_>>();
        of("limits").into_iter().chain(of("requests"))
    };
    let accelerator = resources().any(|(resource, _)| resource.to_lowercase().contains("gpu"));
    let processors = resources()
        .find(|(resource, _)| *resource == "cpu")
        .map(|(_, amount)| whole(amount));
    match (written.as_str(), processors) {
        ("auto", Some(processors)) if !accelerator => processors.to_string(),
        ("cpu", processors) => processors.unwrap_or(1).to_string(),
        _ => written,
    }
}

/// An amount of processors, rounded up.
fn whole(amount: &Value) -> u64 {
    match amount {
        Value::String(text) => match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse::<u64>().map_or(1, |count| count.div_ceil(1000)),
            None => text.parse().unwrap_or(1),
        },
        other => other.as_u64().unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> Value {
        json!({ "spec": {
            "mlPolicy": { "numNodes": 1, "torch": { "numProcPerNode": "auto" } },
            "template": { "spec": { "replicatedJobs": [{
                "name": "node",
                "template": {
                    "metadata": { "labels": { ANCESTOR: "trainer" } },
                    "spec": { "template": { "spec": { "containers": [{ "name": "node", "image": "theirs" }] } } },
                },
            }] } },
        } })
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a table of cases reads better without borrows"
    )]
    fn job(spec: Value) -> Value {
        json!({ "metadata": { "name": "t", "namespace": "n", "uid": "u" }, "spec": spec })
    }

    #[test]
    fn a_trainer_replaces_what_the_runtime_says_and_torch_is_told_of_its_peers() {
        let job = job(json!({ "trainer": {
            "image": "mine", "command": ["x"], "numNodes": 2, "resourcesPerNode": { "limits": { "cpu": "1500m" } },
        } }));
        let child = children(Minor::V2_2, &job, &runtime()).unwrap().remove(0);
        assert_eq!((child.role.as_str(), child.job.as_str()), ("node", "t-node-0"));
        assert_eq!(
            (&child.spec["completions"], &child.spec["completionMode"]),
            (&json!(2), &json!("Indexed"))
        );
        let pod = &child.spec["template"];
        // A JobSet starts containers again in place unless its template says otherwise.
        assert_eq!(
            (&pod["spec"]["restartPolicy"], &pod["spec"]["subdomain"]),
            (&json!("OnFailure"), &json!("t"))
        );
        assert_eq!(pod["metadata"]["labels"]["jobset.sigs.k8s.io/jobset-name"], "t");
        let container = &pod["spec"]["containers"][0];
        assert_eq!(
            (&container["image"], &container["command"]),
            (&json!("mine"), &json!(["x"]))
        );
        let env: Vec<_> = list(container, "/env")
            .iter()
            .map(|known| (text(known, "/name"), text(known, "/value")))
            .collect();
        assert_eq!(
            env,
            [
                ("PET_NNODES", "2"),
                ("PET_NPROC_PER_NODE", "2"),
                ("PET_NODE_RANK", ""),
                ("PET_MASTER_ADDR", "t-node-0-0.t"),
                ("PET_MASTER_PORT", "29500"),
            ]
        );
    }

    #[test]
    fn each_minor_has_its_own_way_to_change_pods() {
        let all = job(json!({
            "podSpecOverrides": [{ "targetJobs": [{ "name": "node" }], "nodeSelector": { "by": "2.0" } }],
            "podTemplateOverrides": [{ "targetJobs": [{ "name": "node" }], "metadata": { "labels": { "l": "1" } },
                "spec": { "nodeSelector": { "by": "2.1" } } }],
            "runtimePatches": [{ "manager": "a/b", "trainingRuntimeSpec": { "template": { "spec": { "replicatedJobs": [{
                "name": "node", "template": { "spec": { "template": { "metadata": { "labels": { "l": "2" } },
                    "spec": { "nodeSelector": { "by": "2.2" } } } } } }] } } } }],
        }));
        for (minor, by, label) in [
            (Minor::V2_0, "2.0", Value::Null),
            (Minor::V2_1, "2.1", json!("1")),
            (Minor::V2_2, "2.2", json!("2")),
        ] {
            let child = children(minor, &all, &runtime()).unwrap().remove(0);
            let template = &child.spec["template"];
            assert_eq!(
                (
                    &template["spec"]["nodeSelector"]["by"],
                    &template["metadata"]["labels"]["l"]
                ),
                (&json!(by), &label)
            );
        }
    }

    #[test]
    fn changes_that_are_refused() {
        let change = |target: &str, container: Value| {
            job(
                json!({ "podTemplateOverrides": [{ "targetJobs": [{ "name": target }], "spec": { "containers": [container] } }] }),
            )
        };
        for (job, expected) in [
            (change("other", json!({ "name": "node" })), "targetJob"),
            (change("node", json!({ "name": "side" })), "must not have container"),
            (
                change("node", json!({ "name": "node", "env": [{ "name": "A" }] })),
                "must not have envs",
            ),
        ] {
            let error = children(Minor::V2_1, &job, &runtime()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn processes_of_a_node() {
        for (trainer, expected) in [
            (json!({}), "auto"),
            (json!({ "numProcPerNode": 4 }), "4"),
            (json!({ "numProcPerNode": "gpu" }), "gpu"),
            (
                json!({ "numProcPerNode": "cpu", "resourcesPerNode": { "requests": { "cpu": 3 } } }),
                "3",
            ),
            (
                json!({ "resourcesPerNode": { "limits": { "cpu": "2", "nvidia.com/gpu": 1 } } }),
                "auto",
            ),
        ] {
            let job = job(json!({ "trainer": trainer }));
            assert_eq!(processes(&job, &json!({ "numProcPerNode": "auto" })), expected, "{job}");
        }
    }
}
