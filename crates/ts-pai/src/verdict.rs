//! The end of a trial: from what the cluster says of its job and what the trial has left on the storage.
//!
//! The job's end decides that it is over; the trial's own exit code, where it left one, decides how, for the runtime of OpenPAI
//! replaces codes by its own.

use crate::{
    api::{ExitSpec, JobState, JobStatus},
    exit_codes::{self, PLATFORM, STOP, USER},
};
use ts_core::{
    CancelReason, Reason, ReasonCode, Timestamp, TrialStatus,
    follow::{
        End,
        mounted::{Begin, Traces},
        of_canceled, of_exit, of_lost,
    },
};

/// The end of a trial whose job has ended.
pub(crate) fn of_job(job: &JobStatus, left: &Traces, cancel: Option<CancelReason>, now: Timestamp) -> End {
    let told = job.app_completed_time.or(job.completed_time).map(Timestamp);
    let at = left.exit.map(|(_, at)| at).or(told).unwrap_or(now);
    let has_succeeded = job.state == JobState::Succeeded;
    if let Some(why) = cancel
        && (!has_succeeded || left.was_ended)
    {
        return of_canceled(why, &[], at);
    }
    if has_succeeded {
        return of_exit(0, "", at);
    }
    if left.was_repeated {
        return platform(ReasonCode::Preempted, repeated(job), at);
    }
    match left.exit {
        Some((exit, at)) if exit.code != 0 => return of_exit(exit.code, &left.tail, at),
        _ => {}
    }
    if job.state == JobState::Stopped {
        let message = "the job was stopped in the cluster, not by us";
        return platform(ReasonCode::Preempted, message.to_owned(), at)
            .unblocked("look for whoever stopped it: a user, an administrator, a quota; then retry the trial");
    }
    if let Some(failure) = &left.failure {
        return failed(
            ReasonCode::StartFailed,
            format!("the trial could not be begun in its container: {failure}"),
            at,
        )
        .unblocked("look at the storage: whether it has room, and whether containers may write to it");
    }
    of_spec(job, left, at)
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
        "the cluster does not know the trial's job any more, and it left no exit code",
        "look for a cluster that was set up anew or cleans its history; then retry the trial",
        now,
    )
}

/// The end of a trial whose worker is gone.
pub(crate) fn of_lost_worker(
    worker: &str,
    job: &JobStatus,
    left: &Traces,
    cancel: Option<CancelReason>,
    now: Timestamp,
) -> End {
    if let Some(why) = cancel {
        return of_canceled(why, &[], now);
    }
    if let Some((exit, at)) = left.exit {
        return of_exit(exit.code, &left.tail, at);
    }
    let why = match job.app_exit_code {
        Some(code) => describe(code, spec(job).as_ref(), job),
        None => "the cluster does not know it any more".to_owned(),
    };
    platform(
        ReasonCode::Lost,
        format!("the job `{worker}` that ran the trial has ended: {why}"),
        now,
    )
}

fn repeated(job: &JobStatus) -> String {
    let spec = spec(job).filter(|spec| spec.kind == PLATFORM);
    let why = spec.map(|spec| format!(" ({})", spec.phrase)).unwrap_or_default();
    format!(
        "the platform took the trial's container away{why} and began the job again; a trial is not begun twice, for it would report twice"
    )
}

