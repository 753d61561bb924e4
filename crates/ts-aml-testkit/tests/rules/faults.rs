//! What a test makes go wrong.

use crate::client::{VERSION, World, send};
use serde_json::Value;
use std::{io::ErrorKind, time::Duration};
use tokio::time::timeout;
use ts_aml_testkit::{Area, Fault, Matcher};

async fn jobs(world: &World) -> std::io::Result<crate::client::Answer> {
    let bearer = format!("Bearer {}", world.token);
    let url = format!("{}{}/jobs?{VERSION}", world.server.arm(), world.server.workspace_path());
    send("GET", &url, &[("Authorization", &bearer)], b"").await
}

#[tokio::test]
async fn faults_come_when_asked_for_and_no_more() {
    let world = World::new().await;
    let lists = || Matcher::any().area(Area::Arm).method("GET").path("/jobs");
    for (code, name) in [
        (401, "ExpiredAuthenticationToken"),
        (403, "AuthorizationFailed"),
        (409, "Conflict"),
        (500, "ServiceError"),
        (503, "ServiceUnavailable"),
    ] {
        world.server.fault(
            lists(),
            Fault::Status {
                code,
                retry_after: Some(3),
            },
            1,
        );
        let answer = jobs(&world).await.expect("an answer");
        answer.refused(code, name);
        assert_eq!(answer.header("retry-after"), Some("3"));
        jobs(&world).await.expect("an answer").expect(200);
    }
    world.server.fault(lists(), Fault::ThrottledByArm { retry_after: 7 }, 1);
    let answer = jobs(&world).await.expect("an answer");
    answer.refused(429, "SubscriptionRequestsThrottled");
    assert_eq!(answer.header("x-ms-ratelimit-remaining-subscription-reads"), Some("0"));
    world.server.fault(lists(), Fault::ThrottledByService, 1);
    let answer = jobs(&world).await.expect("an answer");
    answer.refused(429, "TooManyRequests");
    assert_eq!(answer.header("retry-after"), None);
    world.server.fault(lists(), Fault::Html, 1);
    let answer = jobs(&world).await.expect("an answer");
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("text/html")));
    world.server.fault(lists(), Fault::CutBody, 1);
    assert!(jobs(&world).await.is_err());
    world.server.fault(lists(), Fault::ResetBefore, 1);
    assert_eq!(
        jobs(&world).await.map_err(|error| error.kind()).unwrap_err(),
        ErrorKind::ConnectionReset
    );
    world.server.fault(lists(), Fault::Slow(Duration::from_millis(20)), 1);
    jobs(&world).await.expect("an answer").expect(200);
    world.server.fault(lists(), Fault::Hang, 1);
    let hangs = async {
        while world.server.faults_left() > 0 {
            tokio::task::yield_now().await;
        }
        timeout(Duration::from_millis(200), std::future::pending::<()>()).await
    };
    tokio::select! {
        answer = jobs(&world) => panic!("{answer:?}"),
        _ = hangs => {}
    }
    // One that is for others stays.
    world.server.fault(Matcher::any().area(Area::Blob), Fault::Html, 1);
    jobs(&world).await.expect("an answer").expect(200);
    assert_eq!(world.server.faults_left(), 1);
}

#[tokio::test]
async fn a_reset_after_the_request_was_applied() {
    let world = World::new().await;
    world.server.hold("NotStarted");
    let body = world.job("true").await;
    world
        .server
        .fault(Matcher::any().method("PUT").path("/jobs/"), Fault::ResetAfter, 1);
    let url = format!(
        "{}{}/jobs/one?{VERSION}",
        world.server.arm(),
        world.server.workspace_path()
    );
    let bearer = format!("Bearer {}", world.token);
    let sent = send("PUT", &url, &[("Authorization", &bearer)], body.to_string().as_bytes()).await;
    assert!(sent.is_err());
    assert_eq!(world.server.jobs(), ["one"]);
    world.arm("GET", "/jobs/one", &Value::Null).await.expect(200);
    let requests = world.server.requests();
    assert!(
        requests
            .iter()
            .any(|request| request.method == "PUT" && request.path.ends_with("/jobs/one"))
    );
    world.server.forget_requests();
    assert_eq!(world.server.requests(), []);
}
