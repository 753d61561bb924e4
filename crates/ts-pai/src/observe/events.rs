//! Asks why jobs wait, in the words of Kubernetes: a few at a time, each now and then.

use crate::{api::Event, core::Core, names};
use std::time::Duration;
use ts_core::{ReasonCode, TrialId, TrialStatus};

/// Pace of asking about one job.
const PACE: Duration = Duration::from_secs(20);
/// Jobs that are asked about after one list.
const AT_A_TIME: usize = 3;

/// Asks about the jobs that were not asked about for longest.
pub(super) async fn ask(core: &Core) {
    let now = core.ctx.clock.monotonic();
    let mut waiting: Vec<(Duration, TrialId)> = Vec::new();
    for trial in core.registry.ids() {
        let since = core.registry.with(&trial, |known| {
            let created_at = known.extra.created_at?;
            (known.status == TrialStatus::Waiting && known.cancel.is_none())
                .then(|| known.extra.asked_at.unwrap_or(created_at))
        });
        if let Some(since) = since
            .flatten()
            .filter(|since| now.saturating_sub(*since) >= PACE.min(core.config.poll_interval * 5))
        {
            waiting.push((since, trial));
        }
    }
    waiting.sort();
    for (_, trial) in waiting.into_iter().take(AT_A_TIME) {
        core.registry.update(&trial, |known| known.extra.asked_at = Some(now));
        match core.api.events(&names::job(&core.experiment, &trial)).await {
            Ok(events) => {
                if let Some(event) = newest(&events) {
                    let (reason, unblock) = meaning(event);
                    let words: String = event.message.split_whitespace().collect::<Vec<_>>().join(" ");
                    let message = format!("{}: {}", event.reason, words.chars().take(300).collect::<String>());
                    core.waits(&trial, reason, message, unblock);
                }
            }
            // Only a reason is missing.
            Err(error) => tracing::debug!(%trial, %error, "why its job waits is not known"),
        }
    }
}

fn newest(events: &[Event]) -> Option<&Event> {
    events
        .iter()
        .filter(|event| !event.message.trim().is_empty())
        .max_by(|a, b| a.last_timestamp.cmp(&b.last_timestamp))
}

/// What an event says about waiting. The reasons are those of Kubernetes' scheduler and kubelet.
fn meaning(event: &Event) -> (ReasonCode, Option<&'static str>) {
    let message = event.message.to_ascii_lowercase();
    match event.reason.as_str() {
        "FailedScheduling" if message.contains("gpu") => (
            ReasonCode::GpuBusy,
            Some("wait until jobs of the virtual cluster end, or ask for fewer GPUs"),
        ),
        "FailedScheduling" => (
            ReasonCode::Queued,
            Some("wait until jobs of the virtual cluster end, or ask for less"),
        ),
        "Failed" | "BackOff" | "ErrImagePull" | "ImagePullBackOff" | "InspectFailed" if message.contains("image") => (
            ReasonCode::ImagePull,
            Some("compare the name of the image with its registry"),
        ),
        "FailedMount" | "FailedAttachVolume" => (
            ReasonCode::Starting,
            Some("the storage cannot be mounted where the container is to run; ask the administrator"),
        ),
        _ => (ReasonCode::Starting, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str, message: &str, at: &str) -> Event {
        Event {
            reason: reason.into(),
            message: message.into(),
            last_timestamp: Some(at.into()),
        }
    }

    #[test]
    fn the_newest_event_counts_and_names_what_is_missing() {
        let events = [
            event(
                "FailedScheduling",
                "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                "2026-01-01T00:00:02Z",
            ),
            event("Scheduled", "assigned", "2026-01-01T00:00:01Z"),
        ];
        assert_eq!(meaning(newest(&events).unwrap()).0, ReasonCode::GpuBusy);
        assert_eq!(
            meaning(&event("FailedScheduling", "Insufficient cpu", "")).0,
            ReasonCode::Queued
        );
        assert_eq!(
            meaning(&event("BackOff", "Back-off pulling image \"x\"", "")).0,
            ReasonCode::ImagePull
        );
        assert_eq!(meaning(&event("Pulled", "image present", "")).0, ReasonCode::Starting);
        assert!(newest(&[]).is_none());
    }
}
