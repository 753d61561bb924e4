//! A trial for people: a row of a table, a page of facts, a line of news.

use super::{span, style::Style, table};
use std::fmt::Write;
use ts_core::Timestamp;
use ts_manager::store::TrialRow;

/// Widest value in a table.
const WIDEST: usize = 40;

/// Trials as a table.
pub(crate) fn list(rows: &[TrialRow], now: Timestamp) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["#>", "ID", "STATUS", "RESULT>", "TIME>", "PARAMETERS", "WHY"];
    let cells = rows.iter().map(|row| {
        vec![
            row.spec.sequence_id.to_string(),
            row.spec.id.to_string(),
            row.status.to_string(),
            cut(&result(row), 20),
            run_time(row, now),
            cut(&parameters(row), WIDEST),
            row.reason
                .as_ref()
                .map(|why| cut(&why.message, WIDEST))
                .unwrap_or_default(),
        ]
    });
    table::table(&heads, cells)
}

/// A trial on a page.
pub(crate) fn page(row: &TrialRow, now: Timestamp) -> String {
    let at = |time: Option<Timestamp>| time.map(|t| t.to_string()).unwrap_or_default();
    table::facts([
        ("trial", row.spec.id.to_string()),
        ("number", row.spec.sequence_id.to_string()),
        ("experiment", row.spec.experiment.to_string()),
        ("status", row.status.to_string()),
        (
            "why",
            row.reason.as_ref().map(|r| r.message.clone()).unwrap_or_default(),
        ),
        ("result", result(row)),
        ("metrics", row.n_metrics.to_string()),
        ("parameters", parameters(row)),
        ("command", row.spec.command.clone()),
        (
            "attempt",
            if row.attempt > 1 {
                row.attempt.to_string()
            } else {
                String::new()
            },
        ),
        (
            "retry of",
            row.retry_of.as_ref().map(ToString::to_string).unwrap_or_default(),
        ),
        ("created", at(Some(row.created_at))),
        ("started", at(row.started_at)),
        ("ended", at(row.ended_at)),
        ("ran for", run_time(row, now)),
        ("files", row.url.clone().unwrap_or_default()),
    ])
}

/// News of a trial in one line, for where nothing is redrawn.
pub(crate) fn news(row: &TrialRow, style: Style) -> String {
    let mut line = format!(
        "#{} {} {}",
        row.spec.sequence_id,
        style.name(&row.spec.id),
        style.status(row.status)
    );
    let result = result(row);
    if !result.is_empty() {
        let _ = write!(line, " {}", cut(&result, WIDEST));
    }
    if let Some(why) = &row.reason {
        let _ = write!(line, ": {}", why.message.replace('\n', " "));
    }
    line
}

/// The final result; else, marked as such, the newest intermediate one.
pub(crate) fn result(row: &TrialRow) -> String {
    match (&row.final_value, &row.newest) {
        (Some(value), _) => value.clone(),
        (None, Some(newest)) if !row.status.is_terminal() => format!("({})", newest.value),
        _ => String::new(),
    }
}

/// How long it has run.
pub(crate) fn run_time(row: &TrialRow, now: Timestamp) -> String {
    let began = row.started_at.or(row.ended_at.and(row.submitted_at));
    began
        .map(|began| span::short(row.ended_at.unwrap_or(now).since(began)))
        .unwrap_or_default()
}

/// The parameters proper, those of the result if there are several, without what NNI packs around them.
pub(crate) fn parameters(row: &TrialRow) -> String {
    let text = row.parameters();
    let packed: Option<serde_json::Value> = serde_json::from_str(text).ok();
    match packed.as_ref().and_then(|packed| packed.get("parameters")) {
        Some(inner) => inner.to_string(),
        None => text.to_string(),
    }
}

/// At most so many characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{head}…")
}
