//! What is refused or warned about: one line a rule, each at its key, all in one go.
//!
//! A Framework of the user's is in `read_tests_framework.rs`, whatever else may be written in `read_tests_any.rs`.

use super::*;

/// `(keys with a fault, text)`: exactly these keys, as often as they are here, in the order of the file.
#[track_caller]
fn refused(platform: &'static str, schema: Schema, rows: &[(&[&str], &str)]) {
    for (keys, text) in rows {
        let read = read(platform, schema, text);
        let mut found: Vec<&str> = read
            .faults
            .iter()
            .map(|fault| fault.split(": ").next().unwrap_or(fault))
            .collect();
        let mut keys = keys.to_vec();
        found.sort_unstable();
        keys.sort_unstable();
        assert_eq!(found, keys, "{text}: {:#?}", read.faults);
    }
}

#[test]
fn a_plain_job() {
    refused(
        "kubernetes",
        Schema::V2,
        &[
            (&["dockerImage"], "{}"),
            (&["image"], "{image: 'a b'}"),
            (&["image"], "{image: ''}"),
            (&["image"], "{image: a, dockerImage: a}"),
            (&["replicas"], "{image: a, replicas: 0}"),
            (&["replicas"], "{image: a, replicas: 100001}"),
            (&["gpuNumber"], "{image: a, gpuNumber: 0.5}"),
            (&["gpuNumber"], "{image: a, gpuNumber: -1}"),
            (&["cpuNumber"], "{image: a, cpuNumber: -1}"),
            (&["cpuNumber"], "{image: a, cpuNumber: 100000}"),
            (&["cpuNumber"], "{image: a, cpuNumber: 0.0001}"),
            (&["cpuNumber"], "{image: a, cpuNumber: two}"),
            (&["cpuNumber"], "{image: a, cpuNumber: [1]}"),
            (&["memorySize"], "{image: a, memorySize: 8g}"),
            (&["memorySize"], "{image: a, memorySize: 9999999999gb}"),
            (
                &["privateRegistryAuthPath"],
                "{image: a, privateRegistryAuthPath: /no/such/file}",
            ),
            (
                &["kubeconfig", "context"],
                "{image: a, kubeconfig: /no/such/file, context: ' '}",
            ),
            (&["namespace"], "{image: a, namespace: Team}"),
            (&["namespace"], "{image: a, namespace: a.b}"),
            (&["serviceAccountName"], "{image: a, serviceAccountName: a_b}"),
            (&["imagePullPolicy"], "{image: a, imagePullPolicy: always}"),
            (&["imagePullSecrets[0]"], "{image: a, imagePullSecrets: [A]}"),
            (&["imagePullSecrets[1]"], "{image: a, imagePullSecrets: [a, a]}"),
            (
                &["imagePullSecrets[0]"],
                "{image: a, imagePullSecrets: [{name: a, key: b}]}",
            ),
            (&["imagePullSecrets"], "{image: a, imagePullSecrets: a}"),
            (
                &["envFromSecrets[0]", "envFromSecrets[1]"],
                "{image: a, envFromSecrets: [1, a/b]}",
            ),
            (&["env.1A"], "{image: a, env: {1A: b}}"),
            (&["env.A"], "{image: a, env: {A: 1}}"),
            (&["env.A"], "{image: a, env: {A: }}"),
            (&["env.NNI_SYS_DIR"], "{image: a, env: {NNI_SYS_DIR: /x}}"),
            (&["env"], "{image: a, env: [{name: A, value: b}]}"),
            (&["nodeSelector.a b"], "{image: a, nodeSelector: {a b: c}}"),
            (&["nodeSelector.gpu"], "{image: a, nodeSelector: {gpu: true}}"),
            (&["nodeSelector.gpu"], "{image: a, nodeSelector: {gpu: 'a b'}}"),
            (&["gpuResource"], "{image: a, gpuResource: gpu}"),
            (
                &["priorityClassName", "queueName"],
                "{image: a, priorityClassName: A, queueName: B}",
            ),
            (&["shmSize"], "{image: a, shmSize: much}"),
            (
                &["gracePeriod", "startTimeout"],
                "{image: a, gracePeriod: 0s, startTimeout: soon}",
            ),
            (&["ttlAfterFinished"], "{image: a, ttlAfterFinished: 99999d}"),
            (&["deletionPolicy"], "{image: a, deletionPolicy: always}"),
            (&["uploadRetryCount"], "{image: a, uploadRetryCount: 0}"),
            (&["reuseMode"], "{image: a, reuseMode: maybe}"),
            (&["operator"], "{image: a, operator: trainer}"),
            (&["runtime"], "{image: a, runtime: x}"),
            (&["apiVersion"], "{image: a, apiVersion: v1}"),
            (&["namespac"], "{image: a, namespac: b}"),
            (
                &["image", "replicas", "cpuNumber", "namespace", "env.A", "storage.path"],
                "{image: A, replicas: 0, cpuNumber: x, namespace: B, env: {A: 1}, \
             storage: {storageType: nfs, server: a, path: b}}",
            ),
        ],
    );
}

