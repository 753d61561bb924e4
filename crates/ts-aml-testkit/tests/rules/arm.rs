//! Resource Manager, and the resources beside jobs.

use crate::client::{VERSION, World, send, token};
use serde_json::{Value, json};

#[tokio::test]
async fn versions_and_scopes() {
    let world = World::new().await;
    let base = world.server.arm().to_owned();
    let path = world.server.workspace_path();
    let ask = async |url: String| world.ask("GET", &url, &Value::Null).await;
    ask(format!("{base}{path}"))
        .await
        .refused(400, "MissingApiVersionParameter");
    let unknown = ask(format!("{base}{path}?api-version=1999-01-01"))
        .await
        .refused(400, "NoRegisteredProviderFound");
    assert!(unknown.contains("2024-10-01"), "the versions are named: {unknown}");
    for (wrong, code) in [
        (
            path.replace("/subscriptions/1", "/subscriptions/2"),
            "SubscriptionNotFound",
        ),
        (
            path.replace("/resourceGroups/team", "/resourceGroups/other"),
            "ResourceGroupNotFound",
        ),
        (
            path.replace("/workspaces/trials", "/workspaces/other"),
            "ResourceNotFound",
        ),
        (
            path.replace("MachineLearningServices", "Nothing"),
            "InvalidResourceNamespace",
        ),
        (format!("{path}/nothing"), "InvalidResourceType"),
    ] {
        ask(format!("{base}{wrong}?{VERSION}")).await.refused(404, code);
    }
    let shouted = path.to_uppercase();
    ask(format!("{base}{shouted}/COMPUTES/CPU-CLUSTER?{VERSION}"))
        .await
        .expect(200);
}

#[tokio::test]
async fn headers_of_every_answer() {
    let world = World::with(|setting| setting.reads = 2).await;
    let url = format!("{}{}?{VERSION}", world.server.arm(), world.server.workspace_path());
    let bearer = format!("Bearer {}", world.token);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("x-ms-correlation-request-id", "mine"),
    ];
    let first = send("GET", &url, &headers, b"").await.expect("an answer");
    assert_eq!(first.header("x-ms-correlation-request-id"), Some("mine"));
    assert_eq!(first.header("x-ms-ratelimit-remaining-subscription-reads"), Some("1"));
    assert!(first.header("x-ms-request-id").is_some());
    let second = world.arm("GET", "/computes/cpu-cluster", &Value::Null).await;
    assert_eq!(second.header("x-ms-ratelimit-remaining-subscription-reads"), Some("0"));
    let third = world.arm("GET", "", &Value::Null).await;
    third.refused(429, "SubscriptionRequestsThrottled");
    assert!(third.header("retry-after").is_some());
    let written = world
        .arm(
            "PUT",
            "/environments/a/versions/1",
            &json!({"properties": {"image": "x"}}),
        )
        .await;
    assert_eq!(
        written.header("x-ms-ratelimit-remaining-subscription-writes"),
        Some("1199")
    );
}

#[tokio::test]
async fn the_workspace_and_what_it_leads_to() {
    let world = World::new().await;
    let workspace = world.arm("GET", "", &Value::Null).await.expect(200);
    let properties = &workspace["properties"];
    let discovery = properties["discoveryUrl"].as_str().expect("an address");
    let services = send("GET", discovery, &[], b"").await.expect("an answer").expect(200);
    assert_eq!(services["api"], world.server.arm());
    assert!(
        properties["mlFlowTrackingUri"]
            .as_str()
            .expect("an address")
            .starts_with("azureml://")
    );
    let clouds = send("GET", &world.server.cloud_metadata_url(), &[], b"")
        .await
        .expect("an answer")
        .expect(200);
    assert_eq!(clouds[0]["name"], "FakeCloud");

    let compute = world
        .arm("GET", "/computes/cpu-cluster", &Value::Null)
        .await
        .expect(200);
    assert_eq!(compute["properties"]["computeType"], "AmlCompute");
    assert_eq!(
        compute["properties"]["properties"]["nodeStateCounts"]["runningNodeCount"],
        0
    );
    world
        .arm("GET", "/computes/other", &Value::Null)
        .await
        .refused(404, "NotFound");
}

