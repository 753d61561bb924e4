//! `show` and `metrics`: one trial.

use super::now;
use crate::{
    cli::Trial,
    environment::Environment,
    exit::Exit,
    load::Failure,
    locate,
    output::Output,
    render::{json, table, trial},
};
use serde_json::{Value, json};
use ts_manager::store::MetricKind;

/// Shows a trial.
pub(crate) fn show(environment: &Environment, output: &Output, args: &Trial) -> Result<Exit, Failure> {
    let found = locate::trial(environment, output, args.experiment.as_deref(), &args.trial)?;
    output.data(&json!({ "trial": json::trial(&found.row) }), || {
        trial::page(&found.row, now())
    })?;
    Ok(Exit::Success)
}

/// Prints the metrics of a trial, in its order.
pub(crate) fn metrics(environment: &Environment, output: &Output, args: &Trial) -> Result<Exit, Failure> {
    let found = locate::trial(environment, output, args.experiment.as_deref(), &args.trial)?;
    let metrics = found.reader.metrics(&found.row.spec.id, None)?;
    let objects: Vec<Value> = metrics.iter().map(json::metric).collect();
    output.data(&json!({ "trialId": found.row.spec.id, "metrics": objects }), || {
        if metrics.is_empty() {
            return String::new();
        }
        let rows = metrics.iter().map(|metric| {
            let kind = match metric.kind {
                MetricKind::Final => "final".to_owned(),
                _ => metric.sequence.to_string(),
            };
            vec![kind, metric.at.to_string(), metric.value.clone()]
        });
        table::table(&["#>", "AT", "VALUE"], rows)
    })?;
    Ok(Exit::Success)
}
