//! A training job as its operator reads it: defaults filled in, roles under their proper names, limits from where the
//! generation keeps them, and what is wrong with it.
//!
//! Source: kubeflow/pytorch-operator, `pkg/apis/pytorch/v1/defaults.go`, `pkg/apis/pytorch/validation/validation.go`;
//! kubeflow/training-operator `release-1.9`, `pkg/apis/kubeflow.org/v1/*_defaults.go`, `*_validation.go`.

use super::dialect::Dialect;
use crate::operators::{
    Generation,
    value::{flag, list, list_mut, members, number, text},
};
use serde_json::{Value, json};
use std::time::Duration;

/// One role of a job.
#[derive(Debug, Clone)]
pub(super) struct Role {
    /// Its proper name, such as `PS`.
    pub(super) name: String,
    pub(super) replicas: i64,
    /// `Always`, `OnFailure`, `Never` or `ExitCode`.
    pub(super) restart_policy: String,
    /// The pod template, with the default port.
    pub(super) template: Value,
}

impl Role {
    /// The name as labels and the names of pods have it.
    pub(super) fn lower(&self) -> String {
        self.name.to_lowercase()
    }

    /// The port of that name.
    pub(super) fn port(&self, dialect: Dialect) -> i64 {
        let (port_name, default) = dialect.port();
        let containers = list(&self.template, "/spec/containers").iter();
        let ports = containers
            .filter(|container| text(container, "/name") == dialect.container())
            .flat_map(|container| list(container, "/ports"));
        let mut named = ports.filter(|port| text(port, "/name") == port_name);
        named.find_map(|port| number(port, "/containerPort")).unwrap_or(default)
    }
}

/// A job, read.
#[derive(Debug, Clone)]
pub(super) struct Training {
    /// In the order of [`Dialect::roles`].
    pub(super) roles: Vec<Role>,
    pub(super) clean_pod_policy: String,
    pub(super) ttl: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) backoff_limit: Option<i64>,
    pub(super) suspend: bool,
    pub(super) all_workers: bool,
    pub(super) dynamic_worker: bool,
    /// Processes of a PyTorch replica, if the job says so.
    pub(super) processes: Option<String>,
}

impl Training {
    /// Reads a job.
    ///
    /// # Errors
    /// What is wrong with it, as its operator puts it.
    pub(super) fn read(dialect: Dialect, generation: Generation, job: &Value) -> Result<Self, String> {
        let kind = dialect.kind_name();
        let pointer = format!("/spec/{}", dialect.roles_key());
        if job.pointer(&pointer).is_none_or(Value::is_null) {
            return Err(format!("{kind}Spec is not valid"));
        }
        let mut roles = Vec::new();
        for (given, spec) in members(job, &pointer) {
            let proper = dialect.roles().iter().find(|proper| proper.eq_ignore_ascii_case(given));
            let Some(proper) = proper else {
                return Err(format!(
                    "{kind}ReplicaType is {given} but must be one of {:?}",
                    dialect.roles()
                ));
            };
            roles.push(role(dialect, generation, proper, spec)?);
        }
        roles.sort_by_key(|role| dialect.roles().iter().position(|proper| *proper == role.name));
        check_roles(dialect, generation, &roles)?;
        let limits = match generation {
            Generation::Old => "/spec",
            Generation::TrainingOperator => "/spec/runPolicy",
        };
        let seconds = |key: &str| {
            let seconds = number(job, &format!("{limits}/{key}"))?;
            u64::try_from(seconds).ok().map(Duration::from_secs)
        };
        let clean = match text(job, &format!("{limits}/cleanPodPolicy")) {
            "" => dialect.default_clean_pod_policy(generation),
            given => given,
        };
        Ok(Self {
            clean_pod_policy: clean.to_owned(),
            ttl: seconds("ttlSecondsAfterFinished"),
            deadline: seconds("activeDeadlineSeconds"),
            backoff_limit: number(job, &format!("{limits}/backoffLimit")),
            suspend: generation == Generation::TrainingOperator && flag(job, "/spec/runPolicy/suspend"),
            all_workers: text(job, "/spec/successPolicy") == "AllWorkers",
            dynamic_worker: flag(job, "/spec/enableDynamicWorker"),
            processes: match text(job, "/spec/nprocPerNode") {
                "" => None,
                given => Some(given.to_owned()),
            },
            roles,
        })
    }

    pub(super) fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The role whose end is the job's end, if there is one.
    pub(super) fn chief(&self) -> Option<&Role> {
        self.roles
            .iter()
            .find(|role| matches!(role.name.as_str(), "Chief" | "Master"))
    }

    pub(super) fn total(&self) -> i64 {
        self.roles.iter().map(|role| role.replicas).sum()
    }
}

fn role(dialect: Dialect, generation: Generation, proper: &str, spec: &Value) -> Result<Role, String> {
    let kind = dialect.kind_name();
    let mut template = spec.get("template").cloned().unwrap_or_default();
    let containers = list(&template, "/spec/containers");
    if containers.is_empty() {
        return Err(format!(
            "{kind}Spec is not valid: containers definition expected in {proper}"
        ));
    }
    if containers.iter().any(|container| text(container, "/image").is_empty()) {
        return Err(format!(
            "{kind}Spec is not valid: Image is undefined in the container of {proper}"
        ));
    }
    let container = dialect.container();
    if !containers.iter().any(|found| text(found, "/name") == container) {
        return Err(format!(
            "{kind}Spec is not valid: There is no container named {container} in {proper}"
        ));
    }
    // The old PyTorch operator adds the port to its master only.
    if dialect == Dialect::Tf || generation == Generation::TrainingOperator || proper == "Master" {
        add_port(dialect, &mut template);
    }
    let restart_policy = match text(spec, "/restartPolicy") {
        "" => dialect.default_restart_policy(),
        given => given,
    };
    Ok(Role {
        name: proper.to_owned(),
        replicas: number(spec, "/replicas").unwrap_or(1),
        restart_policy: restart_policy.to_owned(),
        template,
    })
}

