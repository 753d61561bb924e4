//! Files as NNI's own examples have them are read without a problem.
//!
//! Source: nni v1.9 and v2.10, `examples/trials/mnist-tfv1/` and `examples/trials/mnist-pytorch/`.

use super::*;
use std::path::Path;

/// As NNI's files have it, no command for all roles.
#[track_caller]
fn unchanged(platform: &'static str, schema: Schema, text: &str, base: &Path) -> KubernetesConfig {
    let base = base.to_str().expect("UTF-8");
    let read = read_with(platform, schema, text, base, Shortcuts::default());
    assert!(read.faults.is_empty(), "{:#?}", read.faults);
    assert!(read.warnings.is_empty(), "{:#?}", read.warnings);
    read.config
}

#[test]
fn kubeflow_with_tf_operator_in_both_schemas() {
    let v1 = "
trial:
  ps: {replicas: 1, command: python3 dist.py, gpuNum: 0, cpuNum: 1, memoryMB: 8192, image: msranni/nni:latest}
  worker: {replicas: 2, command: python3 dist.py, gpuNum: 1, cpuNum: 1, memoryMB: 8192, image: msranni/nni:latest}
kubeflowConfig:
  operator: tf-operator
  apiVersion: v1alpha2
  storage: nfs
  nfs: {server: 10.10.10.10, path: /var/nfs/general}
";
    let v2 = "
operator: tf-operator
apiVersion: v1alpha2
reuseMode: false
storage: {storageType: nfs, server: 10.10.10.10, path: /var/nfs/general}
ps: {replicas: 1, command: python3 dist.py, gpuNumber: 0, cpuNumber: 1, memorySize: 8192, dockerImage: 'msranni/nni:latest'}
worker: {replicas: 2, command: python3 dist.py, gpuNumber: 1, cpuNumber: 1, memorySize: 8gb}
";
    for (schema, text) in [(Schema::V1, v1), (Schema::V2, v2)] {
        let config = unchanged("kubeflow", schema, text, Path::new("/base"));
        assert_eq!(config.kind, JobKind::TfJob);
        assert_eq!(config.api_version.as_deref(), Some("v1alpha2"));
        let mut worker = Role::new("worker", "msranni/nni:latest");
        worker.command = Some("python3 dist.py".into());
        worker.cpus = Some("1".into());
        worker.memory_mib = Some(8192);
        let mut ps = worker.clone();
        ps.name = "ps".into();
        (worker.replicas, worker.gpus) = (2, 1);
        assert_eq!(config.roles, [worker, ps], "{schema:?}");
        assert!(matches!(config.storage.expect("storage").kind, StorageKind::Nfs { .. }));
    }
}

#[test]
fn kubeflow_with_pytorch_operator_and_azure() {
    let text = "
trial:
  master: {replicas: 1, command: python3 d.py, gpuNum: 1, cpuNum: 1, memoryMB: 2048, image: 'msranni/nni:latest'}
  worker: {replicas: 1, command: python3 d.py, gpuNum: 0, cpuNum: 1, memoryMB: 2048, image: 'msranni/nni:latest'}
kubeflowConfig:
  operator: pytorch-operator
  apiVersion: v1beta1
  reuse: true
  uploadRetryCount: 3
  storage: azureStorage
  keyVault: {vaultName: my-vault, name: my-key}
  azureStorage: {accountName: account, azureShare: share01}
";
    let config = unchanged("kubeflow", Schema::V1, text, Path::new("/base"));
    assert_eq!(config.kind, JobKind::PyTorchJob);
    assert_eq!(
        config.roles.iter().map(|role| &*role.name).collect::<Vec<_>>(),
        ["master", "worker"]
    );
    let Some(StorageKind::AzureFiles { account, share, key }) = config.storage.map(|storage| storage.kind) else {
        panic!("no share");
    };
    assert_eq!((account.as_str(), share.as_str()), ("account", "share01"));
    assert!(matches!(key, AzureKey::KeyVault { vault, secret } if (&*vault, &*secret) == ("my-vault", "my-key")));
}

