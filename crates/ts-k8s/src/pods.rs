//! What a pod shows: where it is on its way, what holds it up, and how its trial's container ended.

use crate::{
    error, names,
    object::{CODE_CONTAINER, POD_NAME},
    status::of_time,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use ts_core::{Reason, ReasonCode, Timestamp, TrialId};

/// Annotation of the pods of an indexed Job.
///
/// Source: kubernetes/api, `batch/v1/types.go`, `JobCompletionIndexAnnotation`.
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// What of a pod matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodView {
    pub(crate) name: String,
    pub(crate) uid: String,
    /// When it was made, in whole seconds.
    pub(crate) created: Option<Timestamp>,
    pub(crate) trial: TrialId,
    pub(crate) role: String,
    /// What tells it from the other pods of its role, as `pod/trial.sh` has it.
    pub(crate) index: String,
    /// Name of the trial's container.
    pub(crate) container: String,
    pub(crate) main: Main,
    /// The init container that failed, so that the trial's was never started.
    pub(crate) failed_init: Option<FailedInit>,
    /// Whether its init container waits for the code.
    pub(crate) wants_code: bool,
    pub(crate) node: Option<String>,
    /// Why it does not go on.
    pub(crate) held_up: Option<HeldUp>,
    /// Why the platform ended it.
    pub(crate) ended_by: Option<HeldUp>,
    /// Whether it has ended as a whole.
    pub(crate) is_over: bool,
    /// Whether somebody has asked for its removal.
    pub(crate) is_going: bool,
}

/// State of the trial's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Main {
    Waiting,
    Running(Option<Timestamp>),
    Ended(ContainerEnd),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerEnd {
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) at: Option<Timestamp>,
}

impl ContainerEnd {
    /// Whether the node does not know how it ended: it found the container no more. The code that it gives then is made up.
    ///
    /// Source: kubernetes v1.20, `pkg/kubelet/kubelet_pods.go`, `convertToAPIContainerStatuses`.
    pub(crate) fn is_unknown(&self) -> bool {
        self.reason == "ContainerStatusUnknown"
    }
}

/// An init container that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedInit {
    pub(crate) name: String,
    pub(crate) code: i32,
    pub(crate) message: String,
}

/// A word of the platform and what it says with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldUp {
    pub(crate) word: String,
    pub(crate) message: String,
}

impl PodView {
    /// Reads a pod of ours; `None` if it bears no trial.
    pub(crate) fn of(pod: &Pod) -> Option<Self> {
        let labels = pod.metadata.labels.as_ref()?;
        let trial = names::of_label(labels.get(names::TRIAL)?)?;
        let spec = pod.spec.as_ref()?;
        // Webhooks may put containers before ours.
        let is_ours = |c: &&k8s_openapi::api::core::v1::Container| c.env.iter().flatten().any(|e| e.name == POD_NAME);
        let container = spec.containers.iter().find(is_ours).or(spec.containers.first())?;
        let status = pod.status.as_ref();
        let statuses = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
        let init_statuses = status
            .and_then(|s| s.init_container_statuses.as_deref())
            .unwrap_or_default();
        let main_status = statuses.iter().find(|s| s.name == container.name);
        let phase = status.and_then(|s| s.phase.as_deref()).unwrap_or_default();
        let mut main = main_status.map_or(Main::Waiting, main_of);
        let mut failed_init = None;
        let is_over = matches!(phase, "Succeeded" | "Failed");
        if is_over && !matches!(main, Main::Ended(_)) {
            failed_init = init_statuses.iter().find_map(failed_init_of);
            // Evicted and refused pods may have no state of their containers.
            main = Main::Ended(ContainerEnd {
                code: -1,
                reason: status.and_then(|s| s.reason.clone()).unwrap_or_default(),
                message: status.and_then(|s| s.message.clone()).unwrap_or_default(),
                started: None,
                at: None,
            });
        }
        let name = pod.metadata.name.clone()?;
        let code = init_statuses.iter().find(|s| s.name == CODE_CONTAINER);
        Some(Self {
            name,
            uid: pod.metadata.uid.clone()?,
            created: pod.metadata.creation_timestamp.as_ref().map(of_time),
            trial,
            role: labels.get(names::ROLE).cloned().unwrap_or_default(),
            index: index_of(pod),
            container: container.name.clone(),
            main,
            failed_init,
            wants_code: code.is_some_and(|c| c.state.as_ref().is_some_and(|s| s.running.is_some())),
            node: spec.node_name.clone(),
            held_up: held_up(pod, init_statuses.iter().chain(statuses)),
            ended_by: ended_by(pod),
            is_over,
            is_going: pod.metadata.deletion_timestamp.is_some(),
        })
    }

