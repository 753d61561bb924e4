//! `configPath`: what is wrong with a Framework of the user's, and with what stands beside it.

use super::*;

/// What is wrong with a Framework of the user's, changed by `edit`.
fn framework(edit: impl Fn(String) -> String, keys: &str) -> Read {
    let base = tempfile::tempdir().expect("a directory");
    std::fs::write(base.path().join("fc.yml"), edit(nni::FRAMEWORK.to_owned())).expect("written");
    let text = format!("{{configPath: fc.yml, {keys}}}");
    let base = base.path().to_str().expect("UTF-8");
    read_with("frameworkcontroller", Schema::V2, &text, base, Shortcuts::default())
}

#[test]
fn a_framework_of_the_users() {
    assert_eq!(framework(|text| text, "").faults, [""; 0]);
    let first = |from: &'static str, to: &'static str| framework(move |text| text.replacen(from, to, 1), "").faults;
    for (from, to, expected) in [
        ("kind: Framework", "kind: Pod", "kind: "),
        ("frameworkcontroller.microsoft.com/v1", "v1", "apiVersion: "),
        ("name: pytorchcpu,", "", "metadata.name: "),
        ("name: ps", "name: p-s", "spec.taskRoles[0].name: "),
        ("name: ps", "name: worker", "spec.taskRoles[1].name: "),
        ("taskNumber: 2", "taskNumber: 10001", "spec.taskRoles[0].taskNumber: "),
        ("taskNumber: 2", "taskNumber: two", "spec.taskRoles[0].taskNumber: "),
        ("    taskNumber: 2\n", "", "spec.taskRoles[0].taskNumber: "),
        (
            "minFailedTaskCount: 1",
            "minFailedTaskCount: -2",
            "spec.taskRoles[0].frameworkAttemptCompletionPolicy.min",
        ),
        ("task: {pod: *pod}", "task: {}", "spec.taskRoles[1].task.pod.spec: "),
    ] {
        let faults = first(from, to);
        assert!(
            faults.len() == 1 && faults[0].starts_with(expected),
            "{from} -> {to}: {faults:#?}"
        );
    }
    // The pod stands in two roles.
    for (from, to, expected) in [
        (
            "image: msranni/nni:latest",
            "image: ''",
            "task.pod.spec.containers[0].image: ",
        ),
        (
            "hostNetwork: false",
            "hostNetwork: maybe",
            "task.pod.spec.hostNetwork: ",
        ),
        (
            "- name: mnist-pytorch",
            "- name: Mnist",
            "task.pod.spec.containers[0].name: ",
        ),
        ("          initContainers:\n", "", "must have exactly one container"),
        (
            "command: [python3, mnist.py]\n            args: ['--port=$(PORT)']",
            "",
            "there is no command",
        ),
    ] {
        let faults = first(from, to);
        assert!(
            faults.len() == 2 && faults.iter().all(|fault| fault.contains(expected)),
            "{from} -> {to}: {faults:#?}"
        );
    }
    let faults = framework(|_| "[]".into(), "").faults;
    assert!(
        faults.len() == 1 && faults[0].contains("holds no Framework"),
        "{faults:#?}"
    );
}

#[test]
fn a_framework_and_what_stands_beside_it() {
    let restarted = framework(
        |text| text.replace("restartPolicy: Never", "restartPolicy: OnFailure"),
        "",
    );
    assert_eq!(
        (restarted.faults.len(), restarted.warnings.len()),
        (0, 2),
        "{:#?}",
        restarted.warnings
    );
    let roles = framework(|text| text, "taskRoles: [{name: a}]");
    assert_eq!(
        (roles.faults.len(), roles.warnings.len()),
        (0, 1),
        "{:#?}",
        roles.warnings
    );
    assert_eq!(roles.config.roles.len(), 2);
    let nfs = "storage: {storageType: nfs, server: a, path: /b}";
    assert_eq!(framework(|text| text, nfs).faults.len(), 0);
    let taken = framework(|text| text, &format!("{nfs}, mountPath: /tmp/data/"));
    assert_eq!(taken.faults.len(), 1, "{:#?}", taken.faults);
    let other = "storage: {storageType: pvc, claimName: other}, mountPath: /tmp/data";
    assert_eq!(framework(|text| text, other).faults.len(), 1);
    let same = "storage: {storageType: pvc, claimName: nni-storage}, mountPath: /tmp/data";
    assert_eq!(framework(|text| text, same).faults.len(), 0);
    let mounts = "volumeMounts: [{name: data-volume, mountPath: /again}, {name: none, mountPath: /b}]";
    let faults = framework(|text| text, mounts).faults;
    assert_eq!(faults, ["volumeMounts[1].name: there is no volume `none`"]);
}
