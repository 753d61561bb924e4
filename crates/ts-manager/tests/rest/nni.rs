//! NNI's routes for reading, with the shapes that its clients read.

use crate::{
    client::get,
    world::{config, config_v1, space, stored, write},
};
use serde_json::{Value, json};

const JSON: &str = "application/json; charset=utf-8";

async fn read(at: std::net::SocketAddr, path: &str) -> Value {
    let reply = get(at, &format!("/api/v1/nni{path}")).await.is(200);
    assert_eq!(reply.headers["content-type"], JSON, "{path}");
    reply.json()
}

#[tokio::test]
async fn trials_have_what_clients_need_of_them() {
    let (world, at, _served) = stored(config()).await;
    let trials = read(at, "/trial-jobs").await;
    let folder = |n| format!("file://localhost{}", world.trial_directory(n).display());
    assert_eq!(
        trials[0],
        json!({
            "trialJobId": "t0",
            "status": "SUCCEEDED",
            "hyperParameters": [r#"{"parameter_id": 0, "parameter_source": "algorithm", "parameters": {"x": 0.50}, "parameter_index": 0}"#],
            "logPath": folder(0),
            "startTime": 4000,
            "sequenceId": 0,
            "endTime": 5000,
            "finalMetricData": [{
                "timestamp": 4003,
                "trialJobId": "t0",
                "parameterId": "0",
                "type": "FINAL",
                "sequence": 0,
                "data": serde_json::to_string(r#"{"default": 0.25, "note": "é\"'"}"#).unwrap(),
            }],
        })
    );
    let failed = &trials[1];
    assert_eq!(failed["stderrPath"], format!("{}/stderr", folder(1)));
    assert_eq!(failed["message"], "it ended with exit code 3");
    assert!(failed.get("finalMetricData").is_none(), "only of trials that succeeded");
    assert!(trials[2].get("endTime").is_none() && trials[2].get("stderrPath").is_none());
    assert_eq!(trials[4]["startTime"], 2004, "it waits: since it was made");
    assert_eq!(read(at, "/trial-jobs/t1").await, *failed);
    assert_eq!(
        read(at, "/trial-jobs?status=RUNNING").await.as_array().unwrap().len(),
        1
    );
    assert_eq!(read(at, "/trial-jobs?status=NONE").await, json!([]));
    for unknown in ["none", "..", "a%2Fb"] {
        let reply = get(at, &format!("/api/v1/nni/trial-jobs/{unknown}")).await.is(200);
        assert_eq!(reply.text(), "", "as NNI answers for an unknown one");
    }
    let mut counts = read(at, "/job-statistics").await;
    counts
        .as_array_mut()
        .unwrap()
        .sort_by_key(|count| count["trialJobStatus"].to_string());
    assert_eq!(counts[0], json!({"trialJobStatus": "FAILED", "trialJobNumber": 1}));
    assert_eq!(counts.as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn metrics_are_texts_in_texts() {
    let (_world, at, _served) = stored(config()).await;
    let all = read(at, "/metric-data").await;
    assert_eq!(all.as_array().unwrap().len(), 12);
    assert_eq!(
        all[0],
        json!({"timestamp": 4001, "trialJobId": "t0", "parameterId": "0", "type": "PERIODICAL", "sequence": 0, "data": "\"0.5\""})
    );
    let once: String = serde_json::from_str(all[1]["data"].as_str().unwrap()).unwrap();
    assert_eq!(once, "NaN");
    assert_eq!(read(at, "/metric-data?type=FINAL").await.as_array().unwrap().len(), 4);
    assert_eq!(read(at, "/metric-data/t2").await.as_array().unwrap().len(), 3);
    assert_eq!(
        read(at, "/metric-data/t2?type=PERIODICAL")
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(read(at, "/metric-data/none").await, json!([]));
    assert_eq!(read(at, "/metric-data?type=x").await, json!([]));
    let ids = |list: &Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|m| m["trialJobId"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        ids(&read(at, "/metric-data-range/1/2").await),
        ["t1", "t1", "t1", "t2", "t2", "t2"]
    );
    let latest = read(at, "/metric-data-latest").await;
    assert_eq!(ids(&latest), ["t0", "t0", "t1", "t1", "t2", "t2", "t3", "t3"]);
    assert_eq!(
        (&latest[0]["type"], &latest[0]["sequence"]),
        (&json!("PERIODICAL"), &json!(1))
    );
    assert_eq!(latest[1]["type"], "FINAL");
    assert_eq!(
        read(at, "/export-data").await,
        json!([{"parameter": {"x": 0.5}, "value": r#"{"default": 0.25, "note": "é\"'"}"#, "trialJobId": "t0"}])
    );
}

#[tokio::test]
async fn the_profile_is_the_configuration_with_the_limits_of_now() {
    let (world, at, _served) = stored(config()).await;
    let profile = read(at, "/experiment").await;
    assert_eq!(
        profile["params"],
        json!({
            "experimentName": "mnist",
            "trialConcurrency": 2,
            "maxTrialNumber": 5,
            "tuner": {"name": "Random", "classArgs": {"optimize_mode": "minimize"}},
            "trainingService": {"platform": "local"},
            "searchSpace": space(),
        })
    );
    assert_eq!((&profile["id"], &profile["startTime"]), (&json!("exp"), &json!(1000)));
    assert_eq!(profile["logDir"], json!(world.directory.path()));
    assert!(profile["execDuration"].is_u64() && profile["nextSequenceId"] == 5 && profile["revision"] == 6);
    assert!(profile.get("endTime").is_none());

    let (_world, at, _served) = stored(config_v1()).await;
    let params = read(at, "/experiment").await["params"].clone();
    assert_eq!(params["maxTrialNum"], 5);
    assert_eq!(params["maxExecDuration"], 86_313_600);
    let text = params["searchSpace"].as_str().expect("text in schema 1");
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), space());
    assert!(params.get("maxTrialNumber").is_none());
}

#[tokio::test]
async fn status_version_and_registry() {
    let (world, at, _served) = stored(config()).await;
    assert_eq!(
        read(at, "/check-status").await,
        json!({"status": "RUNNING", "errors": []})
    );
    assert_eq!(get(at, "/api/v1/nni/version").await.is(200).text(), "3.0.0");
    let record = read(at, "/experiment-metadata").await;
    assert_eq!((&record["id"], &record["port"]), (&json!("exp"), &json!(at.port())));
    assert_eq!(
        (&record["platform"], &record["experimentName"]),
        (&json!("local"), &json!("mnist"))
    );
    assert_eq!(record["logDir"], json!(world.dir.path()));
    assert_eq!(read(at, "/experiments-info").await, json!([record]));
    assert_eq!(read(at, "/experiment/imported-data").await, json!([]));
    assert_eq!(read(at, "/tensorboard-tasks").await, json!([]));
    let refused = get(at, "/api/v1/nni/tensorboard/x").await.is(400);
    assert!(refused.json()["error"].as_str().unwrap().contains("TensorBoard"));
}

#[tokio::test]
async fn files_of_trials_have_four_names_and_no_other() {
    let (world, at, _served) = stored(config()).await;
    let folder = world.trial_directory(0);
    write(&folder.join("stdout"), "hé\n".as_bytes());
    write(&folder.join("model.onnx"), &[0, 255]);
    write(&folder.join("stderr"), b"");
    let file = |name: &str| format!("/api/v1/nni/trial-file/t0/{name}");
    let stdout = get(at, &file("stdout")).await.is(200);
    assert_eq!(
        (stdout.text(), stdout.headers["content-type"].as_str()),
        ("hé\n".into(), "text/plain; charset=utf-8")
    );
    assert_eq!(get(at, &file("stderr")).await.is(200).text(), "stderr is empty.");
    assert_eq!(get(at, &file("trial.log")).await.is(200).text(), "trial.log is empty.");
    let model = get(at, &file("model.onnx")).await.is(200);
    assert_eq!(
        (model.body.as_slice(), model.headers["content-type"].as_str()),
        (&[0, 255][..], "application/octet-stream")
    );
    get(at, "/api/v1/nni/trial-file/t1/model.onnx").await.is(404);
    for name in [
        "..%2F..%2Fexperiment.db",
        "%2E%2E%2Fstdout",
        "experiment.db",
        "parameter.cfg",
        "stdout%00",
        "%2Fetc%2Fpasswd",
    ] {
        let reply = get(at, &file(name)).await.is(404);
        assert!(reply.json()["error"].is_string());
    }
    for escape in [
        "/api/v1/nni/trial-file/t0/../../experiment.db",
        "/api/v1/nni/trial-file/..%2Ft0/stdout",
    ] {
        get(at, escape).await.is(404);
    }
    write(&world.directory.log().join("manager.log"), b"it began\n");
    assert_eq!(get(at, "/logs/nnimanager.log").await.is(200).text(), "it began\n");
    assert_eq!(
        get(at, "/logs/dispatcher.log").await.is(200).text(),
        "dispatcher.log is empty."
    );
    for name in ["manager.log", "..%2Fexperiment.db", "%2Fetc%2Fpasswd"] {
        get(at, &format!("/logs/{name}")).await.is(404);
    }
    assert_eq!(
        get(at, "/api/v1/nni/trial-log/t0/TRIAL_STDOUT").await.is(200).text(),
        "hé\n"
    );
    assert_eq!(
        get(at, "/api/v1/nni/trial-log/t0/TRIAL_ERROR").await.is(200).text(),
        "No logs available."
    );
    get(at, "/api/v1/nni/trial-log/t0/OTHER").await.is(404);
    get(at, "/api/v1/nni/trial-log/none/TRIAL_LOG").await.is(404);
}
