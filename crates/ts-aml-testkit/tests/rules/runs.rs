//! Run history, native metrics and MLflow.

use crate::client::{World, send};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn logs_grow_and_their_addresses_expire() {
    let world = World::with(|setting| setting.sas_life = Duration::from_secs(0)).await;
    world.submit("one", "echo text; sleep 600").await;
    world.server.reached("one", "Running").await;
    let details = world
        .region("GET", "history/v1.0", "/runs/one/details", &Value::Null)
        .await
        .expect(200);
    let url = details["logFiles"]["user_logs/std_log.txt"]
        .as_str()
        .expect("a log file");
    send("GET", url, &[], b"")
        .await
        .expect("an answer")
        .blob(403, "AuthenticationFailed");

    let world = World::new().await;
    world.submit("one", "echo one; read -t 600 line < <(sleep 600)").await;
    world.server.reached("one", "Running").await;
    while world.log("one").await.is_empty() {
        tokio::task::yield_now().await;
    }
    let details = world
        .region("GET", "history/v1.0", "/runs/one/details", &Value::Null)
        .await
        .expect(200);
    let url = details["logFiles"]["user_logs/std_log.txt"]
        .as_str()
        .expect("a log file");
    let tail = send("GET", url, &[("x-ms-range", "bytes=2-")], b"")
        .await
        .expect("an answer");
    assert_eq!((tail.status, tail.text().as_str()), (206, "e\n"));
    send("GET", url, &[("Range", "bytes=4-")], b"")
        .await
        .expect("an answer")
        .blob(416, "InvalidRange");
}

#[tokio::test]
async fn runs_are_found_by_experiment_and_by_many() {
    let world = World::new().await;
    world.server.hold("NotStarted");
    world.submit("one", "true").await;
    let history = async |path: &str| world.region("GET", "history/v1.0", path, &Value::Null).await;
    let run = history("/runs/one").await.expect(200);
    let id = run["experimentId"].as_str().expect("an id");
    history("/experiments/tests/runs/one").await.expect(200);
    history(&format!("/experimentids/{id}/runs/one")).await.expect(200);
    history("/experiments/other/runs/one").await.refused(404, "UserError");
    history("/runs/none").await.refused(404, "UserError");
    let body = json!({"runId": "one", "selectRunMetadata": true});
    let data = world
        .region("POST", "history/v1.0", "/rundata", &body)
        .await
        .expect(200);
    assert_eq!(data["runMetadata"]["status"], "NotStarted");
    let body = json!({"tags": {"a": "b"}});
    world
        .region("PATCH", "history/v1.0", "/experiments/tests/runs/one", &body)
        .await
        .expect(200);
    assert_eq!(history("/runs/one").await.expect(200)["tags"]["a"], "b");
}

#[tokio::test]
async fn the_token_of_a_run_is_good_for_it_alone() {
    let mut world = World::new().await;
    world.server.hold("NotStarted");
    world.submit("one", "true").await;
    world.submit("two", "true").await;
    let token = world
        .region("GET", "history/v1.0", "/experiments/tests/runs/one/token", &Value::Null)
        .await
        .expect(200);
    world.token = token["token"].as_str().expect("a token").to_owned();
    assert!(token["expiryTimeUtc"].is_string());
    world
        .region("GET", "history/v1.0", "/runs/one", &Value::Null)
        .await
        .expect(200);
    world
        .region("GET", "history/v1.0", "/runs/two", &Value::Null)
        .await
        .refused(403, "Forbidden");
    world
        .arm("GET", "/jobs/one", &Value::Null)
        .await
        .refused(401, "InvalidAuthenticationToken");
    world.server.expire_tokens();
    world
        .region("GET", "history/v1.0", "/runs/one", &Value::Null)
        .await
        .refused(401, "Unauthorized");
}

