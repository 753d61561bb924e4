//! What can be read under `/api/v2`.

use crate::{
    client::get,
    world::{World, config, config_v1, id, limits, metric, stored},
};
use serde_json::{Value, json};
use ts_manager::{
    rest::Listen,
    store::{Change, MetricKind, TrialFilter},
    view,
};

fn ids(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|t| t["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_experiment_with_counts_best_and_space() {
    let (world, at, _served) = stored(config()).await;
    let object = get(at, "/api/v2/experiment").await.is(200).json();
    assert_eq!(object["id"], "exp");
    assert_eq!(object["name"], "mnist");
    assert_eq!(object["status"], "RUNNING");
    assert_eq!(object["platform"], "local");
    assert_eq!(object["optimize"], "minimize");
    assert_eq!(object["searchSpace"], crate::world::space());
    assert_eq!(
        object["limits"],
        json!({"concurrency": 2, "maxTrials": 5, "maxDurationMs": null})
    );
    assert_eq!(object["trials"]["total"], 5);
    assert_eq!(object["trials"]["byStatus"]["FAILED"], 1);
    assert_eq!(object["best"]["trialId"], "t0");
    assert_eq!(object["best"]["value"]["default"], 0.25);
    assert_eq!(object["startedAt"], "1970-01-01T00:00:01.000Z");
    assert_eq!(object["managerRunning"], false);
    assert_eq!(object["revision"], 6);
    let stored = std::fs::read_to_string(world.directory.path().join("rest.json")).unwrap();
    assert!(stored.contains(&format!("http://{at}")), "{stored}");
    let old = World::new(config_v1(), limits(1, 1));
    let (at, _served) = old.serve_stored(&Listen::on_port(0));
    assert_eq!(get(at, "/api/v2/experiment").await.json()["platform"], "local");
}

#[tokio::test]
async fn one_trial_as_the_command_line_shows_it() {
    let (world, at, _served) = stored(config()).await;
    let reader = world.store().reader().unwrap();
    let listed = get(at, "/api/v2/trials").await.is(200).json();
    assert_eq!(listed["next"], Value::Null);
    assert_eq!(listed["revision"], 6);
    let rows = reader.trials(&TrialFilter::all()).unwrap();
    for (row, listed) in rows.iter().zip(listed["trials"].as_array().unwrap()) {
        let own = get(at, &format!("/api/v2/trials/{}", row.spec.id)).await.is(200).json();
        assert_eq!(own, view::trial(row));
        assert_eq!(&own, listed, "lists and single trials have one shape");
    }
    let trial = &listed["trials"][1];
    assert_eq!(trial["reason"]["code"], "ExitCode");
    assert_eq!(trial["reason"]["verdict"], "userCode");
    assert_eq!(trial["command"], "./train");
    assert_eq!(trial["newestMetric"]["value"]["note"], "é\"'");
    let text = get(at, "/api/v2/trials/t1").await.text();
    assert!(
        text.contains(r#""parameters": {"x": 1.50}"#),
        "parameters stay as they were written: {text}"
    );
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let (_world, at, _served) = stored(config()).await;
    let page = |query: &'static str| async move { get(at, &format!("/api/v2/trials?{query}")).await.is(200).json() };
    let first = page("limit=2").await;
    assert_eq!((ids(&first["trials"]), &first["next"]), (vec!["t0", "t1"], &json!(1)));
    let second = page("limit=2&after=1").await;
    assert_eq!((ids(&second["trials"]), &second["next"]), (vec!["t2", "t3"], &json!(3)));
    let last = page("limit=2&after=3").await;
    assert_eq!((ids(&last["trials"]), &last["next"]), (vec!["t4"], &Value::Null));
    assert_eq!(
        ids(&page("limit=5").await["trials"]).len(),
        5,
        "a full last page says that it is the last"
    );
    assert_eq!(page("limit=5").await["next"], Value::Null);
    assert_eq!(ids(&page("status=FAILED,WAITING").await["trials"]), ["t1", "t4"]);
    assert_eq!(ids(&page("id=t3,none,t0").await["trials"]), ["t0", "t3"]);
    assert_eq!(
        ids(&page("id=").await["trials"]).len(),
        0,
        "what is no id names no trial"
    );
    let brief = page("fields=summary&limit=1").await;
    let mut keys: Vec<&String> = brief["trials"][0].as_object().unwrap().keys().collect();
    keys.sort();
    let expected = [
        "createdAt",
        "endedAt",
        "finalNumber",
        "id",
        "nMetrics",
        "newestMetric",
        "parameters",
        "reason",
        "sequenceId",
        "startedAt",
        "status",
        "url",
    ];
    assert_eq!(keys, expected);
    for bad in [
        "status=NONE",
        "status=",
        "limit=x",
        "limit=0",
        "limit=10001",
        "unknown=1",
        "fields=x",
        "after=-1",
        "after=4294967296",
        "limit=1&limit=2",
    ] {
        let error = get(at, &format!("/api/v2/trials?{bad}")).await.is(400).json();
        assert_eq!(error["error"]["kind"], "config", "{error}");
        assert!(error["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn metrics_of_one_and_curves_of_many() {
    let (_world, at, _served) = stored(config()).await;
    let all = get(at, "/api/v2/trials/t0/metrics").await.is(200).json();
    assert_eq!(all["metrics"].as_array().unwrap().len(), 3);
    assert_eq!(all["metrics"][1]["value"], "NaN");
    assert_eq!(all["metrics"][1]["number"], Value::Null);
    let first = get(at, "/api/v2/trials/t0/metrics?limit=1&kind=PERIODICAL")
        .await
        .json();
    assert_eq!(
        (first["metrics"][0]["sequence"].clone(), first["next"].clone()),
        (json!(0), json!(1))
    );
    let second = get(at, "/api/v2/trials/t0/metrics?limit=1&kind=PERIODICAL&after=1")
        .await
        .json();
    assert_eq!(
        (second["metrics"][0]["sequence"].clone(), second["next"].clone()),
        (json!(1), Value::Null)
    );
    assert_eq!(
        get(at, "/api/v2/trials/t0/metrics?kind=FINAL").await.json()["metrics"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    get(at, "/api/v2/trials/t0/metrics?kind=x").await.is(400);
    get(at, "/api/v2/trials/t0/metrics?after=9223372036854775808")
        .await
        .is(400);
    get(at, "/api/v2/trials/none/metrics").await.is(404);

    let curves = get(at, "/api/v2/metrics?limit=2").await.is(200).json();
    assert_eq!(
        curves,
        json!({
            "trials": [
                {"id": "t0", "sequenceId": 0, "values": [0.5, null]},
                {"id": "t1", "sequenceId": 1, "values": [0.5, null]},
            ],
            "next": 1,
        })
    );
    let rest = get(at, "/api/v2/metrics?after=3").await.json();
    assert_eq!(
        rest,
        json!({"trials": [{"id": "t4", "sequenceId": 4, "values": []}], "next": null})
    );
}

#[tokio::test]
async fn what_is_not_there_is_404_with_words_and_what_cannot_be_done_is_405() {
    let (_world, at, _served) = stored(config()).await;
    for path in [
        "/",
        "/api/v2/nothing",
        "/api/v2/trials/none",
        "/api/v2/trials/%00",
        "/api/v2/trials/%ff",
        "/api/v2/trials/..",
        "/api/v3",
    ] {
        let error = get(at, path).await.is(404).json();
        assert_eq!(error["error"]["kind"], "notFound", "{path}");
    }
    crate::client::send(at, "DELETE", "/api/v2/experiment", &[], b"")
        .await
        .is(405);
}

/// Proportional to the answer: what a reply holds is what was asked for, however much there is.
#[tokio::test]
async fn pages_of_ten_thousand_trials_are_whole_and_small() {
    let world = World::new(config(), limits(2, 10_000));
    let store = world.store();
    for thousand in 0..10u32 {
        let mut changes = Vec::new();
        for n in thousand * 1000..(thousand + 1) * 1000 {
            let parameters = format!(r#"{{"parameter_id": {n}, "parameters": {{"x": 0.5}}}}"#);
            changes.push(Change::created(world.spec(n, &parameters), ts_core::Timestamp(1)));
            changes.push(metric(&id(n), 1, MetricKind::Intermediate, 0, "1"));
            changes.push(metric(&id(n), 2, MetricKind::Final, 0, "2"));
        }
        store.apply(changes).await.unwrap();
    }
    let (at, _served) = world.serve_stored(&Listen::on_port(0));
    let (mut after, mut n_trials, mut n_pages) = (String::new(), 0, 0);
    loop {
        let reply = get(at, &format!("/api/v2/trials?fields=summary&limit=3000{after}"))
            .await
            .is(200);
        assert!(reply.body.len() < 3000 * 400, "{} bytes", reply.body.len());
        let page = reply.json();
        n_trials += page["trials"].as_array().unwrap().len();
        n_pages += 1;
        match page["next"].as_u64() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!((n_trials, n_pages), (10_000, 4));
    let all = get(at, "/api/v1/nni/trial-jobs").await.is(200).json();
    assert_eq!(all.as_array().unwrap().len(), 10_000);
    let latest = get(at, "/api/v1/nni/metric-data-latest").await.is(200).json();
    assert_eq!(latest.as_array().unwrap().len(), 20_000);
    let range = get(at, "/api/v1/nni/metric-data-range/100/119").await.is(200);
    assert_eq!(range.json().as_array().unwrap().len(), 40);
    assert!(range.body.len() < 40 * 200, "{} bytes", range.body.len());
}

#[tokio::test]
async fn numbers_for_prometheus() {
    let (_world, at, _served) = stored(config()).await;
    let reply = get(at, "/metrics").await.is(200);
    assert_eq!(
        reply.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = reply.text();
    for line in [
        "# TYPE ts_trials gauge",
        "ts_trials{experiment=\"exp\",status=\"FAILED\"} 1",
        "ts_trials{experiment=\"exp\",status=\"SUCCEEDED\"} 1",
        "ts_experiment_status{experiment=\"exp\",status=\"RUNNING\"} 1",
        "ts_experiment_status{experiment=\"exp\",status=\"DONE\"} 0",
        "ts_best_result{experiment=\"exp\"} 0.25",
        "ts_store_revision{experiment=\"exp\"} 6",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    let page = include_str!("../../../../docs/telemetry.md");
    for (name, kind) in text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
    {
        let row = format!("| `{name}` | {kind} |");
        assert!(page.contains(&row), "docs/telemetry.md lacks: {row}");
    }
}

/// Also where a trial reports on behind its result, or only one kind.
#[tokio::test]
async fn the_newest_of_each_kind_is_found_in_whatever_order_they_came() {
    let world = World::new(config(), limits(2, 5));
    let (periodical, last) = (MetricKind::Intermediate, MetricKind::Final);
    let orders: [&[(MetricKind, &str)]; 5] = [
        &[(periodical, "1"), (last, "2"), (periodical, "3")],
        &[(last, "1"), (last, "2")],
        &[(periodical, "1"), (periodical, "2")],
        &[],
        &[(periodical, "1"), (last, "2"), (periodical, "3"), (last, "4")],
    ];
    for (n, metrics) in (0u32..).zip(orders) {
        let mut changes = vec![Change::created(world.spec(n, "{}"), ts_core::Timestamp(1))];
        for (seq, (kind, value)) in (1..).zip(metrics) {
            changes.push(metric(&id(n), seq, *kind, 0, value));
        }
        changes.push(crate::world::status(&id(n), 5, ts_core::TrialStatus::Running, None));
        changes.push(crate::world::status(&id(n), 6, ts_core::TrialStatus::Succeeded, None));
        world.store().apply(changes).await.unwrap();
    }
    let (at, _served) = world.serve_stored(&Listen::on_port(0));
    let latest = get(at, "/api/v1/nni/metric-data-latest").await.json();
    let latest: Vec<String> = latest
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            format!(
                "{} {}",
                m["trialJobId"].as_str().unwrap(),
                m["data"].as_str().unwrap().replace('"', "")
            )
        })
        .collect();
    assert_eq!(latest, ["t0 2", "t0 3", "t1 2", "t2 2", "t4 3", "t4 4"]);
    let trials = get(at, "/api/v1/nni/trial-jobs").await.json();
    let results: Vec<Option<&str>> = trials
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["finalMetricData"][0]["data"].as_str())
        .collect();
    assert_eq!(results, [Some("\"2\""), Some("\"2\""), None, None, Some("\"4\"")]);
    let trials = get(at, "/api/v2/trials").await.json();
    assert_eq!(trials["trials"][0]["finalValue"], 2);
    assert_eq!(trials["trials"][0]["newestMetric"]["value"], 3);
}