#[test]
fn storage_of_schema_2() {
    for (keys, storage) in [
        (&["storage", "storage.storageType"][..], "nfs"),
        (&["storage.storageType"], "{server: a, path: /b}"),
        (&["storage.storageType"], "{storageType: s3}"),
        (
            &["storage.storage"],
            "{storageType: nfs, storage: pvc, server: a, path: /b}",
        ),
        (&["storage.server", "storage.path"], "{storageType: nfs}"),
        (&["storage.server"], "{storageType: nfs, server: 'a/b', path: /b}"),
        (&["storage.path"], "{storageType: nfs, server: a, path: b}"),
        (
            &["storage.azureShare"],
            "{storageType: nfs, server: a, path: /b, azureShare: abc}",
        ),
        (
            &["storage.claimName"],
            "{storageType: nfs, server: a, path: /b, claimName: abc}",
        ),
        (
            &["storage.bogus"],
            "{storageType: nfs, server: a, path: /b, bogus: abc}",
        ),
        (&["storage.claimName"], "{storageType: pvc}"),
        (&["storage.claimName"], "{storageType: pvc, claimName: A}"),
        (&["storage.path"], "{storageType: pvc, claimName: a, path: /b}"),
        (&["storage.path"], "{storageType: pvc, claimName: a, path: ../b}"),
        (&["storage.server"], "{storageType: pvc, claimName: a, server: b}"),
        (
            &["storage.azureAccount", "storage.azureShare", "storage.azureStorageKey"],
            "{storageType: azureStorage}",
        ),
        (
            &["storage.azureAccount", "storage.azureShare"],
            "{storageType: azureStorage, azureAccount: a_b, azureShare: x, secretName: s}",
        ),
        (
            &["storage.keyVaultKey"],
            "{storageType: azureStorage, azureAccount: abc, azureShare: abc, keyVaultName: vault}",
        ),
        (
            &["storage.keyVaultName", "storage.keyVaultKey"],
            "{storageType: azureStorage, azureAccount: abc, azureShare: abc, keyVaultName: v_, keyVaultKey: k.}",
        ),
        (
            &["storage.azureStorageKey"],
            "{storageType: azureStorage, azureAccount: abc, azureShare: abc, secretName: s, azureStorageKey: k}",
        ),
        (
            &["storage.azureStorageKey"],
            "{storageType: azureStorage, azureAccount: abc, azureShare: abc, azureStorageKey: ''}",
        ),
        (
            &["storage.secretName"],
            "{storageType: azureStorage, azureAccount: abc, azureShare: abc, secretName: A}",
        ),
    ] {
        refused(
            "kubernetes",
            Schema::V2,
            &[(keys, &format!("{{image: a, storage: {storage}}}"))],
        );
    }
    refused(
        "kubernetes",
        Schema::V2,
        &[
            (
                &["mountPath"],
                "{image: a, mountPath: /, storage: {storageType: pvc, claimName: a}}",
            ),
            (
                &["mountPath"],
                "{image: a, mountPath: mnt, storage: {storageType: pvc, claimName: a}}",
            ),
        ],
    );
    let read = read("kubernetes", Schema::V2, "{image: a, mountPath: /mnt}");
    assert_eq!(
        (read.faults.len(), read.warnings.len()),
        (0, 1),
        "a place for no storage"
    );
}

