//! What a test can make go wrong.

use super::*;
use kube::api::Api;
use ts_k8s_testkit::{Fault, Matcher};

type Maps = Api<k8s_openapi::api::core::v1::ConfigMap>;

async fn create(server: &ApiServer, name: &str) -> kube::Result<()> {
    let map = serde_json::from_value(config_map(name)).expect("a map");
    Maps::default_namespaced(server.client("admin"))
        .create(&kube::api::PostParams::default(), &map)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_fault_hits_the_next_requests_that_match_and_no_others() {
    let server = server().await;
    let client = server.client("admin");
    let creates = Matcher::any().verb("create").resource("configmaps").user("admin");
    server.fault(
        creates,
        Fault::Status {
            code: 429,
            retry_after: Some(2),
        },
        2,
    );
    assert_eq!(get(&client, CONFIG_MAPS).await.0, 200);
    for _ in 0..2 {
        let (status, body) = post(&client, CONFIG_MAPS, &config_map("a")).await;
        assert_eq!(
            (status, &body["reason"], &body["details"]["retryAfterSeconds"]),
            (429, &json!("TooManyRequests"), &json!(2))
        );
    }
    assert_eq!(post(&client, CONFIG_MAPS, &config_map("a")).await.0, 201);
    server.fault(Matcher::any().path("/configmaps"), Fault::Html, 1);
    let (status, page) = get(&client, CONFIG_MAPS).await;
    assert!(status == 502 && page.as_str().is_some_and(|page| page.starts_with("<html>")));
    assert_eq!(
        server
            .requests()
            .iter()
            .map(|request| request.status)
            .collect::<Vec<_>>(),
        [200, 429, 429, 201, 502]
    );
}

#[tokio::test]
async fn a_reset_comes_before_or_after_the_deed() {
    let server = server().await;
    server.fault(Matcher::any().verb("create"), Fault::ResetBefore, 1);
    assert!(create(&server, "before").await.is_err());
    assert_eq!(server.objects("configmaps"), Vec::<Value>::new());
    server.fault(Matcher::any().verb("create"), Fault::ResetAfter, 1);
    assert!(create(&server, "after").await.is_err());
    assert_eq!(server.objects("configmaps").len(), 1);
    server.fault(Matcher::any().verb("create"), Fault::CutBody, 1);
    assert!(create(&server, "cut").await.is_err());
    assert_eq!(server.objects("configmaps").len(), 2);
    assert!(create(&server, "fine").await.is_ok());
}

#[tokio::test]
async fn a_request_that_hangs_gets_no_answer() {
    let server = server().await;
    server.fault(Matcher::any().verb("create"), Fault::Hang, 1);
    let hangs = async {
        until("the request has come", async || !server.requests().is_empty()).await;
        tokio::time::timeout(Duration::from_millis(200), std::future::pending::<()>()).await
    };
    tokio::select! {
        answer = create(&server, "a") => panic!("{answer:?}"),
        _ = hangs => {}
    }
    assert_eq!(server.objects("configmaps"), Vec::<Value>::new());
    assert_eq!(server.requests()[0].status, 0);
}

#[tokio::test]
async fn a_server_that_is_down_refuses_and_comes_back_with_all_it_had() {
    let server = server().await;
    create(&server, "a").await.expect("created");
    for _ in 0..3 {
        server.pause().await;
        let refused = tokio::net::TcpStream::connect(server.address())
            .await
            .expect_err("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(create(&server, "b").await.is_err());
        server.resume().await;
        assert_eq!(get(&server.client("admin"), &format!("{CONFIG_MAPS}/a")).await.0, 200);
    }
}

#[tokio::test]
async fn the_end_of_the_server_ends_its_connections() {
    let server = server().await;
    let client = server.client("admin");
    let address = server.address();
    assert_eq!(get(&client, CONFIG_MAPS).await.0, 200);
    drop(server);
    until("nobody listens", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    assert!(client.apiserver_version().await.is_err());
}

#[tokio::test]
async fn a_webhook_refuses_or_cannot_be_reached() {
    let server = server().await;
    let client = server.client("admin");
    server.deny("configmaps", 403, "not on a Friday");
    let (status, body) = post(&client, CONFIG_MAPS, &config_map("a")).await;
    let message = "admission webhook \"validator.webhook.example\" denied the request: not on a Friday";
    assert_eq!((status, &body["message"]), (403, &json!(message)));
    server.allow("configmaps");
    server.break_webhook("configmaps");
    let (status, body) = post(&client, CONFIG_MAPS, &config_map("a")).await;
    assert_eq!((status, &body["reason"]), (500, &json!("InternalError")));
    assert!(
        body["message"]
            .as_str()
            .is_some_and(|message| message.contains("failed calling webhook")),
        "{body}"
    );
    server.allow("configmaps");
    assert_eq!(post(&client, CONFIG_MAPS, &config_map("a")).await.0, 201);
}

#[tokio::test]
async fn the_clock_can_be_wrong() {
    let setting = Setting {
        clock_seconds: 86_400,
        ..Setting::default()
    };
    let server = ApiServer::start(setting).await.expect("a port");
    let (_, made) = post(&server.client("admin"), CONFIG_MAPS, &config_map("a")).await;
    let stamp: k8s_openapi::jiff::Timestamp = made["metadata"]["creationTimestamp"]
        .as_str()
        .expect("a stamp")
        .parse()
        .expect("a time");
    let ahead = stamp.duration_since(k8s_openapi::jiff::Timestamp::now());
    assert!((86_300..=86_400).contains(&ahead.as_secs()), "{ahead}");
}
