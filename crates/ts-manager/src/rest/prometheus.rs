//! The experiment in numbers, as Prometheus collects them.
//!
//! Source of the form: <https://prometheus.io/docs/instrumenting/exposition_formats/>, text format 0.0.4.

use super::{answer, error::Failure, state::State};
use crate::store::{ExperimentStatus, StoreReader};
use axum::{extract, response::Response};
use std::fmt::Write as _;
use ts_core::{Result, TrialStatus};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    let shared = state.clone();
    let numbers = move |reader: &StoreReader| reader.snapshot(|reader| text(reader, &shared));
    let text = state.readers.read(numbers).await?;
    Ok(answer::bytes(TEXT, text.into()))
}

/// Ids are letters and digits, so no label needs an escape.
fn text(reader: &StoreReader, state: &State) -> Result<String> {
    let row = reader.experiment()?;
    let counts = reader.counts_by_status()?;
    let experiment = format!("experiment=\"{}\"", row.id);
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
        // Writing to a string does not fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{{{labels}}} {value}");
        }
    };
    let statuses: Vec<_> = ExperimentStatus::ALL
        .iter()
        .map(|status| {
            (
                format!("{experiment},status=\"{status}\""),
                f64::from(u8::from(*status == row.status)),
            )
        })
        .collect();
    family(
        "ts_experiment_status",
        "gauge",
        "1 for the status that the experiment has.",
        &statuses,
    );
    let trials: Vec<_> = TrialStatus::ALL
        .into_iter()
        .map(|status| (format!("{experiment},status=\"{status}\""), counts.of(status) as f64))
        .collect();
    family("ts_trials", "gauge", "Trials by status.", &trials);
    let one = |value| [(experiment.clone(), value)];
    family(
        "ts_experiment_running_seconds_total",
        "counter",
        "Time that the experiment has run, over all resumes.",
        &one(state.duration(&row).as_secs_f64()),
    );
    family(
        "ts_trial_concurrency",
        "gauge",
        "Most trials at a time.",
        &one(f64::from(row.limits.concurrency)),
    );
    if let Some(best) = reader.best(state.optimize)?.and_then(|best| best.final_number) {
        family("ts_best_result", "gauge", "Best final result so far.", &one(best));
    }
    family(
        "ts_store_revision",
        "counter",
        "Revision of the store; grows with every stored change.",
        &one(row.revision as f64),
    );
    Ok(out)
}