#[test]
fn storage_of_schema_1() {
    for (keys, storage) in [
        (&["kubeflowConfig.storage"][..], "storage: s3"),
        (&["kubeflowConfig.nfs"], "storage: nfs"),
        (&["kubeflowConfig.azureStorage"], "storage: azureStorage"),
        (&["kubeflowConfig.pvc"], "storage: pvc"),
        (&["kubeflowConfig.nfs.path"], "nfs: {server: a}"),
        (
            &["kubeflowConfig.azureStorage.azureStorageKey"],
            "azureStorage: {accountName: abc, azureShare: abc}",
        ),
        (
            &["kubeflowConfig.azureStorage.azureStorageKey"],
            "keyVault: {vaultName: abc, name: b}, azureStorage: {accountName: abc, azureShare: abc, secretName: s}",
        ),
        (
            &["kubeflowConfig.keyVault.vaultName", "kubeflowConfig.keyVault.name"],
            "keyVault: {vaultName: 'a b'}, azureStorage: {accountName: abc, azureShare: abc}",
        ),
        (
            &["kubeflowConfig.pvc.claimName"],
            "storage: pvc, pvc: {path: /tmp/data}",
        ),
        (&["kubeflowConfig.pvc.path"], "pvc: {path: /, claimName: a}"),
        (&["kubeflowConfig.pvc.path"], "pvc: {path: ../a, claimName: a}"),
        (&["kubeflowConfig.pvc.claimName"], "pvc: {path: a, claimName: B}"),
    ] {
        let text = format!("{{trial: {{worker: {{image: a}}}}, kubeflowConfig: {{operator: tf-operator, {storage}}}}}");
        refused("kubeflow", Schema::V1, &[(keys, &text)]);
    }
    let text = "{trial: {worker: {image: a}}, kubeflowConfig: {operator: tf-operator, storage: nfs, \
                nfs: {server: a, path: /b}, azureStorage: {}, keyVault: {}, pvc: {}}}";
    let read = read("kubeflow", Schema::V1, text);
    assert_eq!((read.faults.len(), read.warnings.len()), (0, 3), "{:#?}", read.warnings);
}

#[test]
fn roles_of_kubeflow() {
    refused(
        "kubeflow",
        Schema::V2,
        &[
            (&["operator"], "{worker: {}}"),
            (&["operator"], "{operator: mpi-operator, worker: {}}"),
            (&["worker"], "{operator: tf-operator}"),
            (&["worker"], "{operator: tf-operator, ps: {}}"),
            (&["master"], "{operator: tf-operator, worker: {}, master: {}}"),
            (&["master"], "{operator: pytorch-operator, worker: {}}"),
            (&["ps"], "{operator: pytorch-operator, master: {}, ps: {}}"),
            (
                &["master.replicas"],
                "{operator: pytorch-operator, master: {replicas: 2}}",
            ),
            (&["worker.replicas"], "{operator: tf-operator, worker: {replicas: 0}}"),
            (&["worker.image"], "{operator: tf-operator, worker: {image: a}}"),
            (
                &["worker.dockerImage"],
                "{operator: tf-operator, worker: {dockerImage: ''}}",
            ),
            (&["apiVersion"], "{operator: tf-operator, apiVersion: v2, worker: {}}"),
            (
                &["apiVersion"],
                "{operator: trainer, apiVersion: one, worker: {image: a}}",
            ),
            (&["worker.dockerImage"], "{operator: trainer, worker: {}}"),
            (
                &["ps", "master"],
                "{operator: trainer, worker: {image: a}, master: {}, ps: {}}",
            ),
            (&["runtime"], "{operator: trainer, worker: {image: a}, runtime: A}"),
            (&["taskRoles"], "{operator: tf-operator, worker: {}, taskRoles: []}"),
        ],
    );
    refused(
        "kubeflow",
        Schema::V1,
        &[
            (&["kubeflowConfig", "trial"], "{}"),
            (&["trial"], "{kubeflowConfig: {operator: tf-operator}}"),
            (
                &["trial.master"],
                "{kubeflowConfig: {operator: pytorch-operator}, trial: {worker: {image: a}}}",
            ),
            (
                &["trial.worker.image"],
                "{kubeflowConfig: {operator: tf-operator}, trial: {worker: {}}}",
            ),
            (
                &["trial.worker.cpuNumber"],
                "{kubeflowConfig: {operator: tf-operator}, trial: {worker: {image: a, cpuNumber: 1}}}",
            ),
        ],
    );
    let text = "{operator: tf-operator, worker: {codeDirectory: ., memorySize: 8}, ps: {codeDirectory: elsewhere}}";
    let mut shortcuts = Shortcuts::default();
    shortcuts.trial_command = Some("a".into());
    shortcuts.trial_code_directory = Some("/base".into());
    let read = read_with("kubeflow", Schema::V2, text, "/base", shortcuts);
    assert!(read.faults.is_empty(), "{:#?}", read.faults);
    let keys: Vec<_> = read
        .warnings
        .iter()
        .filter_map(|warning| warning.split(": ").next())
        .collect();
    assert_eq!(keys, ["worker.memorySize", "ps.codeDirectory"]);
}

