//! `Framework` of FrameworkController, from our own roles or over the user's template.
//!
//! Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/types.go`; the barrier and its ports as nni v2.10,
//! `ts/nni_manager/training_service/kubernetes/frameworkcontroller/`.

use super::{Blueprint, merge, pod, seconds};
use crate::Role;
use serde_json::{Value, json};
use ts_core::Result;

/// The barrier waits until every task has an address and leaves them in this folder.
const BARRIER_DIR: &str = "/mnt/frameworkbarrier";
const BARRIER_VOLUME: &str = "frameworkbarrier-volume";
const BARRIER: &str = "frameworkbarrier";
const BARRIER_IMAGE: &str = "frameworkcontroller/frameworkbarrier";
/// After how many seconds FrameworkController ends a pod by force, and how much later than the kubelet.
const FORCED_END: &str = "podGracefulDeletionTimeoutSec";
const FORCED_LATER: u64 = 60;
/// Port of the first role; the next ones follow.
const FIRST_PORT: u32 = 4000;

/// Makes the addresses of the other tasks known to the command.
pub(super) const INJECT: &str =
    "if [ -e /mnt/frameworkbarrier/injector.sh ]; then . /mnt/frameworkbarrier/injector.sh; fi\n";

pub(super) fn spec(b: &Blueprint<'_>) -> Result<Value> {
    let template = b.config.framework_template.as_ref();
    let mut roles = Vec::with_capacity(b.config.roles.len());
    for (index, role) in (0..).zip(&b.config.roles) {
        let mut pod = pod::template(b, role)?;
        if b.n_pods() > 1 {
            add_barrier(b, &mut pod);
        }
        add_ports(b, &mut pod, FIRST_PORT + index);
        let mut task_role = json!({
            "name": role.name,
            "taskNumber": role.replicas,
            "frameworkAttemptCompletionPolicy": {
                "minFailedTaskCount": role.completion.min_failed,
                "minSucceededTaskCount": role.completion.min_succeeded,
            },
            "task": {
                FORCED_END: seconds(b.config.longest_grace()) + FORCED_LATER,
                "pod": pod,
            },
        });
        if let Some(users) = template.and_then(|t| role_of(t, role)) {
            task_role = over(users, task_role);
        }
        roles.push(task_role);
    }
    let mut spec = json!({"executionType": "Start"});
    if let Some(users) = template.and_then(|t| t.get("spec")) {
        merge::strategic(&mut spec, users);
    }
    spec["taskRoles"] = roles.into();
    Ok(spec)
}

fn role_of<'a>(template: &'a Value, role: &Role) -> Option<&'a Value> {
    let roles = template.pointer("/spec/taskRoles")?.as_array()?;
    roles
        .iter()
        .find(|r| r.get("name").and_then(Value::as_str) == Some(&role.name))
}

/// Ours over the user's role: what NNI's template mode replaces is replaced, the rest is the user's.
fn over(users: &Value, mut ours: Value) -> Value {
    keep_times(users, &mut ours);
    keep_barrier(users, &mut ours);
    let users_container = users.pointer("/task/pod/spec/containers/0");
    if let (Some(users), Some(ours)) = (users_container, ours.pointer_mut("/task/pod/spec/containers/0")) {
        // The one container of the user's role is ours, whatever its name.
        for key in ["name", "image", "resources", "imagePullPolicy"] {
            if let Some(value) = users.get(key) {
                ours[key] = value.clone();
            }
        }
    }
    // A volume of the user's at the place of the storage is the storage.
    let is_mounted = |path: &Value| {
        let mounts = users
            .pointer("/task/pod/spec/containers/0/volumeMounts")
            .and_then(Value::as_array);
        mounts
            .into_iter()
            .flatten()
            .any(|mount| mount.get("mountPath") == Some(path))
    };
    if let Some(mounts) = ours
        .pointer_mut("/task/pod/spec/containers/0/volumeMounts")
        .and_then(Value::as_array_mut)
    {
        mounts.retain(|mount| !is_mounted(&mount["mountPath"]));
    }
    let mut merged = users.clone();
    merge::strategic(&mut merged, &ours);
    pod::same_user(&mut merged["task"]["pod"]["spec"]);
    merged
}

/// How long a pod may take to end is the user's, where it is said.
fn keep_times(users: &Value, ours: &mut Value) {
    if let Some(seconds) = users.pointer("/task/pod/spec/terminationGracePeriodSeconds") {
        ours["task"]["pod"]["spec"]["terminationGracePeriodSeconds"] = seconds.clone();
        if let Some(seconds) = seconds.as_u64() {
            ours["task"][FORCED_END] = (seconds + FORCED_LATER).into();
        }
    }
    if let Some(seconds) = users.pointer("/task").and_then(|task| task.get(FORCED_END)) {
        ours["task"][FORCED_END] = seconds.clone();
    }
}

/// The barrier is of the user's image: a cluster may have no other registry.
fn keep_barrier(users: &Value, ours: &mut Value) {
    const INIT: &str = "/task/pod/spec/initContainers";
    let is_barrier = |container: &&Value| container["name"] == BARRIER;
    let barrier = users.pointer(INIT).and_then(Value::as_array);
    let Some(image) = barrier.and_then(|list| list.iter().find(is_barrier)?.get("image")) else {
        return;
    };
    let barriers = ours.pointer_mut(INIT).and_then(Value::as_array_mut);
    for barrier in barriers
        .into_iter()
        .flatten()
        .filter(|container| container["name"] == BARRIER)
    {
        barrier["image"] = image.clone();
    }
}

/// Two and more tasks find each other by the barrier, which reads the Framework and so needs a service account that may.
fn add_barrier(b: &Blueprint<'_>, pod: &mut Value) {
    let mount = json!({"name": BARRIER_VOLUME, "mountPath": BARRIER_DIR});
    let barrier = json!({"name": BARRIER, "image": BARRIER_IMAGE, "volumeMounts": [mount]});
    let spec = &mut pod["spec"];
    push(&mut spec["volumes"], json!({"name": BARRIER_VOLUME, "emptyDir": {}}));
    push(&mut spec["initContainers"], barrier);
    push(&mut spec["containers"][0]["volumeMounts"], mount);
    for (index, role) in (0..).zip(&b.config.roles) {
        let name = format!("FB_{}_PORT", role.name.to_uppercase());
        let value = (FIRST_PORT + index).to_string();
        push(&mut spec["containers"][0]["env"], json!({"name": name, "value": value}));
    }
}

fn add_ports(b: &Blueprint<'_>, pod: &mut Value, port: u32) {
    if b.n_pods() > 1 {
        push(
            &mut pod["spec"]["containers"][0]["ports"],
            json!({"containerPort": port}),
        );
    }
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = Value::Array(vec![item]),
    }
}
