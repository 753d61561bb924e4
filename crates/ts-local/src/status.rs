//! From what a trial left on disk to its status: exit code, verdict, cancel.
//!
//! Only facts decide: `.nni/state` as the launch script wrote it, `.nni/cancel` as `cancel` wrote it. When to look is
//! `supervise`'s and `recover`'s business.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};
use ts_core::{
    CancelReason, LogKind, Reason, ReasonCode, Timestamp, TrialStatus, judge,
    launch::{self, TrialPaths},
};

/// Bytes of standard error that a verdict looks at.
const STDERR_TAIL: i64 = 4096;

/// The end of a trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) status: TrialStatus,
    pub(crate) at: Timestamp,
    pub(crate) why: Option<Reason>,
}

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
        let reason = Reason::new(ReasonCode::Lost, message, now)
            .unblocked_by("look for a restart of the machine, a full disk, or whoever killed it; then retry the trial");
        return End {
            status: TrialStatus::Failed,
            at: now,
            why: Some(reason),
        };
    };
    let at = exit.at.or_else(|| modified(&paths.state())).unwrap_or(now);
    if exit.code == 0 {
        return End {
            status: TrialStatus::Succeeded,
            at,
            why: None,
        };
    }
    let tail = tail_of(&paths.log(LogKind::Stderr)).unwrap_or_default();
    End {
        status: TrialStatus::Failed,
        at,
        why: judge(exit.code, &tail, at),
    }
}

/// The end of a trial that was asked to end, once its tree is gone; `leaked` lists survivors of SIGKILL.
pub(crate) fn of_canceled(why: CancelReason, leaked: &[rustix::process::Pid], now: Timestamp) -> End {
    let reason = if leaked.is_empty() {
        let (code, message) = match why {
            CancelReason::EarlyStop => (ReasonCode::EarlyStopped, "stopped early: its results were poor"),
            CancelReason::TimeLimit => (ReasonCode::TimeLimit, "stopped: its time was over"),
            CancelReason::Shutdown => (ReasonCode::Canceled, "canceled: the experiment was stopped"),
            _ => (ReasonCode::Canceled, "canceled by the user"),
        };
        Reason::new(code, message, now)
    } else {
        let pids: Vec<String> = leaked.iter().map(ToString::to_string).collect();
        Reason::new(
            ReasonCode::Leaked,
            format!(
                "processes survive SIGKILL, most often in uninterruptible I/O: {}",
                pids.join(", ")
            ),
            now,
        )
        .unblocked_by("they end when their I/O does; look at hung mounts and GPU drivers")
    };
    End {
        status: why.status(),
        at: now,
        why: Some(reason),
    }
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

fn tail_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    if file.seek(SeekFrom::End(-STDERR_TAIL)).is_err() {
        file.rewind()?; // shorter than that
    }
    let mut tail = Vec::new();
    file.take(STDERR_TAIL.unsigned_abs()).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}
