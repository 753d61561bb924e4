//! Trials that asked for further parameters, as both APIs show them.

use crate::{
    client::get,
    world::{config, id, stored},
};
use serde_json::{Value, json};
use ts_manager::store::Change;

#[tokio::test]
async fn nnis_clients_see_all_parameters_and_of_which_a_metric_is() {
    let (world, at, _served) = stored(config()).await;
    world.fill_phases().await;
    let read = async |path: &str| -> Value { get(at, &format!("/api/v1/nni{path}")).await.is(200).json() };
    let trial = read("/trial-jobs/t2").await;
    let ids: Vec<Value> = trial["hyperParameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap()["parameter_id"].clone())
        .collect();
    assert_eq!(ids, [json!(2), json!(17)], "without the word that there are no more");
    assert_eq!(trial["finalMetricData"][0]["parameterId"], "2", "the better result");
    let of = |metrics: &Value| -> Vec<(Value, Value)> {
        let metrics = metrics.as_array().unwrap().iter();
        let of_trial = metrics.filter(|metric| metric["trialJobId"] == "t2" && metric["type"] == "FINAL");
        of_trial
            .map(|m| (m["parameterId"].clone(), m["data"].clone()))
            .collect()
    };
    let first = json!(serde_json::to_string(r#"{"default": 0.25, "note": "é\"'"}"#).unwrap());
    let second = json!("\"0.75\"");
    let both = [(json!("2"), first), (json!("17"), second.clone())];
    for path in ["/metric-data", "/metric-data/t2", "/metric-data-range/2/2"] {
        assert_eq!(of(&read(path).await), both, "{path}");
    }
    assert_eq!(of(&read("/metric-data-latest").await), [(json!("17"), second)]);
    let exported = read("/export-data").await;
    let rows: Vec<_> = exported
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["trialJobId"] == "t2")
        .map(|row| (row["parameter"]["x"].clone(), row["value"].clone()))
        .collect();
    assert_eq!(rows[1], (json!(9), json!("0.75")));
    assert_eq!((rows.len(), &rows[0].0), (2, &json!(2.5)));
}

#[tokio::test]
async fn our_own_shows_phases_where_there_are_any() {
    let (world, at, _served) = stored(config()).await;
    world.fill_phases().await;
    let read = async |path: &str| -> Value { get(at, &format!("/api/v2{path}")).await.is(200).json() };
    let trial = read("/trials/t2").await;
    assert_eq!(read("/trials?id=t2").await["trials"][0], trial);
    let phases = trial["phases"].as_array().unwrap();
    assert_eq!(phases.len(), 3);
    assert_eq!(
        (&phases[0]["finalNumber"], &phases[1]["finalNumber"]),
        (&json!(0.25), &json!(0.75))
    );
    assert_eq!(phases[1]["parameters"]["parameters"], json!({"x": 9}));
    assert_eq!(phases[2]["parameters"]["parameters"], Value::Null);
    assert_eq!(trial["finalNumber"], 0.25, "the better one");
    assert_eq!(
        trial["parameters"]["parameters"],
        json!({"x": 2.5}),
        "of the better one"
    );
    let metrics = read("/trials/t2/metrics?kind=FINAL").await;
    assert!(metrics["metrics"][0].get("parameterIndex").is_none());
    assert_eq!(metrics["metrics"][1]["parameterIndex"], 1);
    assert!(read("/trials/t0").await.get("phases").is_none());
    let chosen = Change::ResultChosen { trial: id(2), index: 1 };
    world.store().apply(vec![chosen]).await.unwrap();
    for path in ["/trials?id=t2&fields=all", "/trials?id=t2&fields=summary"] {
        let trial = &read(path).await["trials"][0];
        assert_eq!(
            (&trial["finalNumber"], &trial["parameters"]["parameters"]),
            (&json!(0.75), &json!({"x": 9}))
        );
    }
    assert_eq!(read("/trials/t2").await["parameters"]["parameters"], json!({"x": 9}));
}
