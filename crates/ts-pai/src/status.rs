//! From the state of a job to the status of its trial, while it has not ended; total.
//!
//! What an end means is in `verdict.rs`.

use crate::api::{Item, JobState};
use ts_core::{Timestamp, TrialStatus};

/// What the cluster says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It waits.
    Waiting,
    /// It runs since then, if that is known.
    Running(Option<Timestamp>),
    /// It has ended; its details say how.
    Ended,
    /// Nothing that we understand, or nothing new: a job that is being stopped is as it was.
    Same,
}

/// Reads a job of a list, or the like fields of its details.
///
/// Source of the states: microsoft/pai v1.8, `src/rest-server/src/models/v2/utils/frameworkConverter.js`, `convertState`.
pub(crate) fn standing(job: &Item) -> Standing {
    match job.state {
        JobState::Waiting => Standing::Waiting,
        JobState::Running => Standing::Running(job.launched_time.or(job.created_time).map(Timestamp)),
        JobState::Succeeded | JobState::Failed | JobState::Stopped => Standing::Ended,
        JobState::Stopping | JobState::Unknown => Standing::Same,
    }
}

/// Whether a trial of this status is to be told that it runs.
pub(crate) const fn begins(status: TrialStatus) -> bool {
    matches!(status, TrialStatus::Waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_standing() {
        let rows = [
            ("WAITING", Standing::Waiting),
            ("RUNNING", Standing::Running(Some(Timestamp(7)))),
            ("STOPPING", Standing::Same),
            ("SUCCEEDED", Standing::Ended),
            ("FAILED", Standing::Ended),
            ("STOPPED", Standing::Ended),
            ("UNKNOWN", Standing::Same),
            ("SOMETHING_NEW", Standing::Same),
        ];
        for (state, expected) in rows {
            let text = format!("{{\"name\": \"a\", \"state\": \"{state}\", \"launchedTime\": 7}}");
            let item: Item = serde_json::from_str(&text).unwrap();
            assert_eq!(standing(&item), expected, "{state}");
        }
    }
}
