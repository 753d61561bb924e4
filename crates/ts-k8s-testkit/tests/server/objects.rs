//! Discovery, creates, reads, updates and patches.

use super::*;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use kube::discovery::{Discovery, Scope};
use ts_k8s_testkit::CustomKind;

#[tokio::test]
async fn discovery_names_version_groups_and_installed_kinds() {
    let server = server().await;
    let client = server.client("admin");
    let version = client.apiserver_version().await.expect("a version");
    assert_eq!(
        (
            version.major.as_str(),
            version.minor.as_str(),
            version.git_version.as_str()
        ),
        ("1", "20", "v1.20.2")
    );
    assert_eq!(get(&client, "/readyz").await, (200, "ok".into()));
    assert_eq!(get(&client, FRAMEWORKS).await, (404, "404 page not found\n".into()));
    server.install_crds(&[CustomKind::framework()]);
    let found = Discovery::new(client.clone()).run().await.expect("discovery");
    let group = found.get("frameworkcontroller.microsoft.com").expect("the group");
    let (kind, capabilities) = group.recommended_kind("Framework").expect("the kind");
    assert_eq!(
        (kind.plural.as_str(), capabilities.scope),
        ("frameworks", Scope::Namespaced)
    );
    assert_eq!(get(&client, FRAMEWORKS).await.0, 200);
    let definition =
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/frameworks.frameworkcontroller.microsoft.com";
    let (status, body) = get(&client, definition).await;
    assert_eq!((status, &body["spec"]["names"]["kind"]), (200, &json!("Framework")));
}

#[tokio::test]
async fn what_is_unknown_within_a_known_group_is_a_status() {
    let server = server().await;
    let client = server.client("admin");
    for path in [
        "/api/v1/namespaces/default/foos",
        "/apis/batch/v2",
        "/api/v1/namespaces/default/configmaps/c/status",
    ] {
        let (status, body) = get(&client, path).await;
        assert_eq!(
            (status, &body["message"]),
            (404, &json!("the server could not find the requested resource")),
            "{path}"
        );
    }
    assert_eq!(
        get(&client, "/apis/foo.io/v1").await,
        (404, "404 page not found\n".into())
    );
}

#[tokio::test]
async fn a_pod_gets_what_the_server_fills_in_and_loses_what_it_does_not_know() {
    let server = server().await;
    let client = server.client("admin");
    let mut wanted = pod("p");
    wanted["spec"]["containers"][0]["resources"] = json!({"limits": {"nvidia.com/gpu": 1, "cpu": "0.5"}});
    wanted["spec"]["containers"][0]["foo"] = json!(1);
    wanted["spec"]["volumes"] =
        json!([{"name": "v", "azureFile": {"secretName": "s", "shareName": "x", "readonly": false}}, {"name": "w"}]);
    let (status, made) = post(&client, PODS, &wanted).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        made["spec"]["volumes"][0],
        json!({"name": "v", "azureFile": {"secretName": "s", "shareName": "x"}})
    );
    assert_eq!(made["spec"]["volumes"][1], json!({"name": "w", "emptyDir": {}}));
    let container = &made["spec"]["containers"][0];
    let amounts = json!({"cpu": "500m", "nvidia.com/gpu": "1"});
    assert_eq!(container["resources"], json!({"limits": amounts, "requests": amounts}));
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container.get("foo"), None);
    assert_eq!(made["spec"]["restartPolicy"], "Always");
    let keys = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    assert_eq!(
        [
            &made["spec"]["tolerations"][0]["key"],
            &made["spec"]["tolerations"][1]["key"]
        ],
        keys
    );
    assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": "Burstable"}));
    assert_eq!(made["kind"], "Pod");
    assert!(
        made["metadata"]["uid"].as_str().is_some_and(|uid| uid.len() == 36),
        "{made}"
    );
    assert_eq!(made["metadata"].get("generation"), None, "pods of 1.20 have none");
}

