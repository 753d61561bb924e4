//! What a tree in Kubernetes' own words may hold.

use crate::config::KubernetesConfig;
use ts_core::config::{ConfigSource, PlatformSection, Problems, Schema, Shortcuts};

/// Keys with problems and keys with warnings, in the order of the text.
fn told(text: &str) -> (Vec<String>, Vec<String>) {
    let mut problems = Problems::new();
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: "/base".into(),
        home: None,
    };
    let text = format!("image: a\ncommand: b\n{text}");
    let section = PlatformSection::from_text(
        "kubernetes",
        Schema::V2,
        &text,
        &source,
        Shortcuts::default(),
        &mut problems,
    );
    KubernetesConfig::read(&section.expect("YAML"), &mut problems);
    let keys = |list: Vec<&ts_core::config::Problem>| list.iter().map(|problem| problem.key.clone()).collect();
    (keys(problems.sorted()), keys(problems.warnings()))
}

#[track_caller]
fn table(key: &str, rows: &[(&[&str], &str)]) {
    for (expected, value) in rows {
        let (faults, warnings) = told(&format!("{key}: {value}"));
        let expected: Vec<String> = expected.iter().map(|rest| format!("{key}{rest}")).collect();
        assert_eq!(faults, expected, "{value}");
        assert!(warnings.is_empty(), "{value}: {warnings:?}");
    }
}

#[test]
fn pod_templates() {
    table(
        "podTemplate",
        &[
            (&[], "{}"),
            (&[], "{metadata: , spec: }"),
            (&[""], "text"),
            (&[".metadata", ".spec"], "{metadata: a, spec: [b]}"),
            (&[".kind"], "{kind: Pod}"),
            (&[".$patch"], "{$patch: replace}"),
            (&[".metadata.name"], "{metadata: {name: a}}"),
            (&[".metadata.labels"], "{metadata: {labels: [a]}}"),
            (&[".metadata.labels.a b"], "{metadata: {labels: {a b: c}}}"),
            (&[".metadata.labels.a"], "{metadata: {labels: {a: 'b c'}}}"),
            (&[], "{metadata: {annotations: {a: 'b c'}}}"),
            (&[".spec.restartPolicy"], "{spec: {restartPolicy: Always}}"),
            (&[".spec.$patch"], "{spec: {$patch: replace}}"),
            (&[".spec.hostNetwork"], "{spec: {hostNetwork: sometimes}}"),
            (&[".spec.containers"], "{spec: {containers: {name: a}}}"),
            (&[".spec.containers[0]"], "{spec: {containers: [{image: a}]}}"),
            (&[".spec.containers[0]"], "{spec: {containers: [a]}}"),
            (&[".spec.containers[0]"], "{spec: {containers: [{$patch: replace}]}}"),
            (&[".spec.containers[0].name"], "{spec: {containers: [{name: A}]}}"),
            (
                &[".spec.containers[1].name"],
                "{spec: {containers: [{name: a}, {name: a}]}}",
            ),
            (
                &[".spec.containers[0].command"],
                "{spec: {containers: [{name: trial, command: [a]}]}}",
            ),
            (
                &[".spec.containers[0].args"],
                "{spec: {containers: [{name: trial, args: [a]}]}}",
            ),
            (
                &[".spec.containers[0].$patch"],
                "{spec: {containers: [{name: trial, $patch: delete}]}}",
            ),
            (
                &[".spec.containers[0].command"],
                "{spec: {containers: [{name: a, command: text}]}}",
            ),
            (&[], "{spec: {containers: [{name: a, command: [b], args: [c]}]}}"),
            (
                &[],
                "{spec: {containers: [{name: trial, securityContext: {runAsUser: 1000}}]}}",
            ),
            (&[], "{spec: {$setElementOrder/containers: [{name: a}], priority: 3}}"),
            (&[".spec.initContainers[0]"], "{spec: {initContainers: [{image: a}]}}"),
            (
                &[".spec.volumes[0].emptydir"],
                "{spec: {volumes: [{name: a, emptydir: {}}]}}",
            ),
        ],
    );
}