fn check_roles(dialect: Dialect, generation: Generation, roles: &[Role]) -> Result<(), String> {
    let kind = dialect.kind_name();
    let leaders = || {
        roles
            .iter()
            .filter(|role| matches!(role.name.as_str(), "Chief" | "Master"))
    };
    match dialect {
        Dialect::Tf if leaders().count() > 1 => Err(format!("{kind}Spec is not valid: more than 1 chief/master found")),
        Dialect::PyTorch if leaders().any(|master| master.replicas != 1) => {
            Err(format!("{kind}Spec is not valid: There must be only 1 master replica"))
        }
        Dialect::PyTorch if generation == Generation::Old && leaders().count() == 0 => {
            Err(format!("{kind}Spec is not valid: Master ReplicaSpec must be present"))
        }
        _ => Ok(()),
    }
}

fn add_port(dialect: Dialect, template: &mut Value) {
    let (port_name, port) = dialect.port();
    let containers = template.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    let mut containers = containers.into_iter().flatten();
    let Some(container) = containers.find(|container| text(container, "/name") == dialect.container()) else {
        return;
    };
    if !list(container, "/ports")
        .iter()
        .any(|port| text(port, "/name") == port_name)
    {
        list_mut(container, "ports").push(json!({ "name": port_name, "containerPort": port }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(container: &str) -> Value {
        json!({ "spec": { "containers": [{ "name": container, "image": "i" }] } })
    }

    #[test]
    fn defaults_of_the_kinds_and_generations() {
        let tf = json!({ "spec": { "tfReplicaSpecs": { "worker": { "template": template("tensorflow") } } } });
        for (generation, clean) in [(Generation::Old, "Running"), (Generation::TrainingOperator, "None")] {
            let read = Training::read(Dialect::Tf, generation, &tf).unwrap();
            let role = &read.roles[0];
            assert_eq!(
                (role.name.as_str(), role.replicas, role.restart_policy.as_str()),
                ("Worker", 1, "Never")
            );
            assert_eq!(
                role.template["spec"]["containers"][0]["ports"][0]["containerPort"],
                2222
            );
            assert_eq!(read.clean_pod_policy, clean);
        }
        let torch = json!({ "spec": { "pytorchReplicaSpecs": {
            "Worker": { "template": template("pytorch") }, "Master": { "template": template("pytorch") },
        } } });
        let read = Training::read(Dialect::PyTorch, Generation::Old, &torch).unwrap();
        let names: Vec<_> = read
            .roles
            .iter()
            .map(|role| (role.name.as_str(), role.restart_policy.as_str()))
            .collect();
        assert_eq!(names, [("Master", "OnFailure"), ("Worker", "OnFailure")]);
        assert_eq!(
            (
                read.roles[1].template["spec"]["containers"][0].get("ports"),
                read.total()
            ),
            (None, 2)
        );
    }

    #[test]
    fn limits_are_read_where_the_generation_keeps_them() {
        let job = json!({ "spec": {
            "backoffLimit": 1,
            "runPolicy": { "backoffLimit": 2, "suspend": true, "activeDeadlineSeconds": 3 },
            "tfReplicaSpecs": { "Worker": { "template": template("tensorflow") } },
        } });
        let old = Training::read(Dialect::Tf, Generation::Old, &job).unwrap();
        assert_eq!((old.backoff_limit, old.suspend, old.deadline), (Some(1), false, None));
        let new = Training::read(Dialect::Tf, Generation::TrainingOperator, &job).unwrap();
        assert_eq!(
            (new.backoff_limit, new.suspend, new.deadline),
            (Some(2), true, Some(Duration::from_secs(3)))
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let tf = |roles: Value| json!({ "spec": { "tfReplicaSpecs": roles } });
        let read = |job: &Value| Training::read(Dialect::Tf, Generation::TrainingOperator, job).unwrap_err();
        for (job, expected) in [
            (json!({ "spec": {} }), "TFJobSpec is not valid"),
            (
                tf(json!({ "Worker": {} })),
                "TFJobSpec is not valid: containers definition expected in Worker",
            ),
            (
                tf(json!({ "Worker": { "template": template("pytorch") } })),
                "TFJobSpec is not valid: There is no container named tensorflow in Worker",
            ),
            (
                tf(json!({ "Worker": { "template": { "spec": { "containers": [{ "name": "tensorflow" }] } } } })),
                "TFJobSpec is not valid: Image is undefined in the container of Worker",
            ),
            (
                tf(
                    json!({ "Chief": { "template": template("tensorflow") }, "Master": { "template": template("tensorflow") } }),
                ),
                "TFJobSpec is not valid: more than 1 chief/master found",
            ),
        ] {
            assert_eq!(read(&job), expected);
        }
        assert!(
            read(&tf(json!({ "Boss": { "template": template("tensorflow") } })))
                .starts_with("TFJobReplicaType is Boss")
        );
        let torch = json!({ "spec": { "pytorchReplicaSpecs": { "Worker": { "template": template("pytorch") } } } });
        assert!(Training::read(Dialect::PyTorch, Generation::TrainingOperator, &torch).is_ok());
        assert!(
            Training::read(Dialect::PyTorch, Generation::Old, &torch)
                .unwrap_err()
                .contains("Master")
        );
    }
}
