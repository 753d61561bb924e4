//! What the platform's words for waiting mean to a user.

use super::*;

/// Source of the message: kubernetes v1.20, `pkg/scheduler/framework/types.go`, `FitError.Error`.
const FULL: &str = "0/1 nodes are available: 1 Insufficient cpu.";

fn of(word: &str, message: &str) -> Wait {
    let held_up = HeldUp {
        word: word.to_owned(),
        message: message.to_owned(),
    };
    reason_of(&held_up, Timestamp(1))
}

#[test]
fn an_event_of_the_scheduler_says_what_the_condition_of_the_pod_says() {
    for (message, code) in [
        (FULL, ReasonCode::Queued),
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
            ReasonCode::GpuBusy,
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match node selector.",
            ReasonCode::NoMachine,
        ),
    ] {
        let of_event = of("FailedScheduling", message);
        assert_eq!(of_event.reason.code, code, "{message}");
        assert!(of_event.reason.message.contains(message), "{of_event:?}");
        assert_eq!(of_event, of("Unschedulable", message));
    }
}

/// Source of words and messages: kubernetes v1.20, `pkg/kubelet/images/image_manager.go`,
/// `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `startContainer`.
#[test]
fn an_event_of_the_kubelet_tells_an_image_from_a_container() {
    for (word, message, code) in [
        (
            "Failed",
            "Failed to pull image \"a:1\": rpc error: code = Unknown",
            ReasonCode::ImagePull,
        ),
        ("Failed", "Error: ErrImagePull", ReasonCode::ImagePull),
        ("Failed", "Error: ErrImageNeverPull", ReasonCode::ImagePull),
        ("BackOff", "Back-off pulling image \"a:1\"", ReasonCode::ImagePull),
        ("Failed", "Error: secret \"s\" not found", ReasonCode::Starting),
        ("BackOff", "Back-off restarting failed container", ReasonCode::Starting),
    ] {
        let wait = of(word, message);
        assert_eq!(wait.reason.code, code, "{word} {message}");
        assert!(wait.reason.message.contains("cannot be"), "{wait:?}");
        assert!(!wait.is_hopeless, "{wait:?}");
    }
}