#[test]
fn what_kubernetes_would_drop_is_warned_about() {
    for (expected, value) in [
        ("spec.nodeSelecter", "{spec: {nodeSelecter: {a: b}}}"),
        (
            "spec.containers[0].imagePullpolicy",
            "{spec: {containers: [{name: a, imagePullpolicy: Always}]}}",
        ),
        (
            "spec.affinity.nodeAffinity.required",
            "{spec: {affinity: {nodeAffinity: {required: {a: b}}}}}",
        ),
        (
            "spec.containers[0].env[1].vlue",
            "{spec: {containers: [{name: a, env: [{name: A}, {name: B, vlue: c}]}]}}",
        ),
    ] {
        let (faults, warnings) = told(&format!("podTemplate: {value}"));
        assert!(faults.is_empty(), "{value}: {faults:?}");
        assert_eq!(warnings, [format!("podTemplate.{expected}")], "{value}");
    }
}

#[test]
fn volumes_and_mounts() {
    table(
        "volumes",
        &[
            (
                &[],
                "[{name: a, hostPath: {path: /a}}, {name: b, emptyDir: {medium: Memory, sizeLimit: 1Gi}}]",
            ),
            (&[""], "{a: b}"),
            (&["[0]"], "[a]"),
            (&["[0]"], "[{emptyDir: {}}]"),
            (&["[0].name"], "[{name: a_b, emptyDir: {}}]"),
            (&["[1].name"], "[{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]"),
            (&["[0].nfss"], "[{name: a, nfss: {}}]"),
            (
                &["[0].persistentVolumeClaim"],
                "[{name: a, persistentVolumeClaim: {claimName: 1}}]",
            ),
        ],
    );
    let mounts = |text: &str| {
        told(&format!(
            "volumes: [{{name: a, emptyDir: {{}}}}]\nshmSize: 1gb\nvolumeMounts: {text}"
        ))
        .0
    };
    for (expected, text) in [
        (
            &[][..],
            "[{name: a, mountPath: /a}, {name: a, mountPath: /b, subPath: c}]",
        ),
        (&["[0]"], "[{name: a}]"),
        (&["[0]"], "[{mountPath: /a}]"),
        (&["[0].name"], "[{name: b, mountPath: /a}]"),
        (&["[0].mountPath"], "[{name: a, mountPath: a}]"),
        (&["[0].mountPath"], "[{name: a, mountPath: /}]"),
        (&["[0].mountPath"], "[{name: a, mountPath: 1}]"),
        (
            &["[1].mountPath"],
            "[{name: a, mountPath: /a}, {name: a, mountPath: /a}]",
        ),
        (&["[0].mountPath"], "[{name: a, mountPath: /dev/shm/}]"),
        (&["[0].readOnly"], "[{name: a, mountPath: /a, readOnly: often}]"),
    ] {
        let expected: Vec<String> = expected.iter().map(|rest| format!("volumeMounts{rest}")).collect();
        assert_eq!(mounts(text), expected, "{text}");
    }
    let storage = "storage: {storageType: pvc, claimName: c}\nvolumes: [{name: a, emptyDir: {}}]\nvolumeMounts: ";
    let taken = told(&format!("{storage}[{{name: a, mountPath: /tmp/mount}}]")).0;
    assert_eq!(taken, ["volumeMounts[0].mountPath"]);
}

#[test]
fn tolerations() {
    table(
        "tolerations",
        &[
            (
                &[],
                "[{operator: Exists}, {key: a, operator: Equal, value: b, effect: NoSchedule}, {key: a}]",
            ),
            (
                &[],
                "[{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 60}]",
            ),
            (&[""], "{key: a}"),
            (&["[0]"], "[{}]"),
            (&["[0]"], "[{operator: Equal, value: a}]"),
            (&["[0].key"], "[{key: 'a b'}]"),
            (&["[0].effect"], "[{key: a, effect: NoRun}]"),
            (&["[0].operator"], "[{key: a, operator: In}]"),
            (&["[0]"], "[{key: a, operator: Exists, value: b}]"),
            (&["[0]"], "[{key: a, tolerationSeconds: 3}]"),
            (
                &["[0].tolerationSeconds"],
                "[{key: a, effect: NoExecute, tolerationSeconds: x}]",
            ),
        ],
    );
}
