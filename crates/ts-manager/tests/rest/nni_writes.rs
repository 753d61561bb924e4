//! NNI's routes that change something.

use crate::{
    client::{Reply, get, send},
    world::{World, config, config_v1, limits, within},
    writing::until,
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use ts_manager::{control::Request, source::ImportedResult, store::ExperimentStatus};

async fn ask(at: SocketAddr, method: &str, path: &str, body: &Value) -> Reply {
    send(
        at,
        method,
        &format!("/api/v1/nni{path}"),
        &[],
        body.to_string().as_bytes(),
    )
    .await
}

/// As clients do it: the whole profile with one key changed.
async fn update(at: SocketAddr, what: &str, key: &str, value: Value) -> Reply {
    let mut profile = get(at, "/api/v1/nni/experiment").await.is(200).json();
    profile["params"][key] = value;
    ask(at, "PUT", &format!("/experiment?update_type={what}"), &profile).await
}

#[tokio::test]
async fn updates_of_both_schemas_take_effect() {
    for (config, keys) in [
        (config(), ["maxTrialNumber", "maxExperimentDuration"]),
        (config_v1(), ["maxTrialNum", "maxExecDuration"]),
        // A newer client on an experiment of the older schema, and what nni 2.10's Python client sends in either case.
        (config_v1(), ["maxTrialNumber", "maxExperimentDuration"]),
        (config(), ["maxTrialNum", "maxExecDuration"]),
    ] {
        let world = World::new(config, limits(1, 5));
        let (manager, _cluster) = world.manager("wait");
        let (at, _served) = world.serve(manager.handle());
        let test = async {
            until(at, "/api/v2/trials?status=RUNNING", |now| now["trials"][0].is_object()).await;
            let empty = update(at, "TRIAL_CONCURRENCY", "trialConcurrency", json!(2))
                .await
                .is(200);
            assert_eq!(empty.text(), "");
            update(at, "MAX_TRIAL_NUM", keys[0], json!(7)).await.is(200);
            update(at, "MAX_EXEC_DURATION", keys[1], json!("2h")).await.is(200);
            let now = get(at, "/api/v2/experiment").await.json();
            assert_eq!(
                now["limits"],
                json!({"concurrency": 2, "maxTrials": 7, "maxDurationMs": 7_200_000})
            );
            update(at, "MAX_EXEC_DURATION", keys[1], json!(90)).await.is(200);
            let space = json!({"y": {"_type": "choice", "_value": [1]}});
            update(at, "SEARCH_SPACE", "searchSpace", space.clone()).await.is(200);
            let now = get(at, "/api/v2/experiment").await.json();
            assert_eq!(
                (&now["searchSpace"], &now["limits"]["maxDurationMs"]),
                (&space, &json!(90_000))
            );
            update(at, "SEARCH_SPACE", "searchSpace", json!(space.to_string()))
                .await
                .is(200);
            let bad = update(
                at,
                "SEARCH_SPACE",
                "searchSpace",
                json!({"y": {"_type": "none", "_value": []}}),
            )
            .await
            .is(500);
            assert!(bad.json()["error"].is_string());
            assert_eq!(
                get(at, "/api/v2/experiment").await.json()["searchSpace"],
                space,
                "nothing changed"
            );
            for (what, key, value) in [
                ("TRIAL_CONCURRENCY", "trialConcurrency", json!(0)),
                ("TRIAL_CONCURRENCY", "trialConcurrency", json!("2")),
                ("MAX_EXEC_DURATION", keys[1], json!("soon")),
                ("NONE", "trialConcurrency", json!(1)),
                ("SEARCH_SPACE", "searchSpace", json!("{")),
            ] {
                update(at, what, key, value).await.is(500);
            }
            let proposed = until(at, "/api/v2/trials?status=RUNNING", |now| now["trials"][1].is_object()).await;
            assert!(proposed["trials"][0].is_object());
            assert_eq!(ask(at, "DELETE", "/experiment", &json!({})).await.is(200).text(), "");
        };
        let (outcome, ()) = within(Box::pin(async { tokio::join!(manager.run(), test) })).await;
        assert_eq!(outcome.unwrap().status, ExperimentStatus::Stopped);
    }
}

#[tokio::test]
async fn trials_are_added_and_cancelled() {
    let world = World::new(config(), limits(1, 2));
    let (manager, _cluster) = world.manager("wait");
    let (at, _served) = world.serve(manager.handle());
    let test = async {
        let listed = until(at, "/api/v1/nni/trial-jobs?status=RUNNING", |now| now[0].is_object()).await;
        let added = ask(at, "POST", "/trial-jobs", &json!({"x": 1})).await.is(200).json();
        assert_eq!(added, json!({"sequenceId": 1}));
        let full = ask(at, "POST", "/trial-jobs", &json!({"x": 1})).await.is(500).json();
        assert_eq!(full, json!({"error": "reach maxTrialNum"}));
        let first = listed[0]["trialJobId"].as_str().unwrap();
        assert_eq!(
            ask(at, "DELETE", &format!("/trial-jobs/{first}"), &json!({}))
                .await
                .is(200)
                .text(),
            ""
        );
        until(at, &format!("/api/v1/nni/trial-jobs/{first}"), |now| {
            now["status"] == "USER_CANCELED"
        })
        .await;
        let own = until(at, "/api/v1/nni/trial-jobs?status=RUNNING", |now| now[0].is_object()).await;
        let packed: Value = serde_json::from_str(own[0]["hyperParameters"][0].as_str().unwrap()).unwrap();
        assert_eq!(
            packed,
            json!({"parameter_id": null, "parameter_source": "customized", "parameters": {"x": 1}, "parameter_index": 0})
        );
        ask(at, "DELETE", &format!("/trial-jobs/{first}"), &json!({}))
            .await
            .is(500);
        ask(at, "DELETE", "/trial-jobs/none", &json!({})).await.is(404);
        for (method, path) in [("POST", "/experiment"), ("PUT", "/experiment/cluster-metadata")] {
            let refused = ask(at, method, path, &json!({})).await.is(500).json();
            assert!(refused["error"].as_str().unwrap().contains("tsctl run"));
        }
        ask(at, "DELETE", "/experiment", &json!({})).await.is(200);
    };
    let (outcome, ()) = within(Box::pin(async { tokio::join!(manager.run(), test) })).await;
    assert_eq!(outcome.unwrap().status, ExperimentStatus::Stopped);
}

#[tokio::test]
async fn imported_results_are_kept_and_told_again_after_a_resume() {
    let world = World::new(config(), limits(1, 1));
    let (manager, _cluster) = world.manager("wait");
    let handle = manager.handle();
    let (at, _served) = world.serve(manager.handle());
    let results =
        json!([{"parameter": {"x": 0.5}, "value": 1.5}, {"parameter": {"x": 0.75}, "value": "{\"default\": 2}"}]);
    let test = async {
        assert_eq!(
            ask(at, "POST", "/experiment/import-data", &results)
                .await
                .is(200)
                .text(),
            ""
        );
        ask(
            at,
            "POST",
            "/experiment/import-data",
            &json!([{"parameter": 1, "value": 1}]),
        )
        .await
        .is(500);
        ask(at, "POST", "/experiment/import-data", &json!({})).await.is(500);
        let texts = get(at, "/api/v1/nni/experiment/imported-data").await.is(200).json();
        assert_eq!(texts.as_array().unwrap().len(), 1);
        assert_eq!(
            serde_json::from_str::<Value>(texts[0].as_str().unwrap()).unwrap(),
            results
        );
        handle.ask(Request::Stop).await.unwrap();
    };
    let (outcome, ()) = within(Box::pin(async { tokio::join!(manager.run(), test) })).await;
    assert_eq!(outcome.unwrap().status, ExperimentStatus::Stopped);
    let kept = world.store().reader().unwrap().imports().unwrap();
    let kept: Vec<ImportedResult> = kept.into_iter().flatten().collect();
    assert_eq!(
        kept.iter().map(ImportedResult::number).collect::<Vec<_>>(),
        [Some(1.5), Some(2.0)]
    );
}
