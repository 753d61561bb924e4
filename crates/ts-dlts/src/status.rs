//! From the state of a job to the status of its trial, while it has not ended; total.
//!
//! What an end means is in `verdict.rs`.

use crate::api::{JobState, JobView};
use ts_core::{ReasonCode, Timestamp};

/// What the cluster says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It waits, or waits again, for this.
    Waiting(Wait),
    /// It runs since then, if that is known.
    Running(Option<Timestamp>),
    /// It has ended; its details say how.
    Ended,
    /// Nothing new: a job that is being killed is as it was.
    Same,
    /// Nothing that we understand.
    Unknown,
}

/// Why a job does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) code: ReasonCode,
    pub(crate) message: &'static str,
    pub(crate) unblock: Option<&'static str>,
}

/// Reads a job.
///
/// Source of the states: microsoft/DLWorkspace, `src/ClusterManager/job_manager.py`.
pub(crate) fn standing(job: &JobView) -> Standing {
    let wait = |code, message, unblock| Standing::Waiting(Wait { code, message, unblock });
    match job.state {
        JobState::Unapproved => wait(
            ReasonCode::Quota,
            "the job waits for approval",
            Some("DLTS approves it when the user's quota has room; an administrator of the team can do it at once"),
        ),
        JobState::Queued => wait(
            ReasonCode::Queued,
            "in the team's queue",
            Some("wait until jobs of the team end, or ask for fewer GPUs"),
        ),
        JobState::Scheduling => wait(ReasonCode::Starting, "DLTS starts the job", None),
        JobState::Pausing | JobState::Paused => wait(
            ReasonCode::Queued,
            "the job is paused in DLTS",
            Some("resume it in the dashboard, or cancel the trial"),
        ),
        JobState::Running => Standing::Running(job.started),
        JobState::Finished | JobState::Failed | JobState::Error | JobState::Killed => Standing::Ended,
        JobState::Killing => Standing::Same,
        JobState::Unknown => Standing::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_standing() {
        let of = |state: &str| {
            let job = serde_json::json!({"jobId": "a", "jobStatus": state, "jobStatusDetail": [{"startedAt": "1970-01-01T00:00:07Z"}]});
            standing(&job.into())
        };
        for (state, code) in [
            ("unapproved", ReasonCode::Quota),
            ("queued", ReasonCode::Queued),
            ("scheduling", ReasonCode::Starting),
            ("pausing", ReasonCode::Queued),
            ("paused", ReasonCode::Queued),
        ] {
            assert!(
                matches!(of(state), Standing::Waiting(wait) if wait.code == code),
                "{state}"
            );
        }
        assert_eq!(of("running"), Standing::Running(Some(Timestamp(7000))));
        for state in ["finished", "failed", "error", "killed"] {
            assert_eq!(of(state), Standing::Ended, "{state}");
        }
        assert_eq!(of("killing"), Standing::Same);
        for state in ["somethingNew", "Running", ""] {
            assert_eq!(of(state), Standing::Unknown, "{state}");
        }
    }
}
