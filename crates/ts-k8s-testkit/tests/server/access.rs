//! Tokens, rules, reviews, credentials, the log of requests.

use super::*;
use ts_k8s_testkit::{CustomKind, Rule, User};

fn limited() -> Setting {
    let rules = vec![
        Rule::new("", "configmaps pods/log", "get list", Some("default")),
        Rule::new("batch", "jobs", "*", Some("default")),
    ];
    Setting {
        users: vec![User::admin("admin"), User::with_rules("alice", rules)],
        ..Setting::default()
    }
}

#[tokio::test]
async fn rules_decide_and_refusals_name_everything() {
    let server = ApiServer::start(limited()).await.expect("a port");
    let client = server.client("alice");
    assert_eq!(get(&client, CONFIG_MAPS).await.0, 200);
    assert_eq!(get(&client, "/api/v1/namespaces/kube-system/configmaps").await.0, 403);
    assert_eq!(post(&client, JOBS, &job("j")).await.0, 201);
    let refusals = [
        (
            "GET",
            PODS,
            "pods is forbidden: User \"alice\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
        ),
        (
            "GET",
            "/api/v1/namespaces/default/pods/x/exec?command=a",
            "pods \"x\" is forbidden: User \"alice\" cannot get resource \"pods/exec\" in API group \"\" in the namespace \"default\"",
        ),
        (
            "DELETE",
            CONFIG_MAPS,
            "configmaps is forbidden: User \"alice\" cannot deletecollection resource \"configmaps\" in API group \"\" in the \
             namespace \"default\"",
        ),
        (
            "GET",
            "/apis/foo.io/v1/namespaces/default/foos?watch=true",
            "foos.foo.io is forbidden: User \"alice\" cannot watch resource \"foos\" in API group \"foo.io\" in the namespace \
             \"default\"",
        ),
        (
            "GET",
            "/api/v1/nodes",
            "nodes is forbidden: User \"alice\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
        ),
        (
            "GET",
            "/metrics",
            "forbidden: User \"alice\" cannot get path \"/metrics\"",
        ),
    ];
    for (method, path, message) in refusals {
        let (status, body) = send(&client, method, path, "application/json", &Value::Null).await;
        assert_eq!(
            (status, &body["message"], &body["reason"]),
            (403, &json!(message), &json!("Forbidden"))
        );
    }
    assert_eq!(get(&client, "/apis/batch/v1").await.0, 200, "everyone may discover");
}

#[tokio::test]
async fn reviews_answer_as_the_rules_do() {
    let server = ApiServer::start(limited()).await.expect("a port");
    let client = server.client("alice");
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    for (group, resource, verb, allowed) in [
        ("batch", "jobs", "create", true),
        ("", "configmaps", "get", true),
        ("", "configmaps", "create", false),
    ] {
        let attributes = json!({"namespace": "default", "group": group, "resource": resource, "verb": verb});
        let (status, review) = post(&client, reviews, &json!({"spec": {"resourceAttributes": attributes}})).await;
        assert_eq!(
            (status, &review["status"]["allowed"]),
            (201, &json!(allowed)),
            "{attributes}"
        );
    }
    assert_eq!(post(&client, reviews, &json!({"spec": {}})).await.0, 422);
}

#[tokio::test]
async fn unknown_tokens_are_refused_and_tokens_rotate() {
    let server = server().await;
    let before = server.client("admin");
    assert_eq!(get(&before, PODS).await.0, 200);
    server.rotate_token("admin", "new");
    let (status, body) = get(&before, PODS).await;
    assert_eq!(
        (status, &body["reason"], &body["message"]),
        (401, &json!("Unauthorized"), &json!("Unauthorized"))
    );
    assert_eq!(get(&server.client("admin"), PODS).await.0, 200);
    let address = format!("http://{}", server.address()).parse().expect("an address");
    let nobody = Client::try_from(kube::Config::new(address)).expect("a client");
    let (status, body) = get(&nobody, PODS).await;
    let message = "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" in the namespace \
                   \"default\"";
    assert_eq!((status, &body["message"]), (403, &json!(message)));
    assert_eq!(get(&nobody, "/version").await.0, 200);
}

#[tokio::test]
async fn the_kubeconfig_leads_to_the_server() {
    let server = server().await;
    let parsed = kube::config::Kubeconfig::from_yaml(&server.kubeconfig("admin")).expect("a kubeconfig");
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(parsed, &options)
        .await
        .expect("a configuration");
    assert_eq!(config.default_namespace, "default");
    assert_eq!(get(&Client::try_from(config).expect("a client"), PODS).await.0, 200);
}

#[tokio::test]
async fn requests_are_logged_with_user_verb_and_status() {
    let server = server().await;
    server.install_crds(&[CustomKind::framework()]);
    let client = server.client("admin");
    get(&client, &format!("{PODS}/none")).await;
    let request = server.requests().pop().expect("a request");
    assert_eq!(
        (request.user.as_str(), request.verb.as_str(), request.resource.as_str()),
        ("admin", "get", "pods")
    );
    assert_eq!(
        (request.method.as_str(), request.path.as_str(), request.status),
        ("GET", &*format!("{PODS}/none"), 404)
    );
    server.clear_requests();
    delete(&client, &format!("{FRAMEWORKS}?labelSelector=a%3Db")).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (requests[0].verb.as_str(), requests[0].query.as_str()),
        ("deletecollection", "labelSelector=a%3Db")
    );
}
