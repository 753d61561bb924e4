//! The end of a trial: which pod's end counts, and whose fault it was.

use crate::{
    core::Place,
    pods::{ContainerEnd, FailedInit, Main},
    relay::Exit,
    scene::Pod,
    status::Failure,
};
use ts_core::{
    Reason, ReasonCode, Timestamp, TrialStatus,
    follow::{End, Known, of_canceled, of_exit},
};

/// The exit code of our own script where it cannot begin the trial; see `pod/trial.sh`.
pub(crate) const NOT_BEGUN: i32 = 125;

const DELETED_UNBLOCK: &str =
    "look for whoever deletes there: a user, a drained node, an eviction; then retry the trial";

/// Exit codes of what the kubelet ends, because the pod is removed: by SIGTERM, and after the grace by SIGKILL.
const BY_KUBELET: [i32; 2] = [128 + 15, 128 + 9];

/// A job that ended well: the time is that of its last pod that did, which knows it better than the object.
pub(crate) fn succeeded(pods: &[&Pod], at: Option<Timestamp>, now: Timestamp) -> End {
    let said = pods
        .iter()
        .filter_map(|pod| pod.exit())
        .filter(|exit| exit.code == 0)
        .map(|exit| exit.at)
        .max()
        .filter(|at| *at > 0);
    of_exit(0, "", said.map(Timestamp).or(at).unwrap_or(now))
}

/// A job that failed: because of a pod, or of something that no pod shows.
pub(crate) fn failed(pods: &[&Pod], exit: Option<Exit>, failure: &Failure, now: Timestamp, tail: &str) -> End {
    let at = failure.at.unwrap_or(now);
    if let Some(pod) = culprit(pods, failure) {
        let is_removed = pod.is_gone || pod.view.is_going;
        let is_by_kubelet = code_of(pod).is_some_and(|code| BY_KUBELET.contains(&code));
        return if pod.view.ended_by.is_some() {
            taken(pod, at)
        } else if is_removed && is_by_kubelet {
            replaced(Some(pod), at, tail)
        } else {
            of_pod(pod, at, tail)
        };
    }
    if let Some(code) = failure.code {
        return of_exit(code, tail, at);
    }
    if failure.is_of_a_pod() {
        return unseen(exit, failure, now, tail);
    }
    let said = [failure.reason.as_str(), failure.message.as_str()];
    let said: Vec<&str> = said.into_iter().filter(|text| !text.is_empty()).collect();
    if failure.reason == "PodFailurePolicy" {
        // The only rule of ours: a pod was disrupted.
        return End {
            status: TrialStatus::SysCanceled,
            at,
            why: Some(
                Reason::new(
                    ReasonCode::Preempted,
                    format!("the cluster ended the pod: {}", failure.message),
                    at,
                )
                .unblocked_by("retry the trial when there is room again"),
            ),
        };
    }
    if failure.reason.contains("DeadlineExceeded") {
        return End {
            status: TrialStatus::EarlyStopped,
            at,
            why: Some(
                Reason::new(ReasonCode::TimeLimit, said.join(": "), at).unblocked_by("raise the deadline of the job"),
            ),
        };
    }
    End {
        status: TrialStatus::Failed,
        at,
        why: Some(
            Reason::new(
                ReasonCode::StartFailed,
                format!("the job failed: {}", said.join(": ")),
                at,
            )
            .unblocked_by("`kubectl describe` of the job shows its events"),
        ),
    }
}

/// The pod that ended its job: the one that the object names, else the first that failed or was taken. Later ones are followers.
fn culprit<'a>(pods: &[&'a Pod], failure: &Failure) -> Option<&'a Pod> {
    let failed = |pod: &&Pod| pod.view.ended_by.is_some() || code_of(pod).is_some_and(|code| code != 0);
    let mut failing: Vec<&Pod> = pods.iter().copied().filter(failed).collect();
    failing.sort_by_key(|pod| ended_at(pod));
    let is_named = |pod: &&Pod| failure.pod.as_ref() == Some(&pod.view.name);
    let named = failing.iter().copied().find(is_named);
    named.or_else(|| failing.first().copied())
}