    /// Whether its log can be there.
    pub(crate) fn has_begun(&self) -> bool {
        match &self.main {
            Main::Waiting => false,
            Main::Running(_) => true,
            Main::Ended(end) => end.started.is_some() || end.code >= 0,
        }
    }

    /// When the trial's container was started.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        match &self.main {
            Main::Waiting => None,
            Main::Running(at) => *at,
            Main::Ended(end) => end.started,
        }
    }
}

/// The names of a Job's pods end in chance; those of operators' own end in the index.
fn index_of(pod: &Pod) -> String {
    let annotations = pod.metadata.annotations.as_ref();
    let index = annotations.and_then(|annotations| annotations.get(COMPLETION_INDEX));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let end = || name.rsplit('-').next().unwrap_or_default();
    index.map_or_else(end, String::as_str).to_owned()
}

fn main_of(status: &ContainerStatus) -> Main {
    let Some(state) = &status.state else {
        return Main::Waiting;
    };
    if let Some(running) = &state.running {
        return Main::Running(running.started_at.as_ref().map(of_time));
    }
    if let Some(end) = &state.terminated {
        return Main::Ended(ContainerEnd {
            code: end.exit_code,
            reason: end.reason.clone().unwrap_or_default(),
            message: end.message.clone().unwrap_or_default(),
            started: end.started_at.as_ref().map(of_time).filter(|at| at.0 > 0),
            at: end.finished_at.as_ref().map(of_time).filter(|at| at.0 > 0),
        });
    }
    Main::Waiting
}

fn failed_init_of(status: &ContainerStatus) -> Option<FailedInit> {
    let end = status.state.as_ref()?.terminated.as_ref()?;
    (end.exit_code != 0).then(|| FailedInit {
        name: status.name.clone(),
        code: end.exit_code,
        message: end.message.clone().unwrap_or_default(),
    })
}

fn held_up<'a>(pod: &Pod, containers: impl Iterator<Item = &'a ContainerStatus>) -> Option<HeldUp> {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_deref())
        .unwrap_or_default();
    let unscheduled = conditions
        .iter()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        return Some(HeldUp {
            word: condition.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()),
            message: condition.message.clone().unwrap_or_default(),
        });
    }
    let mut held_up = None;
    for status in containers {
        let Some(waiting) = status.state.as_ref().and_then(|s| s.waiting.as_ref()) else {
            continue;
        };
        let word = waiting.reason.clone().unwrap_or_default();
        let is_first = held_up.is_none();
        let is_news = !matches!(word.as_str(), "" | "ContainerCreating" | "PodInitializing");
        if is_first || is_news {
            held_up = Some(HeldUp {
                word,
                message: waiting.message.clone().unwrap_or_default(),
            });
        }
        if is_news {
            break;
        }
    }
    held_up
}

/// Source: kubernetes v1.33, `pkg/apis/core/types.go` (`DisruptionTarget`), `pkg/kubelet/eviction`, `pkg/controller/podgc`.
fn ended_by(pod: &Pod) -> Option<HeldUp> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if let Some(condition) = conditions
        .iter()
        .find(|c| c.type_ == "DisruptionTarget" && c.status == "True")
    {
        return Some(HeldUp {
            word: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        });
    }
    let word = status.reason.clone()?;
    let of_platform = [
        "Evicted",
        "NodeLost",
        "NodeShutdown",
        "Shutdown",
        "Terminated",
        "Preempting",
        "UnexpectedAdmissionError",
    ];
    (of_platform.contains(&word.as_str()) || word.starts_with("OutOf")).then(|| HeldUp {
        word,
        message: status.message.clone().unwrap_or_default(),
    })
}