#[test]
fn task_roles() {
    refused(
        "frameworkcontroller",
        Schema::V2,
        &[
            (&["taskRoles"], "{}"),
            (&["taskRoles"], "{taskRoles: []}"),
            (&["taskRoles[0].name"], "{taskRoles: [{}]}"),
            (&["taskRoles[0].name"], "{taskRoles: [{name: a-b}]}"),
            (&["taskRoles[1].name"], "{taskRoles: [{name: a}, {name: a}]}"),
            (&["taskRoles[0].taskNumber"], "{taskRoles: [{name: a, taskNumber: -1}]}"),
            (
                &["taskRoles[0].taskNumber"],
                "{taskRoles: [{name: a, taskNumber: 10001}]}",
            ),
            (&["taskRoles"], "{taskRoles: [{name: a, taskNumber: 0}]}"),
            (&["apiVersion"], "{apiVersion: v2, taskRoles: [{name: a}]}"),
            (
                &[
                    "taskRoles[0].frameworkAttemptCompletionPolicy.minFailedTaskCount",
                    "taskRoles[0].frameworkAttemptCompletionPolicy.minSucceedTaskCount",
                ],
                "{taskRoles: [{name: a, frameworkAttemptCompletionPolicy: {minFailedTaskCount: -2, minSucceedTaskCount: x}}]}",
            ),
            (&["configPath"], "{configPath: no-such-file.yml}"),
        ],
    );
    refused(
        "frameworkcontroller",
        Schema::V1,
        &[
            (&["frameworkcontrollerConfig", "trial"], "{}"),
            (&["trial"], "{frameworkcontrollerConfig: {namespace: a}}"),
            (
                &["trial.taskRoles[0].image"],
                "{frameworkcontrollerConfig: {}, trial: {taskRoles: [{name: a}]}}",
            ),
        ],
    );
}

#[test]
fn somebody_must_have_a_command() {
    let without = |text| read_with("kubeflow", Schema::V2, text, "/base", Shortcuts::default()).faults;
    let faults = without("{operator: tf-operator, worker: {command: a}, ps: {}}");
    assert_eq!(faults, ["ps.command: there is no command for the role `ps`"]);
    assert_eq!(without("{operator: tf-operator, worker: {command: ' '}}").len(), 1);
    assert_eq!(without("{operator: tf-operator, worker: {command: a}}").len(), 0);
    let mut empty = Shortcuts::default();
    empty.trial_command = Some(String::new());
    let read = read_with("kubernetes", Schema::V2, "image: a", "/base", empty);
    assert_eq!(read.faults, ["command: there is no command for the role `worker`"]);
}

#[test]
fn the_platform_kubernetes_is_of_schema_2() {
    let read = read("kubernetes", Schema::V1, "{trial: {}}");
    assert!(
        read.faults
            .iter()
            .any(|fault| fault.contains("schema 1 has no platform")),
        "{:#?}",
        read.faults
    );
}