/// An object that was removed: by us, or by somebody else.
pub(crate) fn gone(pods: &[&Pod], exit: Option<Exit>, known: &Known<Place>, now: Timestamp, tail: &str) -> End {
    if let Some(end) = &known.extra.given_up {
        return end.clone();
    }
    if let Some(why) = known.cancel {
        return of_canceled(why, &[], now);
    }
    // It may have ended by itself first; then its pod has said so, or the storage does.
    if let Some(end) = by_itself(exit, now, tail) {
        return end;
    }
    if let Some(pod) = pods.iter().find(|pod| pod.view.ended_by.is_some()) {
        return taken(pod, now);
    }
    End {
        status: TrialStatus::SysCanceled,
        at: now,
        why: Some(
            Reason::new(
                ReasonCode::Lost,
                "the trial's object was deleted in the cluster, not by us",
                now,
            )
            .unblocked_by(
                "look for whoever deletes there: a user, a time to live, a quota manager; then retry the trial",
            ),
        ),
    }
}

/// The end of a command that was not ended by the removal of its pod.
fn by_itself(exit: Option<Exit>, now: Timestamp, tail: &str) -> Option<End> {
    let exit = exit.filter(|exit| !BY_KUBELET.contains(&exit.code))?;
    Some(of_command(exit, now, tail))
}

/// The end of a command.
pub(crate) fn of_command(exit: Exit, now: Timestamp, tail: &str) -> End {
    let at = Some(exit.at).filter(|at| *at > 0).map_or(now, Timestamp);
    of_exit(exit.code, tail, at)
}

/// A job that failed because of a pod that nobody saw, and that is gone: a Job keeps its pods, so somebody removed it.
fn unseen(exit: Option<Exit>, failure: &Failure, now: Timestamp, tail: &str) -> End {
    let at = failure.at.unwrap_or(now);
    if let Some(end) = by_itself(exit, at, tail) {
        return end;
    }
    End {
        status: TrialStatus::SysCanceled,
        at,
        why: Some(
            Reason::new(
                ReasonCode::Lost,
                "the trial's pod failed and was removed while nobody looked, not by us: nothing tells how it ended",
                at,
            )
            .unblocked_by(DELETED_UNBLOCK),
        ),
    }
}

/// A trial whose pod was deleted, and that would run a second time in another one.
pub(crate) fn replaced(first: Option<&Pod>, now: Timestamp, tail: &str) -> End {
    if let Some(end) = by_itself(first.and_then(Pod::exit), now, tail) {
        return end;
    }
    if let Some(pod) = first.filter(|pod| pod.view.ended_by.is_some()) {
        return taken(pod, now);
    }
    End {
        status: TrialStatus::SysCanceled,
        at: now,
        why: Some(
            Reason::new(
                ReasonCode::Preempted,
                "the trial's pod was deleted in the cluster, not by us, and no other one runs the trial again",
                now,
            )
            .unblocked_by(DELETED_UNBLOCK),
        ),
    }
}

/// The platform took the pod's place.
fn taken(pod: &Pod, at: Timestamp) -> End {
    let (word, message) = pod
        .view
        .ended_by
        .as_ref()
        .map_or(("", ""), |by| (by.word.as_str(), by.message.trim()));
    let node = pod.view.node.as_deref().unwrap_or("?");
    let mut text = format!("the cluster ended pod `{}` on node `{node}`: {word}", pod.view.name);
    if !message.is_empty() {
        text.push_str(": ");
        text.push_str(message);
    }
    End {
        status: TrialStatus::SysCanceled,
        at,
        why: Some(
            Reason::new(ReasonCode::Preempted, text, at).unblocked_by("retry the trial when there is room again"),
        ),
    }
}