/// What the code of a job that left nothing else says.
fn of_spec(job: &JobStatus, left: &Traces, at: Timestamp) -> End {
    let Some(code) = job.app_exit_code else {
        return failed(
            ReasonCode::Lost,
            format!("the job failed and says not why{}", said(job)),
            at,
        );
    };
    let spec = spec(job);
    let kind = spec.as_ref().map_or("", |spec| spec.kind.as_str());
    let text = describe(code, spec.as_ref(), job);
    if left.begin == Begin::Free && code > 0 && kind != PLATFORM && !matches!(code, 250..=254) {
        let last = left
            .tail
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or(&text);
        return failed(
            ReasonCode::StartFailed,
            format!(
                "the container did not find the trial: {}",
                last.chars().take(300).collect::<String>()
            ),
            at,
        )
        .unblocked(
            "with `push`, containers must reach its address; else `containerStorageMountPoint` (`containerNFSMountPath`) must be the folder in containers that \
             `localStorageMountPoint` (`nniManagerNFSMountPath`) is here; OpenPAI mounts a storage at `/mnt/NAME`",
        );
    }
    match code {
        -1200 | 221 => failed(ReasonCode::OutOfMemory, text, at)
            .unblocked("raise `trialMemorySize` (`memoryMB`), or use less memory"),
        226 => failed(ReasonCode::GpuOutOfMemory, text, at).unblocked("use a smaller batch or model"),
        254 | -200 | -1005 | -1100 | -1202 | -1203 => failed(ReasonCode::StartRefused, text, at)
            .unblocked("correct what the message names: the image, most often"),
        -1004 => End {
            status: TrialStatus::EarlyStopped,
            ..failed(ReasonCode::TimeLimit, text, at)
        },
        _ if kind == "RESOURCE_ALLOCATION_TIMEOUT" => {
            failed(ReasonCode::StartFailed, text, at).unblocked("ask for less, or wait until the cluster has more free")
        }
        _ if kind == PLATFORM && spec.as_ref().is_some_and(|spec| spec.behavior.starts_with("TRANSIENT")) => {
            platform(ReasonCode::Preempted, text, at)
        }
        _ if kind == PLATFORM => failed(ReasonCode::StartFailed, text, at),
        _ if kind == STOP => platform(ReasonCode::Preempted, text, at),
        _ if code > 0 => {
            if kind == USER {
                return failed(ReasonCode::ExitCode, text, at);
            }
            let place = place(job);
            // What we read is the standard error of the instance that reports.
            let mut end = of_exit(code, if place.is_empty() { &left.tail } else { "" }, at);
            if let Some(why) = &mut end.why {
                why.message.push_str(&place);
            }
            end
        }
        _ => failed(ReasonCode::StartFailed, text, at),
    }
}

fn spec(job: &JobStatus) -> Option<ExitSpec> {
    // The server's fall-backs stand for any code that it does not know.
    let told = job.app_exit_spec.clone().filter(|spec| {
        !spec.kind.is_empty()
            && !matches!(
                spec.phrase.as_str(),
                "PAIRuntimeExitAbnormally" | "ContainerUndefinedNegativeExitCode"
            )
    });
    told.or_else(|| exit_codes::spec(job.app_exit_code?))
}

fn describe(code: i32, spec: Option<&ExitSpec>, job: &JobStatus) -> String {
    let mut text = match spec {
        Some(spec) => format!("{} (exit code {code})", spec.phrase),
        None => format!("the job ended with exit code {code}"),
    };
    if let Some(reason) = spec
        .and_then(|spec| spec.reason.as_deref())
        .map(str::trim)
        .filter(|r| !r.is_empty())
    {
        text = format!("{text}: {reason}");
    }
    text + &said(job)
}

/// Which instance it was, where there are several.
fn place(job: &JobStatus) -> String {
    let role = job
        .app_exit_trigger_task_role_name
        .as_deref()
        .filter(|role| *role != crate::seats::ONLY_ROLE);
    match (role, job.app_exit_trigger_task_index) {
        (Some(role), Some(index)) => format!(", in instance {index} of role `{role}`"),
        _ => String::new(),
    }
}

/// Which instance it was, and the first line of the cluster's own words.
fn said(job: &JobStatus) -> String {
    let place = place(job);
    let words = job
        .app_exit_diagnostics
        .as_deref()
        .or(job.app_exit_trigger_message.as_deref());
    let line = words
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty());
    match line {
        Some(line) => format!("{place}: {}", line.chars().take(300).collect::<String>()),
        None => place,
    }
}

fn failed(code: ReasonCode, message: String, at: Timestamp) -> End {
    End {
        status: TrialStatus::Failed,
        at,
        why: Some(Reason::new(code, message, at)),
    }
}

fn platform(code: ReasonCode, message: String, at: Timestamp) -> End {
    let end = End {
        status: TrialStatus::SysCanceled,
        ..failed(code, message, at)
    };
    end.unblocked("retry the trial when there is room again")
}

trait Unblocked {
    fn unblocked(self, what: &str) -> Self;
}

impl Unblocked for End {
    fn unblocked(mut self, what: &str) -> Self {
        self.why = self.why.map(|why| why.unblocked_by(what));
        self
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
