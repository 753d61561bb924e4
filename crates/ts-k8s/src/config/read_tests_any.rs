//! Whatever is written, reading it ends with a configuration or with problems.

use super::*;
use proptest::prelude::*;

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e6..1e6_f64).prop_map(Into::into),
        "[ -~äß☃]{0,12}".prop_map(Into::into),
        prop::sample::select(vec![
            "nfs",
            "pvc",
            "azureStorage",
            "tf-operator",
            "pytorch-operator",
            "trainer",
            "1Gi",
            "500m",
            "/",
            "/tmp/mount",
            "trial",
            "${env:A}",
            "file:a",
            "~/x",
            "a",
            "$(A)",
        ])
        .prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 80, 8, |inner| {
        let key = prop_oneof![
            9 => prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned),
            1 => "[a-zA-Z$_/.]{0,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((key, inner), 0..10)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

const KEYS: &[&str] = &[
    "operator",
    "apiVersion",
    "storage",
    "storageType",
    "nfs",
    "pvc",
    "azureStorage",
    "keyVault",
    "server",
    "path",
    "claimName",
    "azureAccount",
    "azureShare",
    "keyVaultName",
    "azureStorageKey",
    "secretName",
    "worker",
    "ps",
    "master",
    "taskRoles",
    "name",
    "taskNumber",
    "taskNum",
    "replicas",
    "command",
    "args",
    "image",
    "dockerImage",
    "gpuNumber",
    "cpuNumber",
    "memorySize",
    "frameworkAttemptCompletionPolicy",
    "minFailedTaskCount",
    "configPath",
    "kubeconfig",
    "context",
    "namespace",
    "nodeSelector",
    "tolerations",
    "imagePullSecrets",
    "envFromSecrets",
    "env",
    "volumes",
    "volumeMounts",
    "mountPath",
    "shmSize",
    "gpuResource",
    "podTemplate",
    "metadata",
    "labels",
    "spec",
    "containers",
    "initContainers",
    "resources",
    "limits",
    "restartPolicy",
    "$patch",
    "gracePeriod",
    "ttlAfterFinished",
    "deletionPolicy",
    "kubeflowConfig",
    "frameworkcontrollerConfig",
    "trial",
    "key",
    "effect",
    "tolerationSeconds",
    "emptyDir",
    "runtime",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Read without a panic, with every problem in its place; and what is good is whole.
    #[test]
    fn anything_at_all(value in any_value(), platform in 0..3_usize, is_first in any::<bool>()) {
        let platform = ["kubernetes", "kubeflow", "frameworkcontroller"][platform];
        let schema = if is_first { Schema::V1 } else { Schema::V2 };
        let read = read(platform, schema, &value.to_string());
        if read.faults.is_empty() {
            prop_assert!(!read.config.roles.is_empty(), "{}", value);
            prop_assert!(read.config.roles.iter().all(|role| !role.name.is_empty() && !role.image.is_empty()), "{}", value);
        }
    }
}
