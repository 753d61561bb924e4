//! `explain`: why a trial waits, or how it ended and whose doing that was.

use super::{logs, now};
use crate::{
    cli::Trial,
    environment::Environment,
    exit::Exit,
    load::Failure,
    locate,
    output::Output,
    render::{json, span, table, trial},
};
use serde_json::json;
use ts_core::{LogKind, ReasonCode, TrialStatus, Verdict};
use ts_manager::store::TrialRow;

/// Lines of standard error that are shown.
const LINES: usize = 10;

/// Explains the state of a trial.
pub(crate) fn explain(environment: &Environment, output: &Output, args: &Trial) -> Result<Exit, Failure> {
    let found = locate::trial(environment, output, args.experiment.as_deref(), &args.trial)?;
    let row = &found.row;
    let stderr = match row.status {
        TrialStatus::Waiting => Vec::new(),
        _ => logs::tail(row, LogKind::Stderr, LINES),
    };
    let directory = logs::directory(row);
    let mut object = json::trial(row);
    object["summary"] = json!(summary(row));
    object["directory"] = json!(directory);
    object["stderrTail"] = json!(stderr);
    output.data(&json!({ "trial": object }), || {
        let why = row.reason.as_ref();
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        table::facts([
            ("trial", format!("#{} {}", row.spec.sequence_id, row.spec.id)),
            ("status", format!("{}: {}", row.status, summary(row))),
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

/// The state in a sentence.
fn summary(row: &TrialRow) -> &'static str {
    let code = row.reason.as_ref().map(|why| why.code);
    match (row.status, code.and_then(ReasonCode::verdict)) {
        (TrialStatus::Waiting, _) if !row.submitted => "it has not been submitted yet",
        (TrialStatus::Waiting, _) => "it waits for the platform",
        (TrialStatus::Running, _) if row.cancel_requested.is_some() => "it runs and was asked to end",
        (TrialStatus::Running, _) => "it runs",
        (TrialStatus::Succeeded, _) if row.final_value.is_none() => "it ended well but reported no final result",
        (TrialStatus::Succeeded, _) => "it ended well",
        (TrialStatus::UserCanceled, _) => "it was canceled",
        (TrialStatus::EarlyStopped, _) => "it was stopped early",
        (TrialStatus::SysCanceled, _) => "the platform ended it",
        (TrialStatus::Failed, Some(Verdict::UserCode)) => "its own code failed",
        (TrialStatus::Failed, Some(Verdict::Memory)) => "memory ran out",
        (TrialStatus::Failed, Some(Verdict::Platform)) => "the platform failed",
        (TrialStatus::Failed, Some(Verdict::Configuration)) => "the configuration kept it from running",
        (TrialStatus::Failed, _) => "it failed, and nothing says why",
        _ => "the platform cannot be asked about it at present",
    }
}
