//! Deletes, finalizers, grace periods, garbage collection, namespaces.

use super::*;

async fn exists(client: &Client, path: &str) -> bool {
    get(client, path).await.0 == 200
}

/// A config map that belongs to another object.
async fn dependent(client: &Client, name: &str, owner: &Value, blocks: bool) -> String {
    let mut map = config_map(name);
    map["metadata"]["ownerReferences"] = json!([{"apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks}]);
    let (status, made) = post(client, CONFIG_MAPS, &map).await;
    assert_eq!(status, 201, "{made}");
    format!("{CONFIG_MAPS}/{name}")
}

#[tokio::test]
async fn a_deletion_answers_with_a_status_or_with_the_object() {
    let server = server().await;
    let client = server.client("admin");
    let (_, map) = post(&client, CONFIG_MAPS, &config_map("a")).await;
    let (status, gone) = delete(&client, &format!("{CONFIG_MAPS}/a")).await;
    let details = json!({"name": "a", "kind": "configmaps", "uid": map["metadata"]["uid"]});
    assert_eq!(
        (status, &gone["status"], &gone["details"]),
        (200, &json!("Success"), &details)
    );
    let (status, body) = delete(&client, &format!("{CONFIG_MAPS}/a")).await;
    assert_eq!((status, &body["message"]), (404, &json!("configmaps \"a\" not found")));
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    post(
        &client,
        quotas,
        &json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "9"}}}),
    )
    .await;
    let (_, gone) = delete(&client, &format!("{quotas}/q")).await;
    assert_eq!(
        (&gone["kind"], gone["metadata"].get("deletionTimestamp")),
        (&json!("ResourceQuota"), None)
    );
    post(&client, PODS, &pod("p")).await;
    let (_, gone) = delete(&client, &format!("{PODS}/p")).await;
    assert_eq!(
        (&gone["kind"], &gone["metadata"]["deletionGracePeriodSeconds"]),
        (&json!("Pod"), &json!(0))
    );
    assert!(
        !exists(&client, &format!("{PODS}/p")).await,
        "a pod without a node goes at once"
    );
}

#[tokio::test]
async fn a_pod_on_a_node_stays_until_the_kubelet_lets_it_go() {
    let server = server().await;
    let client = server.client("admin");
    post(&client, PODS, &pod("p")).await;
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(post(&client, &format!("{PODS}/p/binding"), &binding).await.0, 201);
    let (status, body) = post(&client, &format!("{PODS}/p/binding"), &binding).await;
    let message = "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\"";
    assert_eq!((status, &body["message"]), (409, &json!(message)));
    let path = format!("{PODS}/p");
    let (_, going) = delete(&client, &path).await;
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(
        post(&client, PODS, &pod("p")).await.1["message"],
        "object is being deleted: pods \"p\" already exists"
    );
    let finalizer = json!({"metadata": {"finalizers": ["x/y"]}});
    let (status, body) = merge(&client, &path, &finalizer).await;
    assert_eq!(
        (status, &body["details"]["causes"][0]["field"]),
        (422, &json!("metadata.finalizers"))
    );
    let (_, shorter) = delete(&client, &format!("{path}?gracePeriodSeconds=5")).await;
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let (_, longer) = delete(&client, &format!("{path}?gracePeriodSeconds=9")).await;
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 5);
    assert!(exists(&client, &path).await);
    assert_eq!(delete(&client, &format!("{path}?gracePeriodSeconds=0")).await.0, 200);
    assert!(!exists(&client, &path).await);
}

#[tokio::test]
async fn a_pod_that_has_ended_goes_at_once() {
    let server = server().await;
    let client = server.client("admin");
    post(&client, PODS, &pod("p")).await;
    let binding = json!({"metadata": {"name": "p"}, "target": {"name": "n1"}});
    assert_eq!(post(&client, &format!("{PODS}/p/binding"), &binding).await.0, 201);
    assert_eq!(
        merge(
            &client,
            &format!("{PODS}/p/status"),
            &json!({"status": {"phase": "Failed"}})
        )
        .await
        .0,
        200
    );
    assert_eq!(delete(&client, &format!("{PODS}/p")).await.0, 200);
    assert!(!exists(&client, &format!("{PODS}/p")).await);
}

