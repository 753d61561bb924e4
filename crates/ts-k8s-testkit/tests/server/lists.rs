//! Lists: selectors, parts, versions.

use super::*;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};

#[tokio::test]
async fn lists_select_by_labels_and_fields() {
    let server = server().await;
    let client = server.client("admin");
    for name in ["a", "b", "c"] {
        let mut map = config_map(name);
        map["metadata"]["labels"] = json!({"n": name, "all": ""});
        assert_eq!(post(&client, CONFIG_MAPS, &map).await.0, 201);
    }
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let selected = [
        ("n=a", "", "a"),
        ("n in (a, c)", "", "ac"),
        ("n notin (a)", "", "bc"),
        ("n!=a,all", "", "bc"),
        ("!n", "", ""),
        ("all", "metadata.name=b", "b"),
        ("", "metadata.name!=b", "ac"),
    ];
    for (labels, fields, names) in selected {
        let found = maps
            .list(&ListParams::default().labels(labels).fields(fields))
            .await
            .expect("a list");
        let found: String = found.items.into_iter().filter_map(|map| map.metadata.name).collect();
        assert_eq!(found, names, "{labels} {fields}");
    }
    let (status, body) = get(&client, &format!("{CONFIG_MAPS}?labelSelector=a%20b")).await;
    assert_eq!(status, 400);
    assert_eq!(
        body["message"],
        "unable to parse requirement: found 'b', expected: '=', '!=', '==', 'in', notin'"
    );
    let (status, body) = get(&client, &format!("{PODS}?fieldSelector=spec.foo%3Db")).await;
    assert_eq!(
        (status, &body["message"]),
        (400, &json!("field label not supported: spec.foo"))
    );
}

#[tokio::test]
async fn events_are_found_by_what_they_are_about() {
    let server = server().await;
    let client = server.client("admin");
    let path = "/api/v1/namespaces/default/events";
    for (name, uid, kind) in [("e", "u1", "Warning"), ("f", "u1", "Normal"), ("g", "u2", "Warning")] {
        let event = json!({"metadata": {"name": name}, "type": kind, "reason": "R", "message": "m",
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p", "uid": uid}});
        assert_eq!(post(&client, path, &event).await.0, 201);
    }
    let (_, found) = get(
        &client,
        &format!("{path}?fieldSelector=involvedObject.uid%3Du1,type!%3DNormal,reason%3DR"),
    )
    .await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["items"][0]["metadata"]["name"], "e");
    assert_eq!(
        found["items"][0].get("lastTimestamp"),
        Some(&Value::Null),
        "it is there, and empty"
    );
    assert_eq!(
        found["items"][0].get("kind"),
        None,
        "items of the server's own kinds do not repeat it"
    );
    let elsewhere = json!({"metadata": {"name": "h"}, "involvedObject": {"namespace": "other"}});
    assert_eq!(post(&client, path, &elsewhere).await.0, 422);
}

#[tokio::test]
async fn lists_come_in_parts_and_their_tokens_expire() {
    let server = server().await;
    let client = server.client("admin");
    for name in ["a", "b", "c"] {
        assert_eq!(post(&client, CONFIG_MAPS, &config_map(name)).await.0, 201);
    }
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let two = maps.list(&ListParams::default().limit(2)).await.expect("a part");
    assert_eq!((two.items.len(), two.metadata.remaining_item_count), (2, Some(1)));
    let token = two.metadata.continue_.expect("a token");
    let rest = maps
        .list(&ListParams::default().limit(2).continue_token(&token))
        .await
        .expect("the rest");
    assert_eq!((rest.items.len(), rest.metadata.continue_), (1, None));
    server.compact();
    let (status, body) = get(&client, &format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
    assert_eq!((status, &body["reason"]), (410, &json!("Expired")));
    let again = body["metadata"]["continue"].as_str().expect("a token to go on with");
    let (status, body) = get(&client, &format!("{CONFIG_MAPS}?limit=2&continue={again}")).await;
    assert_eq!((status, body["items"].as_array().map(Vec::len)), (200, Some(1)));
    assert_eq!(get(&client, &format!("{CONFIG_MAPS}?continue=x")).await.0, 400);
    assert_eq!(
        get(&client, &format!("{CONFIG_MAPS}?resourceVersion=99999999")).await.0,
        504
    );
}
