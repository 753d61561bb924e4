//! The pods and services of a training job, and how its processes find each other.
//!
//! Source: kubeflow/training-operator `release-1.9`, `pkg/controller.v1/common/pod.go`, `service.go`,
//! `pkg/controller.v1/tensorflow/tensorflow.go`, `pkg/controller.v1/pytorch/envvar.go`, `initcontainer.go`;
//! kubeflow/pytorch-operator, `pkg/controller.v1/pytorch/pod.go`.

use super::{
    dialect::{Dialect, role_label},
    spec::{Role, Training},
};
use crate::operators::{
    Generation, pods,
    value::{name, namespace, section, text},
};
use serde_json::{Value, json};

/// How the children of one job are made.
#[derive(Debug)]
pub(super) struct Making<'a> {
    pub(super) dialect: Dialect,
    pub(super) generation: Generation,
    pub(super) job: &'a Value,
    pub(super) training: &'a Training,
    pub(super) init_image: Option<&'a str>,
}

impl Making<'_> {
    /// Name of a replica's pod and service.
    pub(super) fn name(&self, role: &Role, index: i64) -> String {
        format!("{}-{}-{index}", name(self.job), role.lower())
    }

    /// The labels by which a replica is found.
    fn labels(&self, role: &Role, index: i64) -> Value {
        let (type_label, index_label) = self.dialect.replica_labels(self.generation);
        let mut labels = json!(self.dialect.job_labels(self.generation, name(self.job)));
        labels[type_label] = json!(role.lower());
        labels[index_label] = json!(index.to_string());
        labels
    }

    fn leads(&self, role: &Role, index: i64) -> bool {
        match self.training.chief() {
            Some(chief) => chief.name == role.name,
            None => self.dialect == Dialect::Tf && role.name == "Worker" && index == 0,
        }
    }

    /// The pod of a replica.
    pub(super) fn pod(&self, role: &Role, index: i64) -> Value {
        let mut pod = pods::from_template(&role.template, self.job, &self.name(role, index));
        let labels = self.labels(role, index);
        section(&mut pod, &["metadata", "labels"]).extend(labels.as_object().cloned().unwrap_or_default());
        if self.leads(role, index) {
            pods::set_labels(&mut pod, [(role_label(self.generation), "master".to_owned())]);
        }
        let policy = match role.restart_policy.as_str() {
            "ExitCode" => "Never",
            policy => policy,
        };
        section(&mut pod, &["spec"]).insert("restartPolicy".to_owned(), json!(policy));
        match self.dialect {
            Dialect::Tf => self.set_tf_config(&mut pod, role, index),
            Dialect::PyTorch => self.set_torch_env(&mut pod, role, index),
        }
        pod
    }

    /// The headless service of a replica.
    pub(super) fn service(&self, role: &Role, index: i64) -> Value {
        let labels = self.labels(role, index);
        let mut service = pods::headless_service(self.job, &self.name(role, index), &labels, &labels);
        let (port_name, _) = self.dialect.port();
        service["spec"]["ports"] = json!([{ "name": port_name, "port": role.port(self.dialect) }]);
        service
    }

    /// `TF_CONFIG`, unless the job has but one process.
    fn set_tf_config(&self, pod: &mut Value, role: &Role, index: i64) {
        if self.training.total() == 1 {
            return;
        }
        let mut roles: Vec<&Role> = self
            .training
            .roles
            .iter()
            .filter(|role| role.name != "Evaluator")
            .collect();
        roles.sort_by_key(|role| role.lower());
        let mut cluster = json!({});
        for role in roles {
            let port = role.port(self.dialect);
            let address = |index| format!("{}.{}.svc:{port}", self.name(role, index), namespace(self.job));
            cluster[role.lower()] = (0..role.replicas).map(address).collect();
        }
        let task = json!({ "type": role.lower(), "index": index });
        let config = if self.training.dynamic_worker {
            let of = |lower: &str| cluster.get(lower).cloned().unwrap_or_else(|| json!([]));
            let mine = cluster[role.lower()]
                .get(usize::try_from(index).unwrap_or(usize::MAX))
                .cloned();
            let sparse = match role.lower().as_str() {
                "ps" => json!({ "worker": {}, "ps": [mine] }),
                "worker" => json!({ "worker": { index.to_string(): mine }, "ps": of("ps") }),
                _ => json!({ "worker": {}, "ps": [] }),
            };
            json!({ "sparseCluster": sparse, "task": task })
        } else {
            json!({ "cluster": cluster, "task": task, "environment": "cloud" })
        };
        let variable = json!({ "name": "TF_CONFIG", "value": config.to_string() });
        let containers = pods::containers_mut(pod).into_iter();
        for container in containers.filter(|container| text(container, "/name") == self.dialect.container()) {
            pods::set_env(container, variable.clone());
        }
    }

    /// Where the master listens, how many there are, and which one this is.
    fn set_torch_env(&self, pod: &mut Value, role: &Role, index: i64) {
        let Some(master) = self.training.role("Master") else {
            return;
        };
        let rank = if role.name == "Master" { 0 } else { index + 1 };
        let port = master.port(self.dialect).to_string();
        let address = self.name(master, 0);
        let total = self.training.total();
        let variables: Vec<(&str, String)> = match self.generation {
            Generation::Old => {
                let address = if rank == 0 {
                    "localhost".to_owned()
                } else {
                    address.clone()
                };
                vec![
                    ("MASTER_PORT", port),
                    ("MASTER_ADDR", address),
                    ("WORLD_SIZE", total.to_string()),
                    ("RANK", rank.to_string()),
                    ("PYTHONUNBUFFERED", "0".to_owned()),
                ]
            }
            Generation::TrainingOperator => {
                let processes = self.training.processes.clone();
                let world = total * processes.as_deref().and_then(|count| count.parse().ok()).unwrap_or(1);
                vec![
                    ("PYTHONUNBUFFERED", "1".to_owned()),
                    ("MASTER_PORT", port.clone()),
                    ("PET_MASTER_PORT", port),
                    ("MASTER_ADDR", address.clone()),
                    ("PET_MASTER_ADDR", address.clone()),
                    ("WORLD_SIZE", world.to_string()),
                    ("RANK", rank.to_string()),
                    ("PET_NODE_RANK", rank.to_string()),
                    ("PET_NPROC_PER_NODE", processes.unwrap_or_else(|| "auto".to_owned())),
                    ("PET_NNODES", total.to_string()),
                ]
            }
        };
        let containers = pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            for (variable, value) in &variables {
                pods::set_env(container, json!({ "name": variable, "value": value }));
            }
        }
        if let Some(image) = self.init_image.filter(|_| role.name == "Worker") {
            let wait = format!("until nslookup {address}; do echo waiting for master; sleep 2; done");
            crate::operators::value::list_mut(&mut pod["spec"], "initContainers").push(json!({
                "name": "init-pytorch",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", wait],
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(dialect: Dialect, roles: Value) -> Value {
        let mut job = json!({
            "apiVersion": "kubeflow.org/v1",
            "kind": dialect.kind_name(),
            "metadata": { "name": "j", "namespace": "n", "uid": "u", "labels": { "mine": "1" } },
            "spec": {},
        });
        job["spec"][dialect.roles_key()] = roles;
        job
    }

    fn role(container: &str, replicas: i64, policy: &str) -> Value {
        json!({
            "replicas": replicas,
            "restartPolicy": policy,
            "template": {
                "metadata": { "labels": { "theirs": "2" } },
                "spec": { "restartPolicy": "Always", "containers": [{ "name": container, "image": "i" }] },
            },
        })
    }

    fn pod(dialect: Dialect, generation: Generation, roles: Value, name: &str, index: i64) -> Value {
        let job = job(dialect, roles);
        let training = Training::read(dialect, generation, &job).unwrap();
        let making = Making {
            dialect,
            generation,
            job: &job,
            training: &training,
            init_image: Some("wait:1"),
        };
        making.pod(training.role(name).unwrap(), index)
    }

    fn env(pod: &Value, name: &str) -> String {
        let variables = pod["spec"]["containers"][0]["env"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = variables.iter().find(|variable| variable["name"] == name);
        found
            .map(|variable| variable["value"].as_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    #[test]
    fn labels_of_the_template_and_of_the_operator_but_not_of_the_job() {
        let roles = json!({ "Worker": role("tensorflow", 1, "ExitCode") });
        let new = pod(Dialect::Tf, Generation::TrainingOperator, roles.clone(), "Worker", 0);
        assert_eq!(new["metadata"]["name"], "j-worker-0");
        assert_eq!(
            new["metadata"]["labels"],
            json!({
                "theirs": "2",
                "training.kubeflow.org/operator-name": "tfjob-controller",
                "training.kubeflow.org/job-name": "j",
                "training.kubeflow.org/replica-type": "worker",
                "training.kubeflow.org/replica-index": "0",
                "training.kubeflow.org/job-role": "master",
            })
        );
        assert_eq!(new["spec"]["restartPolicy"], "Never");
        let roles = json!({ "Master": role("pytorch", 1, "OnFailure") });
        let old = pod(Dialect::PyTorch, Generation::Old, roles, "Master", 0);
        assert_eq!(
            old["metadata"]["labels"],
            json!({
                "theirs": "2", "group-name": "kubeflow.org", "controller-name": "pytorch-operator", "job-name": "j",
                "pytorch-job-name": "j", "pytorch-replica-type": "master", "pytorch-replica-index": "0",
                "job-role": "master",
            })
        );
        assert_eq!(old["spec"]["restartPolicy"], "OnFailure");
    }

    #[test]
    fn tf_config_for_more_than_one_process() {
        let one = json!({ "Worker": role("tensorflow", 1, "Never") });
        assert_eq!(
            env(&pod(Dialect::Tf, Generation::Old, one, "Worker", 0), "TF_CONFIG"),
            ""
        );
        let roles = json!({ "Worker": role("tensorflow", 2, "Never"), "Ps": role("tensorflow", 1, "Never"),
            "Evaluator": role("tensorflow", 1, "Never") });
        assert_eq!(
            env(
                &pod(Dialect::Tf, Generation::TrainingOperator, roles, "Worker", 1),
                "TF_CONFIG"
            ),
            concat!(
                r#"{"cluster":{"ps":["j-ps-0.n.svc:2222"],"worker":["j-worker-0.n.svc:2222","j-worker-1.n.svc:2222"]},"#,
                r#""task":{"type":"worker","index":1},"environment":"cloud"}"#
            )
        );
    }

    #[test]
    fn torch_env_of_both_generations() {
        let roles = json!({ "Master": role("pytorch", 1, "Never"), "Worker": role("pytorch", 2, "Never") });
        let values =
            |pod: &Value| ["MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "PET_NNODES"].map(|name| env(pod, name));
        let old = |name: &str, index| pod(Dialect::PyTorch, Generation::Old, roles.clone(), name, index);
        assert_eq!(values(&old("Master", 0)), ["localhost", "23456", "3", "0", ""]);
        assert_eq!(values(&old("Worker", 1)), ["j-master-0", "23456", "3", "2", ""]);
        let new = pod(
            Dialect::PyTorch,
            Generation::TrainingOperator,
            roles.clone(),
            "Master",
            0,
        );
        assert_eq!(values(&new), ["j-master-0", "23456", "3", "0", "3"]);
        assert_eq!(
            (
                new["spec"].get("initContainers"),
                env(&new, "PYTHONUNBUFFERED").as_str()
            ),
            (None, "1")
        );
        assert_eq!(old("Worker", 0)["spec"]["initContainers"][0]["name"], "init-pytorch");
    }

    #[test]
    fn a_service_finds_its_pod() {
        let job = job(Dialect::Tf, json!({ "Worker": role("tensorflow", 1, "Never") }));
        let training = Training::read(Dialect::Tf, Generation::TrainingOperator, &job).unwrap();
        let making = Making {
            dialect: Dialect::Tf,
            generation: Generation::TrainingOperator,
            job: &job,
            training: &training,
            init_image: None,
        };
        let service = making.service(&training.roles[0], 0);
        assert_eq!(
            (&service["metadata"]["name"], &service["spec"]["clusterIP"]),
            (&json!("j-worker-0"), &json!("None"))
        );
        assert_eq!(
            service["spec"]["ports"],
            json!([{ "name": "tfjob-port", "port": 2222 }])
        );
        assert_eq!(service["spec"]["selector"]["training.kubeflow.org/replica-index"], "0");
    }
}