#[tokio::test]
async fn an_eviction_deletes() {
    let server = server().await;
    let client = server.client("admin");
    post(&client, PODS, &pod("p")).await;
    let eviction = json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}});
    assert_eq!(post(&client, &format!("{PODS}/p/eviction"), &eviction).await.0, 201);
    assert!(!exists(&client, &format!("{PODS}/p")).await);
}

#[tokio::test]
async fn a_finalizer_holds_the_object() {
    let server = server().await;
    let client = server.client("admin");
    let mut map = config_map("a");
    map["metadata"]["finalizers"] = json!(["x/y"]);
    post(&client, CONFIG_MAPS, &map).await;
    let path = format!("{CONFIG_MAPS}/a");
    let (_, held) = delete(&client, &path).await;
    assert_eq!(held["metadata"]["finalizers"], json!(["x/y"]));
    assert!(held["metadata"]["deletionTimestamp"].is_string() && exists(&client, &path).await);
    assert_eq!(
        merge(&client, &path, &json!({"metadata": {"finalizers": null}}))
            .await
            .0,
        200
    );
    assert!(!exists(&client, &path).await);
}

#[tokio::test]
async fn preconditions_and_policies_are_checked() {
    let server = server().await;
    let client = server.client("admin");
    let (_, map) = post(&client, CONFIG_MAPS, &config_map("a")).await;
    let path = format!("{CONFIG_MAPS}/a");
    let json_type = "application/json";
    let other = json!({"preconditions": {"uid": "other"}});
    let (status, body) = send(&client, "DELETE", &path, json_type, &other).await;
    assert_eq!(
        (status, &body["reason"], &body["details"]["kind"]),
        (409, &json!("Conflict"), &json!("ConfigMap"))
    );
    let unknown = json!({"propagationPolicy": "X"});
    assert_eq!(send(&client, "DELETE", &path, json_type, &unknown).await.0, 422);
    let dry = json!({"dryRun": ["All"]});
    assert_eq!(send(&client, "DELETE", &path, json_type, &dry).await.0, 200);
    let right = json!({"preconditions": {"uid": map["metadata"]["uid"]}});
    assert_eq!(send(&client, "DELETE", &path, json_type, &right).await.0, 200);
    assert!(!exists(&client, &path).await);
}

#[tokio::test]
async fn a_collection_goes_by_its_labels_and_is_listed() {
    let server = server().await;
    let client = server.client("admin");
    for (name, label) in [("a", "1"), ("b", "1"), ("c", "2")] {
        let mut map = config_map(name);
        map["metadata"]["labels"] = json!({"l": label});
        post(&client, CONFIG_MAPS, &map).await;
    }
    let (status, gone) = delete(&client, &format!("{CONFIG_MAPS}?labelSelector=l%3D1")).await;
    assert_eq!(
        (status, &gone["kind"], gone["items"].as_array().map(Vec::len)),
        (200, &json!("ConfigMapList"), Some(2))
    );
    assert_eq!(server.objects("configmaps").len(), 1);
    let (status, none) = delete(&client, &format!("{CONFIG_MAPS}?labelSelector=l%3D3")).await;
    assert_eq!((status, &none["items"]), (200, &json!([])));
    assert_eq!(delete(&client, "/api/v1/namespaces/default/services").await.0, 405);
}

#[tokio::test]
async fn dependents_follow_in_the_background() {
    let server = server().await;
    let client = server.client("admin");
    let (_, owner) = post(&client, CONFIG_MAPS, &config_map("owner")).await;
    let first = dependent(&client, "first", &owner, true).await;
    let (_, middle) = get(&client, &first).await;
    let second = dependent(&client, "second", &middle, true).await;
    assert_eq!(delete(&client, &format!("{CONFIG_MAPS}/owner")).await.0, 200);
    until("both dependents are gone", async || {
        !exists(&client, &first).await && !exists(&client, &second).await
    })
    .await;
}

