//! The view of a running experiment that is redrawn in place: progress, best value, time left, running trials.
//!
//! Makes lines; drawing them is `follow`'s.

use super::{experiment::State, span, style::Style, trial};
use std::fmt::Write;
use std::time::Duration;
use ts_core::{Timestamp, TrialStatus};
use ts_manager::store::TrialRow;

/// Most trials that are shown.
pub(crate) const MOST_ROWS: usize = 12;
const BAR: usize = 24;

/// The lines of the view.
pub(crate) fn lines(state: &State, live: &[TrialRow], elapsed: Duration, now: Timestamp, style: Style) -> Vec<String> {
    let ended = state.counts.ended();
    let max = state.row.limits.max_trials.map(u64::from);
    let mut head = format!("{} {}", style.name(&state.row.id), state.row.status);
    if let Some(max) = max {
        let _ = write!(head, "  {} {ended}/{max}", bar(ended, max));
    } else {
        let _ = write!(head, "  {ended} ended");
    }
    let _ = write!(head, "  {}", span::short(elapsed));
    if let Some(left) = time_left(state, elapsed) {
        let _ = write!(head, "  {} left", span::short(left));
    }
    let mut lines = vec![head];
    let counts: Vec<String> = state
        .counts
        .iter()
        .map(|(status, n)| format!("{n} {}", style.status(status)))
        .collect();
    lines.push(format!("  {}", counts.join("  ")));
    if state.best.is_some() {
        lines.push(format!("  best {}", state.best()));
    }
    for row in live.iter().take(MOST_ROWS) {
        let why = match (&row.reason, row.status) {
            (Some(why), TrialStatus::Waiting | TrialStatus::Unknown) => why.message.replace('\n', " "),
            _ => trial::result(row),
        };
        lines.push(format!(
            "  #{:<5} {} {} {:>7}  {}",
            row.spec.sequence_id,
            row.spec.id,
            style.status(row.status),
            trial::run_time(row, now),
            trial::cut(&why, 60),
        ));
    }
    if live.len() > MOST_ROWS {
        lines.push(format!(
            "  {}",
            style.faint(format_args!("and {} more", live.len() - MOST_ROWS))
        ));
    }
    lines
}

fn bar(done: u64, of: u64) -> String {
    let filled = usize::try_from(done.min(of) * BAR as u64 / of.max(1)).unwrap_or(BAR);
    format!("[{}{}]", "#".repeat(filled), ".".repeat(BAR - filled))
}

/// From the pace so far, within what the time limit leaves.
fn time_left(state: &State, elapsed: Duration) -> Option<Duration> {
    let by_time = state
        .row
        .limits
        .max_duration_ms
        .map(|max| Duration::from_millis(max).saturating_sub(elapsed));
    let ended = state.counts.ended();
    let by_trials = state.row.limits.max_trials.filter(|_| ended > 0).map(|max| {
        let left = u64::from(max).saturating_sub(ended);
        elapsed.mul_f64(left as f64 / ended as f64)
    });
    // NNI's default of 999 days is no estimate.
    [by_time, by_trials]
        .into_iter()
        .flatten()
        .min()
        .filter(|left| left.as_secs() < 100 * 86400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_never_longer_than_itself() {
        assert_eq!(bar(0, 4), format!("[{}]", ".".repeat(24)));
        assert_eq!(bar(2, 4), format!("[{}{}]", "#".repeat(12), ".".repeat(12)));
        assert_eq!(bar(9, 4), format!("[{}]", "#".repeat(24)));
        assert_eq!(bar(0, 0), format!("[{}]", ".".repeat(24)));
    }
}