#[test]
fn framework_controller_in_both_schemas() {
    let v1 = "
trial:
  taskRoles:
    - name: worker
      taskNum: 1
      command: python3 mnist.py
      gpuNum: 1
      cpuNum: 1
      memoryMB: 8192
      image: msranni/nni:latest
      frameworkAttemptCompletionPolicy: {minFailedTaskCount: 1, minSucceededTaskCount: 1}
frameworkcontrollerConfig:
  storage: nfs
  serviceAccountName: frameworkbarrier
  nfs: {server: 10.10.10.10, path: /var/nfs/nni}
";
    let v2 = "
reuse_mode: true
serviceAccountName: frameworkbarrier
storage: {storage: nfs, server: 10.10.10.10, path: /var/nfs/nni}
task_roles:
  - name: worker
    taskNumber: 1
    command: python3 mnist.py
    gpuNumber: 1
    cpuNumber: 1
    memorySize: 8192
    framework_attempt_completion_policy: {min_failed_task_count: 1, min_succeed_task_count: 1}
";
    for (schema, text) in [(Schema::V1, v1), (Schema::V2, v2)] {
        let config = unchanged("frameworkcontroller", schema, text, Path::new("/base"));
        assert_eq!(config.kind, JobKind::Framework);
        assert_eq!(config.pods.service_account.as_deref(), Some("frameworkbarrier"));
        let [role] = config.roles.as_slice() else {
            panic!("{config:?}")
        };
        assert_eq!(
            (role.name.as_str(), role.gpus, role.memory_mib),
            ("worker", 1, Some(8192))
        );
        let both = CompletionPolicy {
            min_failed: 1,
            min_succeeded: 1,
        };
        assert_eq!(role.completion, both);
    }
}

pub(super) const FRAMEWORK: &str = "
apiVersion: frameworkcontroller.microsoft.com/v1
kind: Framework
metadata: {name: pytorchcpu, namespace: default}
spec:
  executionType: Start
  retryPolicy: {fancyRetryPolicy: true, maxRetryCount: 2}
  taskRoles:
  - name: ps
    taskNumber: 2
    frameworkAttemptCompletionPolicy: {minFailedTaskCount: 1, minSucceededTaskCount: -1}
    task:
      retryPolicy: {fancyRetryPolicy: false, maxRetryCount: 0}
      podGracefulDeletionTimeoutSec: 1800
      pod: &pod
        spec:
          restartPolicy: Never
          hostNetwork: false
          serviceAccountName: frameworkbarrier
          containers:
          - name: mnist-pytorch
            image: msranni/nni:latest
            command: [python3, mnist.py]
            args: ['--port=$(PORT)']
            ports: [{containerPort: 4001}]
            resources: {limits: {nvidia.com/gpu: 1}}
            volumeMounts:
            - {name: frameworkbarrier-volume, mountPath: /mnt/frameworkbarrier}
            - {name: data-volume, mountPath: /tmp/data}
          initContainers:
          - name: frameworkbarrier
            image: frameworkcontroller/frameworkbarrier
            volumeMounts: [{name: frameworkbarrier-volume, mountPath: /mnt/frameworkbarrier}]
          volumes:
          - {name: frameworkbarrier-volume, emptyDir: {}}
          - {name: data-volume, persistentVolumeClaim: {claimName: nni-storage}}
  - name: worker
    taskNumber: 3
    frameworkAttemptCompletionPolicy: {minFailedTaskCount: 1, minSucceededTaskCount: 3}
    task: {pod: *pod}
";

#[test]
fn a_framework_of_the_users_with_a_claim() {
    let base = tempfile::tempdir().expect("a directory");
    std::fs::write(base.path().join("fc_template.yml"), FRAMEWORK).expect("written");
    let keys = "{configPath: fc_template.yml, storage: pvc, namespace: default, pvc: {path: /tmp/data}}";
    let text = format!("frameworkcontrollerConfig: {keys}");
    let config = unchanged("frameworkcontroller", Schema::V1, &text, base.path());
    let told: Vec<_> = config
        .roles
        .iter()
        .map(|role| {
            (
                role.name.as_str(),
                role.replicas,
                role.gpus,
                role.completion.min_succeeded,
            )
        })
        .collect();
    assert_eq!(told, [("ps", 2, 1, -1), ("worker", 3, 1, 3)]);
    let command = config.roles[0].command.as_deref();
    assert_eq!(command, Some("python3 mnist.py '--port='\"${PORT-\\$(PORT)}\"''"));
    let framework = config.framework_template.expect("a Framework");
    assert_eq!(framework["spec"]["taskRoles"][1]["taskNumber"], 3);
    let storage = config.storage.expect("storage");
    assert_eq!(storage.mount_path, "/tmp/data");
    assert!(
        matches!(&storage.kind, StorageKind::Claim { name, .. } if name == "nni-storage"),
        "{storage:?}"
    );
}
