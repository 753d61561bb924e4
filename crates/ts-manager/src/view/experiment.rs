//! An experiment with its counts and its best trial.

use super::{JsonText, Time};
use crate::{
    ManagerProcess,
    store::{ExperimentRow, Optimize, StoreReader},
};
use serde_json::{Map, Value, json};
use std::{path::Path, time::Duration};
use ts_core::{Result, Timestamp};

/// An experiment with its counts and its best trial, all of one state of the store; `now` tells for how long it has run.
///
/// # Errors
/// Those of reading the store.
pub fn experiment(
    reader: &StoreReader,
    optimize: Optimize,
    directory: &Path,
    manager: Option<ManagerProcess>,
    now: Timestamp,
) -> Result<Value> {
    reader.snapshot(|reader| {
        let row = reader.experiment()?;
        let counts = reader.counts_by_status()?;
        let by_status: Map<String, Value> = counts.iter().map(|(s, n)| (s.to_string(), n.into())).collect();
        let best = reader.best(optimize)?;
        let mut object = header(&row, row.duration_at(now, manager.is_some()));
        object["directory"] = json!(directory);
        object["managerRunning"] = json!(manager.is_some());
        object["managerPid"] = json!(manager.and_then(|m| m.pid));
        object["limits"] = json!(row.limits);
        object["trials"] = json!({ "total": counts.total(), "ended": counts.ended(), "byStatus": by_status });
        object["best"] = best.map_or(Value::Null, |best| {
            json!({
                "trialId": best.spec.id,
                "sequenceId": best.spec.sequence_id,
                "value": best.final_value.as_deref().map(JsonText),
                "number": best.final_number,
            })
        });
        object["revision"] = json!(row.revision);
        object["optimize"] = json!(optimize);
        object["platform"] = json!(platform(&row));
        object["searchSpace"] = row.config["searchSpace"].clone();
        Ok(object)
    })
}

/// What the experiment's own row says.
fn header(row: &ExperimentRow, duration: Duration) -> Value {
    json!({
        "id": row.id,
        "name": row.config["resolved"]["experimentName"],
        "status": row.status,
        "message": row.message,
        "createdAt": Time(row.created),
        "startedAt": row.started.map(Time),
        "endedAt": row.ended.map(Time),
        "durationMs": u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Which result counts as best, from the stored configuration; NNI maximizes where nothing is said.
pub fn optimize(row: &ExperimentRow) -> Optimize {
    let resolved = &row.config["resolved"];
    ["tuner", "advisor", "assessor"]
        .iter()
        .find_map(|key| Optimize::parse(resolved[key]["classArgs"]["optimize_mode"].as_str()?))
        .unwrap_or(Optimize::Maximize)
}

/// Where trials run, from the stored configuration: the platform's name, or `hybrid` for several.
pub fn platform(row: &ExperimentRow) -> Option<&str> {
    let resolved = &row.config["resolved"];
    match &resolved["trainingService"] {
        Value::Array(several) if several.len() > 1 => Some("hybrid"),
        Value::Array(one) => one.first()?["platform"].as_str(),
        section => section["platform"]
            .as_str()
            .or_else(|| resolved["trainingServicePlatform"].as_str()),
    }
}
