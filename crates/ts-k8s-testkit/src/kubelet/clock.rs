//! The node's clock. It is the real one: processes do not wait for the clock of a test.

use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// This moment.
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// As Kubernetes writes times into objects: to the second.
///
/// Source: apimachinery v0.20, `pkg/apis/meta/v1/time.go`, `Time.MarshalJSON`.
pub(super) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// With nine digits after the point, as in logs. Source: kubernetes v1.20, `pkg/kubelet/types/constants.go`, `RFC3339NanoFixed`.
pub(super) fn nanoseconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// With six digits after the point, as in events. Source: apimachinery v0.20, `pkg/apis/meta/v1/micro_time.go`.
pub(super) fn microseconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Waits.
#[expect(
    clippy::disallowed_methods,
    reason = "a node keeps real time, as the processes on it do"
)]
pub(super) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
