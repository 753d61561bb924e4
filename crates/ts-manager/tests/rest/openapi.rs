//! The description of the API agrees with what it does: every reply is as its schema says, with nothing beside it.

use crate::{
    client::{Reply, get, send},
    schema::{resolved, wrong},
    world::{World, config, limits, stored, within, write},
    writing::until,
};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A client that checks every reply.
struct Checking {
    document: Value,
    at: SocketAddr,
}

impl Checking {
    async fn new(at: SocketAddr) -> Self {
        let document = get(at, "/api/v2/openapi.json").await.is(200).json();
        assert_eq!(document["openapi"], "3.1.0");
        Self { document, at }
    }

    /// Asks, and compares with what `path` of the description says.
    async fn ask(&self, method: &str, path: &str, real: &str, body: &Value) -> Reply {
        let operation = &self.document["paths"][path][method.to_lowercase()];
        assert!(operation.is_object(), "{method} {path}");
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let reply = send(self.at, method, real, &[], &body).await;
        let described = resolved(&self.document, &operation["responses"][reply.status.to_string()]);
        let described = &described["content"];
        let content_type = reply.headers["content-type"].split(';').next().unwrap().to_owned();
        let schema = &described[&content_type]["schema"];
        assert!(
            schema.is_object(),
            "{method} {real}: {} {content_type} is not described",
            reply.status
        );
        if content_type == "application/json" {
            let problems = wrong(&self.document, schema, &reply.json(), "");
            assert!(problems.is_empty(), "{method} {real}: {problems:#?}\n{}", reply.text());
        }
        reply
    }

    async fn get(&self, path: &str, real: &str) -> Reply {
        self.ask("GET", path, real, &Value::Null).await
    }
}

#[tokio::test]
async fn replies_to_readers_are_as_described() {
    let (world, at, _served) = stored(config()).await;
    world.fill_phases().await;
    write(&world.trial_directory(0).join("stdout"), b"x");
    let check = Checking::new(at).await;
    check.get("/api/v2/openapi.json", "/api/v2/openapi.json").await.is(200);
    check.get("/api/v2/experiment", "/api/v2/experiment").await.is(200);
    for query in ["", "?limit=2", "?fields=summary"] {
        check
            .get("/api/v2/trials", &format!("/api/v2/trials{query}"))
            .await
            .is(200);
    }
    check.get("/api/v2/trials", "/api/v2/trials?x=1").await.is(400);
    for id in ["t0", "t1", "t2", "t3", "t4"] {
        check
            .get("/api/v2/trials/{id}", &format!("/api/v2/trials/{id}"))
            .await
            .is(200);
        check
            .get("/api/v2/trials/{id}/explain", &format!("/api/v2/trials/{id}/explain"))
            .await
            .is(200);
        check
            .get("/api/v2/trials/{id}/metrics", &format!("/api/v2/trials/{id}/metrics"))
            .await
            .is(200);
        check
            .get(
                "/api/v2/trials/{id}/logs/{name}",
                &format!("/api/v2/trials/{id}/logs/stdout"),
            )
            .await
            .is(200);
    }
    check.get("/api/v2/trials/{id}", "/api/v2/trials/none").await.is(404);
    check.get("/api/v2/metrics", "/api/v2/metrics").await.is(200);
    check
        .ask(
            "POST",
            "/api/v2/experiment/stop",
            "/api/v2/experiment/stop",
            &Value::Null,
        )
        .await
        .is(409);
}

#[tokio::test]
async fn replies_to_those_who_change_something_are_as_described() {
    let world = World::new(config(), limits(1, 9));
    let (manager, _cluster) = world.manager("wait");
    let (at, _served) = world.serve(manager.handle());
    let test = async {
        let listed = until(at, "/api/v2/trials?status=RUNNING", |now| now["trials"][0].is_object()).await;
        let first = listed["trials"][0]["id"].as_str().unwrap().to_owned();
        let check = Checking::new(at).await;
        let patch = json!({"limits": {"maxTrials": null}});
        check
            .ask("PATCH", "/api/v2/experiment", "/api/v2/experiment", &patch)
            .await
            .is(200);
        check
            .ask("PATCH", "/api/v2/experiment", "/api/v2/experiment", &json!(1))
            .await
            .is(400);
        check
            .ask(
                "POST",
                "/api/v2/trials",
                "/api/v2/trials",
                &json!({"parameters": {"x": 1}}),
            )
            .await
            .is(201);
        let cancel = format!("/api/v2/trials/{first}/cancel");
        check
            .ask("POST", "/api/v2/trials/{id}/cancel", &cancel, &Value::Null)
            .await
            .is(202);
        until(at, &format!("/api/v2/trials/{first}"), |now| {
            now["status"] == "USER_CANCELED"
        })
        .await;
        check
            .ask("POST", "/api/v2/trials/{id}/cancel", &cancel, &Value::Null)
            .await
            .is(409);
        let retry = format!("/api/v2/trials/{first}/retry");
        check
            .ask("POST", "/api/v2/trials/{id}/retry", &retry, &Value::Null)
            .await
            .is(202);
        check
            .ask(
                "POST",
                "/api/v2/trials/{id}/retry",
                "/api/v2/trials/none/retry",
                &Value::Null,
            )
            .await
            .is(404);
        check
            .ask(
                "POST",
                "/api/v2/experiment/stop",
                "/api/v2/experiment/stop",
                &Value::Null,
            )
            .await
            .is(202);
    };
    within(Box::pin(async { tokio::join!(manager.run(), test) }))
        .await
        .0
        .unwrap();
}
