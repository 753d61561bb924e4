//! Experiments and trials as JSON, with names that stay. Times are RFC 3339 in UTC.

use serde_json::{Map, Value, json};
use ts_core::{ErrorKind, Reason, Result, Timestamp};
use ts_manager::store::{ExperimentRow, Metric, MetricKind, Optimize, StoreReader, TrialRow};

/// An experiment with its counts and its best trial.
pub(crate) fn experiment(
    reader: &StoreReader,
    optimize: Optimize,
    directory: &std::path::Path,
    manager: Option<ts_manager::ManagerProcess>,
) -> Result<Value> {
    reader.snapshot(|reader| {
        let row = reader.experiment()?;
        let counts = reader.counts_by_status()?;
        let by_status: Map<String, Value> = counts.iter().map(|(s, n)| (s.to_string(), n.into())).collect();
        let best = reader.best(optimize)?;
        let mut object = header(&row);
        object["directory"] = json!(directory);
        object["managerRunning"] = json!(manager.is_some());
        object["managerPid"] = json!(manager.and_then(|m| m.pid));
        object["limits"] = json!(row.limits);
        object["trials"] = json!({ "total": counts.total(), "ended": counts.ended(), "byStatus": by_status });
        object["best"] = best.map_or(Value::Null, |best| {
            json!({
                "trialId": best.spec.id,
                "sequenceId": best.spec.sequence_id,
                "value": value(best.final_value.as_deref()),
                "number": best.final_number,
            })
        });
        Ok(object)
    })
}

/// What the experiment's own row says.
fn header(row: &ExperimentRow) -> Value {
    json!({
        "id": row.id,
        "name": row.config["resolved"]["experimentName"],
        "status": row.status,
        "message": row.message,
        "createdAt": time(Some(row.created)),
        "startedAt": time(row.started),
        "endedAt": time(row.ended),
        "durationMs": crate::load::milliseconds(row.duration),
    })
}

/// A trial.
pub(crate) fn trial(row: &TrialRow) -> Value {
    json!({
        "id": row.spec.id,
        "experimentId": row.spec.experiment,
        "sequenceId": row.spec.sequence_id,
        "status": row.status,
        "reason": row.reason.as_ref().map(reason),
        "cancelRequested": row.cancel_requested,
        "attempt": row.attempt,
        "retryOf": row.retry_of,
        "parameters": text(&row.spec.parameters.text),
        "command": row.spec.command,
        "url": row.url,
        "createdAt": time(Some(row.created_at)),
        "submittedAt": time(row.submitted_at),
        "startedAt": time(row.started_at),
        "endedAt": time(row.ended_at),
        "nMetrics": row.n_metrics,
        "newestMetric": row.newest.as_ref().map(metric),
        "finalValue": value(row.final_value.as_deref()),
        "finalNumber": row.final_number,
    })
}

/// Why a trial waits or ended so.
pub(crate) fn reason(reason: &Reason) -> Value {
    json!({
        "code": reason.code,
        "message": reason.message,
        "unblock": reason.unblock,
        "since": time(Some(reason.since)),
        "verdict": reason.code.verdict(),
    })
}

/// A metric. `value` is the JSON that the trial wrote; what is no JSON, such as `NaN`, is a string.
pub(crate) fn metric(metric: &Metric) -> Value {
    json!({
        "kind": match metric.kind { MetricKind::Final => "FINAL", _ => "PERIODICAL" },
        "sequence": metric.sequence,
        "at": time(Some(metric.at)),
        "value": text(&metric.value),
        "number": metric.number,
    })
}

/// JSON text as a value; a string of it where it is no JSON.
pub(crate) fn text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn value(of: Option<&str>) -> Value {
    of.map_or(Value::Null, text)
}

/// RFC 3339 or null.
pub(crate) fn time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| Value::String(at.to_string()))
}

/// An experiment whose store cannot be read.
pub(crate) fn unreadable(id: &ts_core::ExperimentId, directory: &std::path::Path, error: &ts_core::Error) -> Value {
    let status = match error.kind() {
        ErrorKind::NotFound => "GONE",
        _ => "UNREADABLE",
    };
    json!({ "id": id, "status": status, "message": error.message(), "directory": directory })
}