#[tokio::test]
async fn names_are_generated_and_dry_runs_leave_nothing() {
    let server = server().await;
    let client = server.client("admin");
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut map: ConfigMap = serde_json::from_value(json!({"metadata": {"generateName": "x-"}})).expect("a map");
    let dry = maps
        .create(
            &PostParams {
                dry_run: true,
                ..PostParams::default()
            },
            &map,
        )
        .await
        .expect("a dry run");
    assert!(dry.metadata.name.is_some_and(|name| name.len() == 7));
    assert_eq!(maps.list(&ListParams::default()).await.expect("a list").items, []);
    let made = maps.create(&PostParams::default(), &map).await.expect("created");
    let name = made.metadata.name.expect("a name");
    assert!(name.starts_with("x-") && name.len() == 7, "{name}");
    map.metadata.name = Some(name);
    map.metadata.generate_name = None;
    let error = maps
        .create(&PostParams::default(), &map)
        .await
        .expect_err("it is there");
    assert!(
        matches!(&error, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists"),
        "{error}"
    );
    let (status, body) = post(&client, &format!("{CONFIG_MAPS}?dryRun=x"), &config_map("a")).await;
    assert_eq!(
        (status, &body["details"]["causes"][0]["field"]),
        (422, &json!("dryRun"))
    );
}

#[tokio::test]
async fn stale_updates_conflict_and_unchanged_objects_keep_their_version() {
    let server = server().await;
    let client = server.client("admin");
    let (_, first) = post(&client, CONFIG_MAPS, &config_map("a")).await;
    let path = format!("{CONFIG_MAPS}/a");
    let (status, second) = merge(&client, &path, &json!({"data": {"a": "c"}})).await;
    assert_eq!((status, &second["data"]["a"]), (200, &json!("c")));
    let (_, third) = merge(&client, &path, &json!({"data": {"a": "c"}})).await;
    assert_eq!(
        second["metadata"]["resourceVersion"],
        third["metadata"]["resourceVersion"]
    );
    let (status, body) = put(&client, &path, &first).await;
    assert_eq!((status, &body["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        body["message"],
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the \
         latest version and try again"
    );
    let stale = json!({"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}});
    assert_eq!(merge(&client, &path, &stale).await.0, 409);
    assert_eq!(put(&client, &path, &third).await.0, 200);
    let mut other = third.clone();
    other["metadata"]["uid"] = json!("other");
    assert_eq!(put(&client, &path, &other).await.1["reason"], "Conflict");
    assert_eq!(
        put(&client, &format!("{CONFIG_MAPS}/none"), &config_map("none"))
            .await
            .0,
        404
    );
    assert_eq!(put(&client, &path, &config_map("b")).await.0, 400);
}

#[tokio::test]
async fn custom_kinds_count_generations_and_keep_status_apart() {
    let server = server().await;
    server.install_crds(&[CustomKind::tf_job()]);
    let client = server.client("admin");
    let path = "/apis/kubeflow.org/v1/namespaces/default/tfjobs";
    let wanted = json!({"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "metadata": {"name": "x"},
        "spec": {"tfReplicaSpecs": {"Worker": {"replicas": 1}}}, "status": {"a": 1}});
    let (status, made) = post(&client, path, &wanted).await;
    assert_eq!(
        (status, &made["metadata"]["generation"], made.get("status")),
        (201, &json!(1), None),
        "{made}"
    );
    let one = format!("{path}/x");
    let edit = json!({"metadata": {"labels": {"l": "1"}}, "spec": {"q": 1}, "status": {"a": 2}});
    let (_, told) = merge(&client, &format!("{one}/status"), &edit).await;
    assert_eq!(
        (&told["status"], &told["spec"], told["metadata"].get("labels")),
        (&json!({"a": 2}), &made["spec"], None)
    );
    assert_eq!(told["metadata"]["generation"], 1);
    let (_, changed) = merge(&client, &one, &edit).await;
    assert_eq!(
        (&changed["metadata"]["generation"], &changed["spec"]["q"]),
        (&json!(2), &json!(1))
    );
    let (_, labelled) = merge(
        &client,
        &one,
        &json!({"metadata": {"labels": {"l": "2"}}, "status": {"a": 3}}),
    )
    .await;
    assert_eq!(
        (&labelled["metadata"]["generation"], &labelled["status"]),
        (&json!(2), &json!({"a": 2}))
    );
    let (status, body) = put(&client, &one, &wanted).await;
    assert_eq!(
        (status, &body["details"]["causes"][0]["field"]),
        (422, &json!("metadata.resourceVersion"))
    );
}

#[tokio::test]
async fn each_kind_takes_its_patches() {
    let server = server().await;
    server.install_crds(&[CustomKind::framework()]);
    let client = server.client("admin");
    assert_eq!(post(&client, FRAMEWORKS, &framework("f")).await.0, 201);
    assert_eq!(post(&client, PODS, &pod("p")).await.0, 201);
    let stop = json!([{"op": "replace", "path": "/spec/executionType", "value": "Stop"}]);
    let one = format!("{FRAMEWORKS}/f");
    let (status, stopped) = send(&client, "PATCH", &one, "application/json-patch+json", &stop).await;
    assert_eq!((status, &stopped["spec"]["executionType"]), (200, &json!("Stop")));
    let failed = json!([{"op": "test", "path": "/spec/executionType", "value": "Start"}]);
    assert_eq!(
        send(&client, "PATCH", &one, "application/json-patch+json", &failed)
            .await
            .0,
        422
    );
    let strategic = "application/strategic-merge-patch+json";
    let (status, body) = send(&client, "PATCH", &one, strategic, &json!({})).await;
    assert_eq!((status, &body["reason"]), (415, &json!("UnsupportedMediaType")));
    let image = json!({"spec": {"containers": [{"name": "c", "image": "j"}]}});
    let (status, changed) = send(&client, "PATCH", &format!("{PODS}/p"), strategic, &image).await;
    assert_eq!(
        (status, &changed["spec"]["containers"][0]["image"]),
        (200, &json!("j")),
        "{changed}"
    );
    assert_eq!(
        send(&client, "PATCH", &format!("{PODS}/p"), "application/json", &json!({}))
            .await
            .0,
        415
    );
    let apply = "application/apply-patch+yaml";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "y"}});
    assert_eq!(
        send(&client, "PATCH", &format!("{CONFIG_MAPS}/a"), apply, &map).await.0,
        422
    );
    let managed = format!("{CONFIG_MAPS}/a?fieldManager=m");
    assert_eq!(send(&client, "PATCH", &managed, apply, &map).await.0, 201);
    assert_eq!(send(&client, "PATCH", &managed, apply, &map).await.0, 200);
}

#[tokio::test]
async fn fields_that_came_later_are_dropped_by_an_older_server() {
    let mut wanted = job("j");
    wanted["spec"]["podFailurePolicy"] = json!({"rules": []});
    let old = server().await;
    let (_, made) = post(&old.client("admin"), JOBS, &wanted).await;
    assert_eq!(made["spec"].get("podFailurePolicy"), None);
    let new = ApiServer::start(Setting {
        version: "1.31.0".to_owned(),
        ..Setting::default()
    })
    .await
    .expect("a port");
    let (_, made) = post(&new.client("admin"), JOBS, &wanted).await;
    assert_eq!(made["spec"]["podFailurePolicy"], json!({"rules": []}));
}

#[tokio::test]
async fn jobs_get_a_selector_and_labels_of_their_own() {
    let server = server().await;
    let client = server.client("admin");
    let (status, made) = post(&client, JOBS, &job("j")).await;
    assert_eq!(status, 201, "{made}");
    let labels = json!({"controller-uid": made["metadata"]["uid"], "job-name": "j"});
    assert_eq!(
        made["metadata"]["labels"], labels,
        "a job without labels has those of its pods"
    );
    assert_eq!(made["spec"]["template"]["spec"].get("volumes"), None);
    assert_eq!(made["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(
        made["spec"]["selector"]["matchLabels"],
        json!({"controller-uid": made["metadata"]["uid"]})
    );
    assert_eq!(
        (&made["spec"]["backoffLimit"], &made["spec"]["completions"]),
        (&json!(6), &json!(1))
    );
    assert_eq!(
        merge(&client, &format!("{JOBS}/j"), &json!({"spec": {"parallelism": 2}}))
            .await
            .0,
        200
    );
    let (status, body) = merge(&client, &format!("{JOBS}/j"), &json!({"spec": {"completions": 4}})).await;
    assert_eq!(
        (status, &body["details"]["causes"][0]["message"]),
        (422, &json!("Invalid value: 4: field is immutable"))
    );
    let strategic = "application/strategic-merge-patch+json";
    let template = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}});
    let (status, body) = send(&client, "PATCH", &format!("{JOBS}/j"), strategic, &template).await;
    assert_eq!(
        (status, &body["details"]["causes"][0]["field"]),
        (422, &json!("spec.template"))
    );
    let (status, told) = merge(&client, &format!("{JOBS}/j/status"), &json!({"status": {"active": 1}})).await;
    assert_eq!((status, &told["status"]), (200, &json!({"active": 1})));
}

#[tokio::test]
async fn a_kind_is_served_once_its_definition_is_created() {
    let server = server().await;
    let client = server.client("admin");
    let mut options = ts_k8s_testkit::Options::default();
    options.frameworks = true;
    ts_k8s_testkit::install_crds(&client, &options)
        .await
        .expect("established");
    assert_eq!(get(&client, FRAMEWORKS).await.0, 200);
    // Again, as the next installation does.
    ts_k8s_testkit::install_crds(&client, &options).await.expect("replaced");
    assert_eq!(server.objects("frameworks").len(), 0);
    let definitions = server.objects("customresourcedefinitions");
    assert_eq!(definitions.len(), 1);
    assert_eq!(definitions[0]["status"]["conditions"][1]["type"], "Established");
}