/// Why a trial waits, and whether waiting alone can mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) reason: Reason,
    pub(crate) is_hopeless: bool,
}

const IMAGE_UNBLOCK: &str =
    "correct the image's name, or give the credentials of its registry (`privateRegistryAuthPath`, `imagePullSecrets`)";
const CONTAINER_UNBLOCK: &str = "correct what the message names: a Secret, a volume, the command, the user";

/// The reason of what the platform calls by this word: states of containers, conditions of pods, and events.
///
/// Sources: kubernetes v1.20, `pkg/kubelet/images/types.go`, `pkg/kubelet/kuberuntime/kuberuntime_container.go`,
/// `pkg/kubelet/events/event.go`, `pkg/scheduler`.
pub(crate) fn reason_of(held_up: &HeldUp, now: Timestamp) -> Wait {
    let said = held_up.message.trim();
    let text = |what: &str| {
        if said.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {said}")
        }
    };
    let (code, message, unblock, is_hopeless) = match held_up.word.as_str() {
        // The pod's condition, and the event with the same words, which often comes first.
        "Unschedulable" | "FailedScheduling" => {
            let is_gpu = said.contains("gpu");
            let never = said.contains("didn't match") && !said.contains("Insufficient");
            let code = match (is_gpu, never) {
                (true, _) => ReasonCode::GpuBusy,
                (false, true) => ReasonCode::NoMachine,
                (false, false) => ReasonCode::Queued,
            };
            (
                code,
                text("no node has room"),
                "a node with enough free CPUs, memory and GPUs, or a smaller request",
                false,
            )
        }
        "SchedulingGated" => (
            ReasonCode::Queued,
            text("a gate holds the pod back"),
            "whoever has set the gate removes it",
            false,
        ),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "RegistryUnavailable"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError" => (
            ReasonCode::ImagePull,
            text("the image cannot be pulled"),
            IMAGE_UNBLOCK,
            true,
        ),
        // Events; the container's state soon says it in its own word.
        "Failed" | "BackOff" if ["pull", "Pull", "ErrImage"].iter().any(|word| said.contains(word)) => (
            ReasonCode::ImagePull,
            text("the image cannot be pulled"),
            IMAGE_UNBLOCK,
            false,
        ),
        "Failed" | "BackOff" => (
            ReasonCode::Starting,
            text("the container cannot be started"),
            CONTAINER_UNBLOCK,
            false,
        ),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "CrashLoopBackOff"
        | "StartError" => (
            ReasonCode::Starting,
            text("the container cannot be started"),
            CONTAINER_UNBLOCK,
            true,
        ),
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => (
            ReasonCode::Starting,
            text("a volume cannot be mounted"),
            "look at the storage's server, path and claim, and whether nodes can mount it",
            true,
        ),
        "FailedCreate" if error::is_quota(said) => (
            ReasonCode::Quota,
            text("the quota of the namespace is used up"),
            "other pods of the namespace end, or its quota is raised",
            false,
        ),
        "FailedCreate" | "FailedCreatePod" => (
            ReasonCode::Starting,
            text("the operator cannot create the pod"),
            "what the message says: a webhook, a policy, a missing service account",
            true,
        ),
        "Preempted" => (
            ReasonCode::Queued,
            text("pre-empted by a pod of higher priority"),
            "room for it again",
            false,
        ),
        "" | "ContainerCreating" | "PodInitializing" | "Pulling" | "Pulled" => {
            return Wait {
                reason: Reason::new(ReasonCode::Starting, text("the pod is being started"), now),
                is_hopeless: false,
            };
        }
        word => (ReasonCode::Starting, text(word), "what the message says", false),
    };
    Wait {
        reason: Reason::new(code, message, now).unblocked_by(unblock),
        is_hopeless,
    }
}

#[cfg(test)]
#[path = "pods_tests.rs"]
mod tests;
