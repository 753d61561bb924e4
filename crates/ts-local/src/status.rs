//! Reads what a trial left on disk about its end. What that means for its status is `ts_core::follow`'s.
//!
//! Only facts decide: `.nni/state` as the launch script wrote it, `.nni/cancel` as `cancel` wrote it. When to look is
//! `supervise`'s and `recover`'s business.

use std::path::Path;
use ts_core::{
    CancelReason, LogKind, Timestamp,
    follow::{End, STDERR_TAIL, of_exit, of_lost, tail},
    launch::{self, TrialPaths},
};

/// The end of a trial whose shell is gone and that nobody asked to end.
///
/// `signal` is what ended the shell, if it was a child of ours.
pub(crate) fn of_ended(paths: &TrialPaths, signal: Option<i32>, now: Timestamp) -> End {
    let Some(exit) = std::fs::read_to_string(paths.state())
        .ok()
        .and_then(|text| launch::parse_state(&text))
    else {
        let message = match signal {
            Some(signal) => format!("the trial's shell was killed by signal {signal} and left no exit code"),
            None => "the trial's shell is gone and left no exit code".to_owned(),
        };
        let unblock = "look for a restart of the machine, a full disk, or whoever killed it; then retry the trial";
        return of_lost(message, unblock, now);
    };
    let at = exit.at.or_else(|| modified(&paths.state())).unwrap_or(now);
    let tail = match exit.code {
        0 => String::new(),
        _ => tail(&paths.log(LogKind::Stderr), STDERR_TAIL).unwrap_or_default(),
    };
    of_exit(exit.code, &tail, at)
}

/// The request to end that is on disk, if there is one. One that cannot be read counts as the user's.
pub(crate) fn cancel_intent(paths: &TrialPaths) -> Option<CancelReason> {
    let text = std::fs::read_to_string(paths.cancel()).ok()?;
    Some(CancelReason::parse(text.trim()).unwrap_or(CancelReason::User))
}

/// When a file was last written.
pub(crate) fn modified(path: &Path) -> Option<Timestamp> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp)
}
