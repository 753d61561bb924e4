//! `explain`: why a trial waits, or how it ended and whose doing that was.

use super::now;
use crate::{
    cli::Trial,
    environment::Environment,
    exit::Exit,
    load::Failure,
    locate,
    output::Output,
    render::{span, table, trial},
};
use serde_json::json;
use ts_manager::{store::TrialRow, view};

/// Explains the state of a trial.
pub(crate) fn explain(environment: &Environment, output: &Output, args: &Trial) -> Result<Exit, Failure> {
    let found = locate::trial(environment, output, args.experiment.as_deref(), &args.trial)?;
    let row = &found.row;
    let object = view::explanation(row);
    let directory = view::directory(row.url.as_deref());
    let stderr: Vec<&str> = object["stderrTail"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|line| line.as_str())
        .collect();
    output.data(&json!({ "trial": object }), || {
        let why = row.reason.as_ref();
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        table::facts([
            ("trial", format!("#{} {}", row.spec.sequence_id, row.spec.id)),
            ("status", format!("{}: {}", row.status, view::summary(row))),
            ("because", text(why.map(|why| why.message.as_str()))),
            ("to do", text(why.and_then(|why| why.unblock.as_deref()))),
            ("reason", text(why.map(|why| why.code.as_str()))),
            (
                "since",
                why.map(|why| format!("{} ({})", why.since, span::ago(now(), why.since)))
                    .unwrap_or_default(),
            ),
            (
                "asked",
                row.cancel_requested
                    .map(|why| format!("to end ({})", why.as_str()))
                    .unwrap_or_default(),
            ),
            ("attempt", attempt(row)),
            ("result", trial::result(row)),
            (
                "files",
                directory.map_or_else(|| text(row.url.as_deref()), |path| path.display().to_string()),
            ),
            ("stderr", stderr.join("\n")),
        ])
    })?;
    Ok(Exit::Success)
}

fn attempt(row: &TrialRow) -> String {
    match &row.retry_of {
        Some(first) => format!("{}, again after {first}", row.attempt),
        None => row.attempt.to_string(),
    }
}
