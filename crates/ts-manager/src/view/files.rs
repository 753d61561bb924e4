//! What a trial's state means in a sentence, and its files where this machine has them.

use super::trial;
use crate::store::TrialRow;
use serde_json::{Value, json};
use std::path::PathBuf;
use ts_core::{LogKind, ReasonCode, TrialStatus, Verdict, follow};

/// Lines of standard error that an explanation has.
const LINES: usize = 10;

/// The trial's directory, where it is one of this machine.
///
/// Source: nni v1.9, `localTrainingService.ts`: `file://localhost:` and the path; other platforms name a host.
pub fn directory(url: Option<&str>) -> Option<PathBuf> {
    let rest = url?.strip_prefix("file://localhost")?;
    let path = PathBuf::from(rest.trim_start_matches(':'));
    path.is_absolute().then_some(path)
}

/// The last lines of a trial's log, where its files are on this machine.
pub fn tail(row: &TrialRow, kind: LogKind, n_lines: usize) -> Vec<String> {
    const MOST: u32 = 8 * 1024;
    let text = directory(row.url.as_deref()).and_then(|dir| follow::tail(&dir.join(kind.file_name()), MOST).ok());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(n_lines)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

/// A trial with its state in a sentence, its directory and the end of its standard error. Reads a file.
pub fn explanation(row: &TrialRow) -> Value {
    let stderr = match row.status {
        TrialStatus::Waiting => Vec::new(),
        _ => tail(row, LogKind::Stderr, LINES),
    };
    let mut object = trial::trial(row);
    object["summary"] = json!(summary(row));
    object["directory"] = json!(directory(row.url.as_deref()));
    object["stderrTail"] = json!(stderr);
    object
}

/// The state in a sentence.
pub fn summary(row: &TrialRow) -> &'static str {
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