#[tokio::test]
async fn datastores() {
    let world = World::new().await;
    let all = world
        .arm("GET", "/datastores?isDefault=true", &Value::Null)
        .await
        .expect(200);
    assert_eq!(all["value"].as_array().map(Vec::len), Some(1));
    let store = &all["value"][0];
    assert_eq!(store["name"], "workspaceblobstore");
    let secrets = "/datastores/workspaceblobstore/listSecrets";
    let key = world.arm("POST", secrets, &Value::Null).await.expect(200);
    assert_eq!(key["secretsType"], "AccountKey");
    let sas = world
        .arm(
            "POST",
            secrets,
            &json!({"expirableSecret": true, "expireAfterHours": 1}),
        )
        .await
        .expect(200);
    let url = format!(
        "{}?restype=container&comp=list&{}",
        world.server.default_container(),
        sas["sasToken"].as_str().expect("a SAS")
    );
    assert_eq!(send("GET", &url, &[], b"").await.expect("an answer").status, 200);
    world
        .arm("GET", "/datastores/other", &Value::Null)
        .await
        .refused(404, "NotFound");

    let world = World::with(|setting| setting.identity_storage = true).await;
    let store = world
        .arm("GET", "/datastores/workspaceblobstore", &Value::Null)
        .await
        .expect(200);
    assert_eq!(store["properties"]["credentials"]["credentialsType"], "None");
    assert_eq!(
        world.arm("POST", secrets, &Value::Null).await.expect(200)["secretsType"],
        "None"
    );
    let storage = token(&world.server, "https://storage.azure.com").await;
    let url = format!("{}?restype=container&comp=list", world.server.default_container());
    let bearer = format!("Bearer {storage}");
    let headers = [("Authorization", bearer.as_str()), ("x-ms-version", "2021-08-06")];
    assert_eq!(send("GET", &url, &headers, b"").await.expect("an answer").status, 200);
}

#[tokio::test]
async fn code_is_what_was_uploaded() {
    let world = World::new().await;
    let start = "/codes/mine/versions/1/startPendingUpload";
    let body = json!({"pendingUploadType": "TemporaryBlobReference"});
    let place = world.arm("POST", start, &body).await.expect(200);
    let other = world.arm("POST", start, &body).await.expect(200);
    let uri = |place: &Value| {
        place["blobReferenceForConsumption"]["blobUri"]
            .as_str()
            .expect("an address")
            .to_owned()
    };
    assert_ne!(uri(&place), uri(&other), "each call gives a new place");

    let register = async |uri: &str, hash: &str| {
        let properties = json!({"hash_sha256": hash, "hash_version": "202208"});
        let body = json!({"properties": {"codeUri": uri, "isAnonymous": true, "properties": properties}});
        world.arm("PUT", "/codes/mine/versions/1", &body).await
    };
    register(&uri(&place), "h").await.refused(400, "UserError");
    let sas = place["blobReferenceForConsumption"]["credential"]["sasUri"]
        .as_str()
        .expect("a SAS");
    let (address, sas) = sas.split_once('?').expect("a query");
    let file = format!("{address}/main.sh?{sas}");
    let put = send("PUT", &file, &[("x-ms-blob-type", "BlockBlob")], b"echo hello")
        .await
        .expect("an answer");
    assert_eq!(put.status, 201, "{}", put.text());
    register("https://else.test/container", "h")
        .await
        .refused(400, "UserError");
    register(&uri(&place), "h").await.expect(201);
    register(&uri(&place), "h").await.expect(200);
    let text = register(&uri(&other), "h").await.refused(400, "UserError");
    assert_eq!(text, "Asset paths cannot be updated.");
    // By content, whatever the name.
    let find = async |hash: &str| {
        let path = format!("/codes/any/versions?hash={hash}&hashVersion=202208");
        world.arm("GET", &path, &Value::Null).await.expect(200)["value"].clone()
    };
    assert_eq!(find("h").await[0]["name"], "1");
    assert_eq!(find("other").await, json!([]));
    world
        .arm("GET", "/codes/mine/versions/2", &Value::Null)
        .await
        .refused(404, "NotFound");
}

#[tokio::test]
async fn environments_do_not_change() {
    let world = World::new().await;
    let put = async |body: Value| {
        world
            .arm("PUT", "/environments/e/versions/1", &json!({"properties": body}))
            .await
    };
    put(json!({"image": "a", "nonsense": 1}))
        .await
        .refused(400, "UserError");
    put(json!({"osType": "Linux"})).await.refused(400, "UserError");
    put(json!({"image": "a", "osType": "BeOS"}))
        .await
        .refused(400, "UserError");
    put(json!({"image": "a"})).await.expect(201);
    put(json!({"image": "a", "description": "better"})).await.expect(200);
    put(json!({"image": "b"})).await.refused(409, "Conflict");
    let body = json!({"properties": {"image": "a"}});
    world
        .arm("PUT", "/environments/-e/versions/1", &body)
        .await
        .refused(400, "UserError");
}