/// The node knows no more how the pod ended, and the pod had not said it.
fn lost(pod: &Pod, at: Timestamp) -> End {
    let node = pod.view.node.as_deref().unwrap_or("?");
    let text = format!(
        "node `{node}` lost the container of pod `{}` and does not know how it ended",
        pod.view.name
    );
    End {
        status: TrialStatus::SysCanceled,
        at,
        why: Some(
            Reason::new(ReasonCode::Lost, text, at)
                .unblocked_by("look whether the node was restarted or ran out of disk; then retry the trial"),
        ),
    }
}

fn of_pod(pod: &Pod, at: Timestamp, tail: &str) -> End {
    let container = match &pod.view.main {
        Main::Ended(end) => Some(end),
        _ => None,
    };
    let at = ended_at(pod).unwrap_or(at);
    let failed = |why: Reason| End {
        status: TrialStatus::Failed,
        at,
        why: Some(why),
    };
    if container.is_some_and(|end| end.reason == "OOMKilled") {
        return failed(
            Reason::new(
                ReasonCode::OutOfMemory,
                format!("the memory limit of pod `{}` was reached", pod.view.name),
                at,
            )
            .unblocked_by("raise `memorySize` (`memoryMB`), or use less memory"),
        );
    }
    if let Some(exit) = pod.exit() {
        return of_exit(exit.code, tail, at);
    }
    let Some(end) = container else {
        return of_exit(code_of(pod).unwrap_or(1), tail, at);
    };
    if end.is_unknown() {
        return lost(pod, at);
    }
    if let Some(init) = &pod.view.failed_init {
        return failed(
            Reason::new(ReasonCode::StartFailed, of_init(pod, init), at)
                .unblocked_by("`kubectl logs` of the pod with `-c` and the name of that container shows what it said"),
        );
    }
    if is_start_failure(end) {
        let text = format!(
            "the container of pod `{}` could not be started: {}",
            pod.view.name,
            end.message.trim()
        );
        return failed(
            Reason::new(ReasonCode::StartRefused, text, at)
                .unblocked_by("the image must hold `/bin/sh`; correct what the message names"),
        );
    }
    if end.code == NOT_BEGUN {
        // Where the log went with the pod, FrameworkController has had its end kept in the status.
        let last = tail
            .lines()
            .next_back()
            .or_else(|| end.message.trim().lines().next_back());
        let last = last.unwrap_or("see the log of the pod");
        return failed(
            Reason::new(
                ReasonCode::StartFailed,
                format!("the trial could not be begun in its pod: {last}"),
                at,
            )
            .unblocked_by("look at the volume: its mount, its owner, its space"),
        );
    }
    of_exit(end.code, tail, at)
}

fn of_init(pod: &Pod, init: &FailedInit) -> String {
    let FailedInit { name, code, message } = init;
    let mut text = format!(
        "the trial was not begun: init container `{name}` of pod `{}` failed (exit code {code})",
        pod.view.name
    );
    if let Some(last) = message.trim().lines().next_back() {
        text.push_str(": ");
        text.push_str(last);
    }
    text
}

fn is_start_failure(end: &ContainerEnd) -> bool {
    matches!(end.reason.as_str(), "ContainerCannotRun" | "StartError")
}

fn code_of(pod: &Pod) -> Option<i32> {
    if let Some(exit) = pod.exit() {
        return Some(exit.code);
    }
    match (&pod.view.main, &pod.view.failed_init) {
        (Main::Ended(_), Some(init)) => Some(init.code),
        (Main::Ended(end), None) => Some(end.code),
        _ => None,
    }
}

fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let said = pod.exit().map(|exit| exit.at).filter(|at| *at > 0).map(Timestamp);
    said.or(match &pod.view.main {
        Main::Ended(end) => end.at,
        _ => None,
    })
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
