//! What trials and NNI's keepers say by HTTP: kept before it is answered, for the trial that says it and no other.

use crate::{
    client::{Reply, get, send},
    world::{World, config, limits, within},
    writing::until,
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use ts_core::{TrialId, trial_channel};
use ts_manager::store::MetricKind;

const REQUEST: &str = r#"{"type": "request_parameter"}"#;

/// Path of a trial's channel, as its environment has it.
fn channel(world: &World, at: SocketAddr, trial: &TrialId) -> String {
    let url = trial_channel(world.directory.path(), trial).unwrap().expect("an offer");
    let path = url.expose().strip_prefix(&format!("http://{at}")).expect("our address");
    path.to_owned()
}

async fn put(at: SocketAddr, path: &str, body: &str) -> Reply {
    send(
        at,
        "PUT",
        path,
        &[("Content-Type", "application/json")],
        body.as_bytes(),
    )
    .await
}

async fn post(at: SocketAddr, path: &str, body: &Value) -> Reply {
    send(at, "POST", path, &[], body.to_string().as_bytes()).await
}

/// As NNI's SDK says it: JSON in JSON in JSON.
fn metric(kind: &str, value: &str) -> String {
    let body = json!({"parameter_id": 0, "trial_job_id": "x", "type": kind, "sequence": 0, "value": value});
    json!({"type": "metric", "metric": body.to_string()}).to_string()
}

/// The trials, once so many run.
async fn running(at: SocketAddr, n: usize) -> Vec<(TrialId, String)> {
    let listed = until(at, "/api/v2/trials?status=RUNNING&fields=all", |now| {
        now["trials"].as_array().is_some_and(|all| all.len() == n)
    })
    .await;
    let facts = |trial: &Value| {
        (
            TrialId::new(trial["id"].as_str().unwrap()).unwrap(),
            trial["parameters"].to_string(),
        )
    };
    listed["trials"].as_array().unwrap().iter().map(facts).collect()
}

/// Runs a manager, whose trials wait, while `work` goes on.
async fn during(world: &World, work: impl AsyncFnOnce(SocketAddr, ts_testkit::memory::MemoryCluster)) {
    let (manager, cluster) = world.manager("wait");
    let (at, _served) = world.serve_trials(manager.handle());
    tokio::select! {
        outcome = Box::pin(manager.run()) => panic!("{outcome:?}"),
        () = within(work(at, cluster)) => {}
    }
}

#[tokio::test]
async fn every_trial_gets_its_own_parameters_and_its_reports_are_kept_when_they_are_answered() {
    let world = World::new(config(), limits(3, 3));
    during(&world, async |at, _| {
        let trials = running(at, 3).await;
        // Asked in one order and fetched in the other.
        for (trial, _) in &trials {
            put(at, &channel(&world, at, trial), REQUEST).await.is(200);
        }
        for (trial, own) in trials.iter().rev() {
            let path = channel(&world, at, trial);
            let got = get(at, &path).await.is(200).json();
            assert_eq!(got["type"], "parameter");
            let text: Value = serde_json::from_str(got["parameter"].as_str().unwrap()).unwrap();
            assert_eq!(text.to_string(), *own, "of {trial}");
        }
        for (n, (trial, _)) in trials.iter().enumerate() {
            let path = channel(&world, at, trial);
            put(at, &path, &metric("PERIODICAL", "NaN")).await.is(200);
            put(at, &path, &metric("FINAL", &format!("{{\"default\": {n}}}")))
                .await
                .is(200);
            let kept = world.store().reader().unwrap().metrics(trial, None).unwrap();
            let facts: Vec<_> = kept.iter().map(|m| (m.kind, m.value.as_str())).collect();
            let result = format!("{{\"default\": {n}}}");
            assert_eq!(facts, [(MetricKind::Intermediate, "NaN"), (MetricKind::Final, &result)]);
        }
    })
    .await;
}

#[tokio::test]
async fn further_parameters_come_by_the_same_channel() {
    let mut world = World::new(config(), limits(1, 1));
    world.multi_phase = true;
    during(&world, async |at, _| {
        let (trial, _) = running(at, 1).await.remove(0);
        let path = channel(&world, at, &trial);
        let mut expected = Vec::new();
        for index in 0..3 {
            put(at, &path, REQUEST).await.is(200);
            let got = get(at, &path).await.is(200).json();
            let packed: Value = serde_json::from_str(got["parameter"].as_str().unwrap()).unwrap();
            assert_eq!(packed["parameter_index"], index);
            let (id, x) = (&packed["parameter_id"], &packed["parameters"]["x"]);
            let body = json!({"parameter_id": id, "type": "FINAL", "sequence": 0, "value": x.to_string()});
            let said = json!({"type": "metric", "metric": body.to_string()}).to_string();
            put(at, &path, &said).await.is(200);
            expected.push(x.as_f64());
        }
        let row = world.store().reader().unwrap().trial(&trial).unwrap().unwrap();
        let results: Vec<_> = row.phases.iter().map(|phase| phase.final_number).collect();
        assert_eq!(results, expected);
    })
    .await;
}

#[tokio::test]
async fn who_asks_for_parameters_waits_until_they_are_asked_for_and_learns_of_the_end() {
    let world = World::new(config(), limits(1, 3));
    during(&world, async |at, cluster| {
        let (trial, own) = running(at, 1).await.remove(0);
        let path = channel(&world, at, &trial);
        let (got, ()) = tokio::join!(get(at, &path), async {
            put(at, &path, REQUEST).await.is(200);
        });
        let text = got.is(200).json()["parameter"].as_str().unwrap().to_owned();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap().to_string(), own);
        cluster.finish(&trial, 0).unwrap();
        until(at, &format!("/api/v2/trials/{trial}"), |now| {
            now["status"] == "SUCCEEDED"
        })
        .await;
        put(at, &path, &metric("FINAL", "1")).await.is(410);
        // A second trial that never asks is told of its end while it waits.
        let (second, _) = running(at, 1).await.remove(0);
        let path = channel(&world, at, &second);
        let (told, ()) = tokio::join!(get(at, &path), async {
            tokio::task::yield_now().await;
            cluster.finish(&second, 1).unwrap();
        });
        told.is(410);
    })
    .await;
}

