//! What changes something under `/api/v2`.

use crate::{
    client::{Reply, get, send},
    world::{World, config, limits, stored, within},
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use ts_manager::store::ExperimentStatus;

async fn post(at: SocketAddr, path: &str, body: &Value) -> Reply {
    send(at, "POST", path, &[], body.to_string().as_bytes()).await
}

/// Waits until a look at a path says so.
pub(crate) async fn until(at: SocketAddr, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    within(async {
        loop {
            let now = get(at, path).await.is(200).json();
            if is_so(&now) {
                return now;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn limits_trials_and_the_stop_of_a_running_experiment() {
    let world = World::new(config(), limits(1, 2));
    let (manager, cluster) = world.manager("wait");
    let (at, _served) = world.serve(manager.handle());
    let test = async {
        let listed = until(at, "/api/v2/trials?status=RUNNING", |now| now["trials"][0].is_object()).await;
        let first = listed["trials"][0]["id"].as_str().unwrap().to_owned();

        // Two running at a time are as many as the limit of trials lets there be.
        // A whole number, however it is written.
        let patch = json!({"limits": {"concurrency": 2.0}});
        let changed = send(at, "PATCH", "/api/v2/experiment", &[], patch.to_string().as_bytes())
            .await
            .is(200)
            .json();
        assert_eq!(
            changed["limits"],
            json!({"concurrency": 2, "maxTrials": 2, "maxDurationMs": null})
        );
        until(at, "/api/v2/trials?status=RUNNING", |now| now["trials"][1].is_object()).await;
        let full = post(at, "/api/v2/trials", &json!({"parameters": {"x": 9}}))
            .await
            .is(409)
            .json();
        assert_eq!(full["error"]["kind"], "conflict");

        let patch = json!({"limits": {"maxTrials": null, "concurrency": 1}});
        send(at, "PATCH", "/api/v2/experiment", &[], patch.to_string().as_bytes())
            .await
            .is(200);
        let own = post(at, "/api/v2/trials", &json!({"parameters": {"x": 9}}))
            .await
            .is(201)
            .json();
        assert_eq!(own["sequenceId"], 2);
        assert_eq!(
            (&own["status"], &own["parameters"]["parameters"]),
            (&json!("WAITING"), &json!({"x": 9}))
        );
        post(at, "/api/v2/trials", &json!({"parameters": 1})).await.is(400);
        post(at, "/api/v2/trials", &json!({})).await.is(400);
        post(at, "/api/v2/trials", &json!([{"x": 9}])).await.is(400);

        post(at, &format!("/api/v2/trials/{first}/cancel"), &json!({}))
            .await
            .is(202);
        until(at, &format!("/api/v2/trials/{first}"), |now| {
            now["status"] == "USER_CANCELED"
        })
        .await;
        post(at, &format!("/api/v2/trials/{first}/cancel"), &json!({}))
            .await
            .is(409);
        post(at, "/api/v2/trials/none/cancel", &json!({})).await.is(404);
        let own = own["id"].as_str().unwrap();
        assert_eq!(
            get(at, &format!("/api/v2/trials/{own}")).await.json()["status"],
            "WAITING",
            "one still has the place"
        );
        let second = get(at, "/api/v2/trials?status=RUNNING").await.json()["trials"][0]["id"].clone();
        cluster
            .finish(&ts_core::TrialId::new(second.as_str().unwrap()).unwrap(), 0)
            .unwrap();
        until(at, &format!("/api/v2/trials/{own}"), |now| now["status"] == "RUNNING").await;
        post(at, &format!("/api/v2/trials/{first}/retry"), &json!({}))
            .await
            .is(202);
        let again = until(at, "/api/v2/trials", |now| {
            now["trials"].as_array().unwrap().iter().any(|t| t["retryOf"] == first)
        })
        .await;
        assert!(again["trials"].as_array().unwrap().len() >= 4);
        assert_eq!(
            post(at, "/api/v2/experiment/stop", &json!({})).await.is(202).json(),
            json!({"status": "STOPPING"})
        );
    };
    let (outcome, ()) = within(Box::pin(async { tokio::join!(manager.run(), test) })).await;
    assert_eq!(outcome.unwrap().status, ExperimentStatus::Stopped);
}

#[tokio::test]
async fn added_trials_survive_a_crash_and_never_run_beyond_the_concurrency() {
    let world = World::new(config(), limits(1, 4));
    let (manager, cluster) = world.manager("wait");
    let (at, _served) = world.serve(manager.handle());
    let adding = async {
        until(at, "/api/v2/trials?status=RUNNING", |now| now["trials"][0].is_object()).await;
        for n in [1, 2] {
            post(at, "/api/v2/trials", &json!({"parameters": {"x": n}}))
                .await
                .is(201);
        }
    };
    // Dropping the manager is like killing it.
    tokio::select! {
        outcome = manager.run() => panic!("{outcome:?}"),
        () = within(adding) => {}
    }
    let manager = world.manager_on(&cluster, "wait");
    let ending = async {
        loop {
            let reader = world.store().reader().unwrap();
            let trials = reader.trials(&ts_manager::store::TrialFilter::all()).unwrap();
            let running: Vec<_> = trials
                .iter()
                .filter(|t| t.status == ts_core::TrialStatus::Running)
                .collect();
            assert!(running.len() <= 1, "{running:?}");
            for trial in running {
                // It may have ended meanwhile.
                let _ = cluster.finish(&trial.spec.id, 0);
            }
            tokio::task::yield_now().await;
        }
    };
    let outcome = within(async {
        tokio::select! {
            outcome = manager.run() => outcome.unwrap(),
            () = ending => unreachable!("it has no end"),
        }
    })
    .await;
    assert_eq!(
        (outcome.status, outcome.snapshot.succeeded, outcome.snapshot.created),
        (ExperimentStatus::Done, 4, 4)
    );
    let reader = world.store().reader().unwrap();
    let trials = reader.trials(&ts_manager::store::TrialFilter::all()).unwrap();
    let own: Vec<_> = trials
        .iter()
        .filter(|t| t.spec.parameters.text.contains("customized"))
        .collect();
    assert_eq!(own.len(), 2);
    assert_eq!(
        &*own[0].spec.parameters.text,
        r#"{"parameter_id": null, "parameter_source": "customized", "parameters": {"x": 1}, "parameter_index": 0}"#
    );
}

#[tokio::test]
async fn what_nobody_runs_can_only_be_read() {
    let (_world, at, _served) = stored(config()).await;
    for (path, body) in [
        ("/api/v2/experiment/stop", json!({})),
        ("/api/v2/trials", json!({"parameters": {}})),
        ("/api/v2/trials/t2/cancel", json!({})),
        ("/api/v2/trials/t1/retry", json!({})),
    ] {
        let error = post(at, path, &body).await.is(409).json();
        assert!(
            error["error"]["help"].as_str().unwrap().contains("tsctl resume"),
            "{error}"
        );
    }
    let patch = json!({"limits": {"maxTrials": 9}});
    send(at, "PATCH", "/api/v2/experiment", &[], patch.to_string().as_bytes())
        .await
        .is(409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_in_another_process_is_asked_over_its_socket() {
    let world = World::new(config(), limits(1, 5));
    let _lock = world.directory.lock().unwrap();
    let (mut manager, _cluster) = world.manager("wait");
    manager.listen(&world.directory).unwrap();
    let (at, _served) = world.serve_stored(&ts_manager::rest::Listen::on_port(0));
    let test = async {
        until(at, "/api/v2/trials?status=RUNNING", |now| now["trials"][0].is_object()).await;
        post(at, "/api/v2/trials", &json!({"parameters": {"x": 1}}))
            .await
            .is(201);
        post(at, "/api/v2/experiment/stop", &json!({})).await.is(202);
    };
    let (outcome, ()) = within(Box::pin(async { tokio::join!(manager.run(), test) })).await;
    assert_eq!(outcome.unwrap().status, ExperimentStatus::Stopped);
}