#[tokio::test]
async fn what_is_created_for_an_owner_that_is_gone_goes_too() {
    let server = server().await;
    let client = server.client("admin");
    let (_, owner) = post(&client, CONFIG_MAPS, &config_map("owner")).await;
    delete(&client, &format!("{CONFIG_MAPS}/owner")).await;
    post(&client, CONFIG_MAPS, &config_map("owner")).await;
    let late = dependent(&client, "late", &owner, true).await;
    until("it is gone, though another owner has the name", async || {
        !exists(&client, &late).await
    })
    .await;
    assert!(exists(&client, &format!("{CONFIG_MAPS}/owner")).await);
}

#[tokio::test]
async fn in_the_foreground_the_owner_waits_for_dependents_that_block() {
    let server = server().await;
    let client = server.client("admin");
    let (_, owner) = post(&client, CONFIG_MAPS, &config_map("owner")).await;
    let path = dependent(&client, "d", &owner, true).await;
    assert_eq!(
        merge(&client, &path, &json!({"metadata": {"finalizers": ["x/y"]}}))
            .await
            .0,
        200
    );
    let (_, held) = delete(&client, &format!("{CONFIG_MAPS}/owner?propagationPolicy=Foreground")).await;
    assert_eq!(held["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    until("the dependent is being deleted", async || {
        get(&client, &path).await.1["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    assert!(exists(&client, &format!("{CONFIG_MAPS}/owner")).await);
    assert_eq!(
        merge(&client, &path, &json!({"metadata": {"finalizers": null}}))
            .await
            .0,
        200
    );
    until("the owner is gone", async || {
        !exists(&client, &format!("{CONFIG_MAPS}/owner")).await
    })
    .await;
}

#[tokio::test]
async fn jobs_leave_their_pods_unless_told_otherwise() {
    let server = server().await;
    let client = server.client("admin");
    for (name, query, left) in [("j", "", true), ("k", "?propagationPolicy=Background", false)] {
        let (_, owner) = post(&client, JOBS, &job(name)).await;
        let mut made = pod(&format!("{name}-pod"));
        made["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": name,
            "uid": owner["metadata"]["uid"], "controller": true}]);
        assert_eq!(post(&client, PODS, &made).await.0, 201);
        let (_, answer) = delete(&client, &format!("{JOBS}/{name}{query}")).await;
        assert_eq!(answer["metadata"]["finalizers"] == json!(["orphan"]), left, "{answer}");
        until("the job is gone", async || {
            !exists(&client, &format!("{JOBS}/{name}")).await
        })
        .await;
        let path = format!("{PODS}/{name}-pod");
        if left {
            assert_eq!(get(&client, &path).await.1["metadata"].get("ownerReferences"), None);
        } else {
            until("its pod is gone", async || !exists(&client, &path).await).await;
        }
    }
}

#[tokio::test]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let server = server().await;
    let client = server.client("admin");
    assert_eq!(
        post(&client, "/api/v1/namespaces", &json!({"metadata": {"name": "n.2"}}))
            .await
            .0,
        422
    );
    assert_eq!(
        post(&client, "/api/v1/namespaces", &json!({"metadata": {"name": "n2"}}))
            .await
            .0,
        201
    );
    let maps = "/api/v1/namespaces/n2/configmaps";
    let mut map = config_map("a");
    map["metadata"]["finalizers"] = json!(["x/y"]);
    assert_eq!(post(&client, maps, &map).await.0, 201);
    let (_, going) = delete(&client, "/api/v1/namespaces/n2").await;
    assert_eq!(going["status"]["phase"], "Terminating");
    let (status, body) = post(&client, maps, &config_map("b")).await;
    assert_eq!(
        (status, &body["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
    until("the map is being deleted", async || {
        get(&client, &format!("{maps}/a")).await.1["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    assert_eq!(
        merge(
            &client,
            &format!("{maps}/a"),
            &json!({"metadata": {"finalizers": null}})
        )
        .await
        .0,
        200
    );
    until("the namespace is gone", async || {
        !exists(&client, "/api/v1/namespaces/n2").await
    })
    .await;
    assert_eq!(delete(&client, "/api/v1/namespaces/default").await.0, 403);
}
