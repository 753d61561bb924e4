//! The end of a trial: from what the cluster says of its job and what the trial has left in the shared folder.
//!
//! The job's end decides that it is over; the trial's own exit code, where it left one, decides how, for DLTS tells none.

use crate::api::{JobState, JobView};
use ts_core::{
    CancelReason, Reason, ReasonCode, Timestamp, TrialStatus,
    follow::{
        End,
        mounted::{Begin, Traces},
        of_canceled, of_exit, of_lost,
    },
};

/// Most characters of others' words in a reason.
const MOST_WORDS: usize = 300;

/// The end of a trial whose job has ended.
pub(crate) fn of_job(job: &JobView, left: &Traces, cancel: Option<CancelReason>, now: Timestamp) -> End {
    // The cluster's clock may be ahead.
    let at = left.exit.map(|(_, at)| at).or(job.finished).unwrap_or(now).min(now);
    let has_succeeded = job.state == JobState::Finished;
    if let Some(why) = cancel
        && (!has_succeeded || left.was_ended)
    {
        return of_canceled(why, &[], at);
    }
    if has_succeeded {
        return of_exit(0, "", at);
    }
    if left.was_repeated {
        let message = "the platform took the trial's container away and began the job again; a trial is not begun twice, for it \
                       would report twice";
        return platform(message.to_owned(), at);
    }
    match left.exit {
        Some((exit, at)) if exit.code != 0 => return of_exit(exit.code, &left.tail, at),
        _ => {}
    }
    if let Some(failure) = &left.failure {
        let message = format!("the trial could not be begun in its container: {failure}");
        let advice = "look at the shared folder: whether it has room, and whether jobs may write to it";
        return failed(ReasonCode::StartFailed, message, at, advice);
    }
    match job.state {
        JobState::Killed => {
            let message = format!("the job was killed in the cluster, not by us{}", said(job));
            platform(message, at)
        }
        // Source: microsoft/DLWorkspace, `src/ClusterManager/job_launcher.py`: five submissions to Kubernetes failed.
        JobState::Error => failed(
            ReasonCode::StartRefused,
            format!("DLTS could not start the job{}", said(job)),
            at,
            "correct what the message names: the image, the GPU model or the work path, most often",
        ),
        _ if left.begin == Begin::Free => not_begun(job, left, at),
        _ => failed(
            ReasonCode::Lost,
            format!("the job failed, and its trial left no exit code{}", said(job)),
            at,
            "look at the job in the dashboard: it may have used more memory than its node has",
        ),
    }
}

/// The end of a trial whose job the cluster does not know any more.
pub(crate) fn vanished(left: &Traces, cancel: Option<CancelReason>, now: Timestamp) -> End {
    if let Some((exit, at)) = left.exit {
        return match cancel {
            Some(why) if exit.code != 0 => of_canceled(why, &[], at),
            _ => of_exit(exit.code, &left.tail, at),
        };
    }
    if let Some(why) = cancel {
        return of_canceled(why, &[], now);
    }
    of_lost(
        "the cluster does not know the trial's job any more, or does not show it to us, and it left no exit code",
        "look whether you are still a member of the team, and whether the cluster was set up anew; then retry the trial",
        now,
    )
}

/// No container came to its trial.
fn not_begun(job: &JobView, left: &Traces, at: Timestamp) -> End {
    let mut lines = left.tail.lines().rev().map(str::trim);
    let Some(last) = lines.find(|line| !line.is_empty()) else {
        let message = format!("the job failed before its trial began{}", said(job));
        return failed(ReasonCode::StartFailed, message, at, "look at the job in the dashboard");
    };
    failed(
        ReasonCode::StartFailed,
        format!(
            "the container did not find the trial in the shared folder: {}",
            short(last)
        ),
        at,
        "`containerStorageMountPoint` must be the folder in jobs that `localStorageMountPoint` is here; jobs see `/home/USER`, \
         `/work` and `/data`",
    )
}

/// The first line of the cluster's own words.
fn said(job: &JobView) -> String {
    let mut lines = job.said.as_deref().unwrap_or_default().lines().map(str::trim);
    match lines.find(|line| !line.is_empty()) {
        Some(line) => format!(": {}", short(line)),
        None => String::new(),
    }
}

/// The beginning of others' words.
pub(crate) fn short(line: &str) -> String {
    line.chars().take(MOST_WORDS).collect()
}

fn failed(code: ReasonCode, message: String, at: Timestamp, advice: &str) -> End {
    End {
        status: TrialStatus::Failed,
        at,
        why: Some(Reason::new(code, message, at).unblocked_by(advice)),
    }
}

fn platform(message: String, at: Timestamp) -> End {
    let advice =
        "look for whoever stopped it: a user, an administrator, a quota, a node that was lost; then retry the trial";
    End {
        status: TrialStatus::SysCanceled,
        ..failed(ReasonCode::Preempted, message, at, advice)
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
