//! What containers see: their variables, their volumes, and commands that are started in them.

use crate::world::{World, eventually, never, processes, shell};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::json;
use std::fs;
use ts_k8s_testkit::{Node, SharedVolume};

#[tokio::test]
async fn variables_and_volumes() {
    let world = World::new().await;
    world
        .put::<ConfigMap>(json!({"metadata": {"name": "cm"}, "data": {"k": "map", "run.sh": "echo script $1"}}))
        .await;
    world
        .put::<Secret>(json!({"metadata": {"name": "sec"}, "data": {"S": "c2VjcmV0", "T": "dA=="}}))
        .await;
    let account = json!({"azurestorageaccountname": "YQ==", "azurestorageaccountkey": "aw=="});
    world
        .put::<Secret>(json!({"metadata": {"name": "az"}, "data": account}))
        .await;
    let script = "echo $A $B $C $D $E $S $L $HOSTNAME; pwd; cat /cm/k /one; echo; /cm/run.sh x; ls /cm; test -w /dev/shm; echo $?; \
        echo data > /nfs/sub/out; echo az > $AZ/f; echo e > /empty/deep/f";
    let mut spec = never(shell(script));
    spec["containers"][0]["workingDir"] = "/empty/deep".into();
    spec["containers"][0]["env"] = json!([
        {"name": "A", "value": "a"},
        {"name": "B", "value": "$(A)b$(NO)$$(A)"},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
        {"name": "D", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "S"}}},
        {"name": "E", "valueFrom": {"secretKeyRef": {"name": "nope", "key": "S", "optional": true}}},
        {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['l']"}}},
        {"name": "AZ", "value": "/azure"}]);
    spec["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "sec"}}]);
    spec["containers"][0]["volumeMounts"] = json!([
        {"name": "cm", "mountPath": "/cm"},
        {"name": "cm", "mountPath": "/one", "subPath": "k"},
        {"name": "nfs", "mountPath": "/nfs", "subPath": "exp"},
        {"name": "nfs", "mountPath": "/nfs/sub", "subPath": "other"},
        {"name": "az", "mountPath": "/azure/"},
        {"name": "empty", "mountPath": "/empty"},
        {"name": "empty", "mountPath": "/dev/shm"}]);
    spec["volumes"] = json!([
        {"name": "cm", "configMap": {"name": "cm", "defaultMode": 0o755}},
        {"name": "nfs", "nfs": {"server": "s", "path": "/e"}},
        {"name": "az", "azureFile": {"secretName": "az", "shareName": "sh"}},
        {"name": "empty", "emptyDir": {}}]);
    world.create("v", spec).await;
    world.phase("v", "Succeeded").await;
    let text = world.log("v", &[("container", "main")]).await.expect("a log");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "a ab$(NO)$(A) map secret secret v v");
    assert!(lines[1].ends_with("/volumes/empty/deep"), "{text}");
    assert_eq!(lines[2..], ["mapmap", "script x", "k", "run.sh", "0"]);
    let nfs = SharedVolume::Nfs {
        server: "s",
        path: "/e/other",
    };
    let nfs = world.kubelet.volume_dir(&nfs).expect("a folder");
    assert_eq!(fs::read_to_string(nfs.join("out")).expect("a file"), "data\n");
    let azure = world
        .kubelet
        .volume_dir(&SharedVolume::AzureFile { share: "sh" })
        .expect("a folder");
    assert_eq!(fs::read_to_string(azure.join("f")).expect("a file"), "az\n");
}

#[tokio::test]
async fn commands() {
    let world = World::new().await;
    let mut spec = never(shell("sleep 600 & sleep 601"));
    spec["containers"][0]["env"] = json!([{"name": "A", "value": "/data/x"}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/data"}]);
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    world.create("e", spec).await;
    world.phase("e", "Running").await;
    let reference = world.reference("e").await;
    let run = |command: &[&str]| {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        world.kubelet.exec(&reference, "main", &command)
    };
    let mut exec = run(&["sh", "-c", "cat > /data/x; cat $A; echo err >&2; exit 4"]).expect("a command");
    exec.stdin.send(Some(vec![b'x'; 200_000].into())).await.expect("taken");
    exec.stdin.send(None).await.expect("taken");
    let mut said = [Vec::new(), Vec::new()];
    while let Some((channel, bytes)) = exec.output.next().await {
        said[usize::from(channel) - 1].extend(bytes);
    }
    assert_eq!((said[0].len(), said[1].as_slice()), (200_000, b"err\n".as_slice()));
    assert_eq!(exec.code.await, Ok(4));

    let (code, why) = run(&["nothere"]).err().expect("refused");
    assert_eq!(code, 500);
    assert!(
        why.ends_with("exec: \"nothere\": executable file not found in $PATH: unknown"),
        "{why}"
    );
    eventually("the container has three processes", || processes(&reference.uid) == 3).await;
    let exec = run(&["sleep", "700"]).expect("a command");
    eventually("the command is one more", || processes(&reference.uid) == 4).await;
    drop(exec);
    eventually("it ends when nobody listens", || processes(&reference.uid) == 3).await;
}
