//! What the platform's words for waiting mean to a user.

use super::*;

/// Source of the message: kubernetes v1.20, `pkg/scheduler/framework/types.go`, `FitError.Error`.
const FULL: &str = "0/1 nodes are available: 1 Insufficient cpu.";

#[test]
fn an_event_of_the_scheduler_says_what_the_condition_of_the_pod_says() {
    let of = |word: &str, message: &str| {
        let held_up = HeldUp {
            word: word.to_owned(),
            message: message.to_owned(),
        };
        reason_of(&held_up, Timestamp(1))
    };
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
