//! How long the HTTP API takes for the lists that NNI's page asks for every ten seconds, over a million metrics.

use super::{
    Bench,
    table::{Row, at_most},
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

const METRICS: usize = 100;
const MILLISECONDS: f64 = 50.0;
const EVENT_MILLISECONDS: f64 = 20.0;
/// Routes that read something of every trial.
const ROUTES: [&str; 2] = ["/api/v1/nni/trial-jobs", "/api/v1/nni/metric-data-latest"];

/// Runs the example `rest_speed`.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let trials = bench.count(10_000);
    let mut example = Command::new(bench.examples.join("rest_speed"));
    let text = crate::shell::output(example.arg(trials.to_string()).arg(METRICS.to_string()))?;
    let report: Value = serde_json::from_str(&text)?;
    let row = |route: &str| {
        let ms = report[route]["milliseconds"]
            .as_f64()
            .with_context(|| format!("`rest_speed` tells nothing of {route}"))?;
        Ok(Row {
            what: format!("{route} of {trials} trials and {} metrics", trials * METRICS),
            ours: format!("{ms:.1} ms"),
            beside: "–".to_owned(),
            target: format!("{MILLISECONDS:.0} ms"),
            outcome: at_most(ms, MILLISECONDS),
        })
    };
    let mut rows = ROUTES.into_iter().map(row).collect::<Result<Vec<_>>>()?;
    let [median, longest] = ["milliseconds", "longest"].map(|name| report["events"][name].as_f64());
    let (median, longest) = median.zip(longest).context("`rest_speed` tells nothing of events")?;
    rows.push(Row {
        what: "From a trial's report to whoever listens to events, median (longest) of 200".to_owned(),
        ours: format!("{median:.1} ms ({longest:.1} ms)"),
        beside: "–".to_owned(),
        target: format!("{EVENT_MILLISECONDS:.0} ms"),
        outcome: at_most(median, EVENT_MILLISECONDS),
    });
    Ok(rows)
}