#[tokio::test]
async fn a_channel_opens_for_its_secret_only_and_takes_nothing_else() {
    let world = World::new(config(), limits(1, 1));
    let mut path = String::new();
    during(&world, async |at, _| {
        let (trial, _) = running(at, 1).await.remove(0);
        path = channel(&world, at, &trial);
        let secret = path.split('/').nth(2).unwrap();
        for wrong in [path.replace(secret, "x"), path.replace(secret, &"0".repeat(64))] {
            put(at, &wrong, REQUEST).await.is(404);
            get(at, &wrong).await.is(404);
        }
        put(at, &path.replace(trial.as_str(), "other"), REQUEST).await.is(404);
        put(at, &path.replace(trial.as_str(), "..%2F.."), REQUEST).await.is(404);
        put(at, &path.replace(trial.as_str(), "%ff"), REQUEST).await.is(404);
        for wrong in [
            "",
            "{}",
            r#"{"type": "stop"}"#,
            r#"{"type": "metric"}"#,
            r#"{"type": "metric", "metric": 1}"#,
        ] {
            put(at, &path, wrong).await.is(400);
        }
        put(at, &path, r#"{"type": "metric", "metric": "no metric"}"#)
            .await
            .is(422);
        let listed = get(at, "/api/v2/experiment").await.text();
        assert!(!listed.contains(secret), "no reply tells it");
        assert!(
            world
                .store()
                .reader()
                .unwrap()
                .metrics(&trial, None)
                .unwrap()
                .is_empty()
        );
    })
    .await;
    let id = TrialId::new(path.rsplit('/').next().unwrap()).unwrap();
    assert!(
        trial_channel(world.directory.path(), &id).unwrap().is_none(),
        "the offer ends with the server"
    );
}

#[tokio::test]
async fn keepers_metrics_are_kept_and_other_lines_go_to_a_file() {
    let world = World::new(config(), limits(1, 2));
    during(&world, async |at, cluster| {
        let (trial, _) = running(at, 1).await.remove(0);
        let root = "/api/v1/nni-pai";
        let say = async |tag: &str, msg: &str| {
            post(
                at,
                &format!("{root}/stdout/exp/{trial}"),
                &json!({"tag": tag, "stdOutputType": "Stdout", "msg": msg}),
            )
            .await
        };
        let version = format!("{root}/version/exp/{trial}");
        post(at, &version, &json!({"tag": "VCSuccess"})).await.is(200);
        post(at, &version, &json!({"tag": "VCFail", "msg": "2.1 and 3.0"}))
            .await
            .is(200);
        post(at, &version, &json!({"tag": "?"})).await.is(500);
        say("trial_keeper", "it begins").await.is(200);
        say("trial", "epoch 1").await.is(200);
        let quoted = r#"NNISDK_MEb'{"parameter_id": 0, "type": "PERIODICAL", "sequence": 0, "value": "\"it's\""}'"#;
        assert!(say("trial", quoted).await.is(200).body.is_empty());
        say("trial_keeper", quoted).await.is(200);
        let body = r#"{"parameter_id": 0, "type": "FINAL", "sequence": 0, "value": "0.5"}"#;
        let update = format!("{root}/update-metrics/exp/{trial}");
        post(at, &update, &json!({"jobId": trial, "metrics": [body]}))
            .await
            .is(200);
        post(at, &update, &json!({"jobId": "other", "metrics": [body]}))
            .await
            .is(500);
        post(at, &update, &json!({"jobId": trial, "metrics": ["{}"]}))
            .await
            .is(500);
        let kept = world.store().reader().unwrap().metrics(&trial, None).unwrap();
        let values: Vec<_> = kept.iter().map(|m| m.value.as_str()).collect();
        assert_eq!(values, [r#""it's""#, "0.5"]);
        let file = world
            .directory
            .path()
            .join(format!("trials/{trial}/stdout_log_collection.log"));
        let lines = std::fs::read_to_string(file).unwrap();
        assert_eq!(lines, format!("it begins\nepoch 1\n{quoted}\n"));

        for (experiment, of) in [("other", trial.as_str()), ("exp", "other"), ("exp", "..")] {
            let path = format!("{root}/stdout/{experiment}/{}", of.replace("..", "%2E%2E"));
            post(at, &path, &json!({"tag": "trial", "msg": "x"})).await.is(404);
        }
        let told = json!({"experimentId": "exp", "trialId": trial, "filePath": "/h/parameter_1.cfg"});
        assert_eq!(get(at, &format!("{root}/parameter-file-meta")).await.json(), json!([]));
        post(at, &format!("{root}/parameter-file-meta"), &told).await.is(200);
        assert_eq!(
            get(at, &format!("{root}/parameter-file-meta")).await.json(),
            json!([told])
        );

        cluster.finish(&trial, 0).unwrap();
        until(at, &format!("/api/v2/trials/{trial}"), |now| {
            now["status"] == "SUCCEEDED"
        })
        .await;
        say("trial_keeper", "exit with code 0").await.is(200);
        say("trial", quoted).await.is(500);
    })
    .await;
}