#[tokio::test]
async fn native_metrics() {
    let world = World::new().await;
    world.server.hold("NotStarted");
    world.submit("one", "true").await;
    let post = async |action: &str, body: Value| {
        world
            .region("POST", "metric/v2.0", &format!("/runs/one/{action}"), &body)
            .await
    };
    let batch = |name: &str, texts: &[&str]| {
        let rows: Vec<Value> = texts
            .iter()
            .map(|text| json!({"step": 0, "data": {"text": text}}))
            .collect();
        json!({"values": [{"name": name, "columns": {"text": "String"}, "value": rows}], "reportErrors": true})
    };
    post("batch", batch("m", &["a", "b"])).await.expect(200);
    let first = post("full", json!({"metricName": "m"})).await.expect(200);
    let rows = first["value"].as_array().expect("rows");
    assert_eq!(rows.len(), 2);
    assert_ne!(rows[0]["metricId"], rows[1]["metricId"]);
    let later = rows[1]["createdUtc"].as_str().expect("a time").to_owned();
    post("batch", batch("m", &["c"])).await.expect(200);
    let news = post("full", json!({"metricName": "m", "startTime": later}))
        .await
        .expect(200);
    assert_eq!(
        news["value"]
            .as_array()
            .and_then(|rows| rows.last())
            .map(|row| &row["data"]["text"]),
        Some(&json!("c"))
    );

    let many = vec!["x"; 150];
    post("batch", batch("many", &many)).await.expect(200);
    let page = post("full", json!({"metricName": "many"})).await.expect(200);
    assert_eq!(page["value"].as_array().map(Vec::len), Some(100));
    let token = &page["continuationToken"];
    let rest = post("full", json!({"metricName": "many", "continuationToken": token}))
        .await
        .expect(200);
    assert_eq!(rest["value"].as_array().map(Vec::len), Some(50));
    assert!(rest["continuationToken"].is_null());

    post("batch", batch("m", &["x".repeat(256).as_str()]))
        .await
        .refused(400, "UserError");
    post("batch", batch("m", &vec!["x"; 251]))
        .await
        .refused(400, "UserError");
    let names: Vec<Value> = (0..50)
        .map(|n| json!({"name": format!("n{n}"), "columns": {"v": "Double"}, "value": [{"data": {"v": 1.0}}]}))
        .collect();
    post("batch", json!({"values": names})).await.refused(400, "UserError");
    assert_eq!(
        post("list", json!({})).await.expect(200)["value"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn mlflow() {
    let world = World::new().await;
    world.server.hold("NotStarted");
    world.submit("one", "true").await;
    let api = "/api/2.0/mlflow";
    let post = async |path: &str, body: Value| {
        world
            .region("POST", "mlflow/v2.0", &format!("{api}/{path}"), &body)
            .await
    };
    let get = async |path: &str| {
        world
            .region("GET", "mlflow/v2.0", &format!("{api}/{path}"), &Value::Null)
            .await
    };
    let metric = |value: Value| json!({"run_id": "one", "key": "loss", "value": value, "timestamp": 1, "step": "3"});
    post("runs/log-metric", metric(json!(0.5))).await.expect(200);
    post("runs/log-metric", metric(json!("NaN"))).await.expect(200);
    let refused = post("runs/log-metric", metric(json!("much"))).await.expect(400);
    assert_eq!(refused["error_code"], "INVALID_PARAMETER_VALUE");
    let page = get("metrics/get-history?run_id=one&metric_key=loss&max_results=1")
        .await
        .expect(200);
    assert_eq!(
        page["metrics"],
        json!([{"key": "loss", "value": 0.5, "timestamp": 1, "step": 3}])
    );
    let token = page["next_page_token"].as_str().expect("another page");
    let rest = get(&format!(
        "metrics/get-history?run_id=one&metric_key=loss&page_token={token}"
    ))
    .await
    .expect(200);
    assert_eq!(rest["metrics"].as_array().map(Vec::len), Some(1));
    assert!(rest["next_page_token"].is_null());

    let metrics = vec![json!({"key": "a", "value": 1, "timestamp": 1, "step": 0}); 1001];
    post("runs/log-batch", json!({"run_id": "one", "metrics": metrics}))
        .await
        .expect(400);
    post(
        "runs/log-batch",
        json!({"run_id": "one", "params": [{"key": "p", "value": "1"}]}),
    )
    .await
    .expect(200);
    post("runs/log-parameter", json!({"run_id": "one", "key": "p", "value": "2"}))
        .await
        .expect(400);
    post("runs/set-tag", json!({"run_id": "one", "key": "t", "value": "v"}))
        .await
        .expect(200);
    let run = get("runs/get?run_id=one").await.expect(200);
    assert_eq!(run["run"]["info"]["status"], "SCHEDULED");
    assert_eq!(run["run"]["data"]["params"], json!([{"key": "p", "value": "1"}]));
    assert_eq!(run["run"]["data"]["tags"], json!([{"key": "t", "value": "v"}]));
    assert_eq!(
        get("runs/get?run_id=none").await.expect(404)["error_code"],
        "RESOURCE_DOES_NOT_EXIST"
    );
    get("runs/get").await.expect(400);
    let experiment = get("experiments/get-by-name?experiment_name=tests").await.expect(200);
    assert_eq!(
        experiment["experiment"]["experiment_id"],
        run["run"]["info"]["experiment_id"]
    );
}
