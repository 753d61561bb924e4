//! From the facts of an ending to a trial's status: exit code, verdict, cancel.
//!
//! Where the facts come from is each platform's own.

use super::reason_of;
use crate::{CancelReason, Error, Reason, ReasonCode, Timestamp, TrialStatus, judge};

/// Bytes of standard error that a verdict looks at.
pub const STDERR_TAIL: u32 = 4096;

/// The end of a trial.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the three facts of an end; platforms take it apart"
)]
pub struct End {
    /// A terminal status.
    pub status: TrialStatus,
    /// When it ended.
    pub at: Timestamp,
    /// Why, unless it succeeded.
    pub why: Option<Reason>,
}

/// The end of a trial whose command ended by itself with this exit code.
pub fn of_exit(code: i32, stderr_tail: &str, at: Timestamp) -> End {
    if code == 0 {
        return End {
            status: TrialStatus::Succeeded,
            at,
            why: None,
        };
    }
    End {
        status: TrialStatus::Failed,
        at,
        why: judge(code, stderr_tail, at),
    }
}

/// The end of a trial that left no exit code: what happened, and what to do.
pub fn of_lost(message: impl Into<String>, unblock: impl Into<String>, now: Timestamp) -> End {
    End {
        status: TrialStatus::Failed,
        at: now,
        why: Some(Reason::new(ReasonCode::Lost, message, now).unblocked_by(unblock)),
    }
}

/// The end of a trial whose job the platform does not take, for good.
pub fn of_refused(error: &Error, now: Timestamp) -> End {
    End {
        status: TrialStatus::Failed,
        at: now,
        why: Some(reason_of(ReasonCode::StartRefused, error, now)),
    }
}

/// The end of a trial that was asked to end, once its tree is gone; `leaked` lists survivors of SIGKILL.
pub fn of_canceled(why: CancelReason, leaked: &[u32], now: Timestamp) -> End {
    let reason = if leaked.is_empty() {
        let (code, message) = match why {
            CancelReason::EarlyStop => (ReasonCode::EarlyStopped, "stopped early: its results were poor"),
            CancelReason::TimeLimit => (ReasonCode::TimeLimit, "stopped: its time was over"),
            CancelReason::Shutdown => (ReasonCode::Canceled, "canceled: the experiment was stopped"),
            CancelReason::User => (ReasonCode::Canceled, "canceled by the user"),
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
