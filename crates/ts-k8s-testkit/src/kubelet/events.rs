//! Events about pods, in the order in which they happened. A repeated one counts up, as the kubelet's do.
//!
//! Sources: client-go v0.20, `tools/record/events_cache.go`, for the kubelet; kubernetes v1.20 `pkg/scheduler`, whose events have a
//! time with fractions instead of a count. The shapes were observed on v1.20.2.

use super::{
    clock,
    shared::{NODE, Shared, next_number},
};
use crate::PodRef;
use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::mpsc;

/// Something to tell about a pod.
#[derive(Debug, Clone)]
pub(super) struct Report {
    /// Which one.
    pub(super) pod: PodRef,
    /// The field of the pod that it is about, such as `spec.containers{main}`.
    pub(super) field: Option<String>,
    /// Not just for information.
    pub(super) warning: bool,
    /// One word.
    pub(super) reason: &'static str,
    /// For people.
    pub(super) message: String,
    /// From the scheduler, not from the kubelet.
    pub(super) scheduler: bool,
}

/// What makes two events the same: pod, field, reason, message.
type Key = (String, Option<String>, &'static str, String);

/// Sends events one after the other, for ever. One that the API server refuses is lost, as elsewhere.
pub(super) async fn send(shared: Arc<Shared>, mut reports: mpsc::UnboundedReceiver<Report>) {
    let mut known: HashMap<Key, (String, u32)> = HashMap::new();
    while let Some(report) = reports.recv().await {
        if shared.is_lost() && !report.scheduler {
            continue;
        }
        let api: Api<Event> = Api::namespaced(shared.client.clone(), &report.pod.namespace);
        let key = (
            report.pod.uid.clone(),
            report.field.clone(),
            report.reason,
            report.message.clone(),
        );
        let now = clock::now();
        if let Some((name, count)) = known.get_mut(&key).filter(|_| !report.scheduler) {
            *count += 1;
            let change = json!({"count": count, "lastTimestamp": clock::seconds(now)});
            let sent = api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
            if let Err(error) = sent {
                tracing::debug!(%error, name, "an event was not counted");
            }
            continue;
        }
        let name = format!("{}.{:x}{:08x}", report.pod.name, now.as_nanosecond(), next_number());
        match serde_json::from_value(event(&name, &report, now)) {
            Ok(event) => match api.create(&PostParams::default(), &event).await {
                Ok(_) => drop(known.insert(key, (name, 1))),
                Err(error) => tracing::debug!(%error, name, "an event was not taken"),
            },
            Err(error) => tracing::error!(%error, name, "an event is malformed"),
        }
    }
}

fn event(name: &str, report: &Report, now: Timestamp) -> Value {
    let pod = &report.pod;
    let mut event = json!({
        "metadata": {"name": name, "namespace": pod.namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
        "type": if report.warning { "Warning" } else { "Normal" },
        "reason": report.reason,
        "message": report.message,
    });
    if let Some(field) = &report.field {
        event["involvedObject"]["fieldPath"] = field.as_str().into();
    }
    let more = if report.scheduler {
        json!({"eventTime": clock::microseconds(now), "action": "Scheduling",
            "reportingComponent": "default-scheduler", "reportingInstance": "default-scheduler-n1"})
    } else {
        json!({"source": {"component": "kubelet", "host": NODE}, "count": 1,
            "firstTimestamp": clock::seconds(now), "lastTimestamp": clock::seconds(now)})
    };
    json_patch::merge(&mut event, &more);
    event
}

#[cfg(test)]
mod tests {
    use super::{Report, event};
    use crate::PodRef;
    use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};

    #[test]
    fn shapes() {
        let mut report = Report {
            pod: PodRef {
                namespace: "ns".to_owned(),
                name: "p".to_owned(),
                uid: "u".to_owned(),
            },
            field: Some("spec.containers{c}".to_owned()),
            warning: true,
            reason: "BackOff",
            message: "m".to_owned(),
            scheduler: false,
        };
        let kubelet: Event = serde_json::from_value(event("e", &report, Timestamp::UNIX_EPOCH)).expect("an event");
        assert_eq!(
            (
                kubelet.count,
                kubelet.event_time.is_none(),
                kubelet.first_timestamp.is_some()
            ),
            (Some(1), true, true)
        );
        assert_eq!(
            kubelet.involved_object.field_path.as_deref(),
            Some("spec.containers{c}")
        );
        report.scheduler = true;
        let scheduler: Event = serde_json::from_value(event("e", &report, Timestamp::UNIX_EPOCH)).expect("an event");
        assert_eq!((scheduler.count, scheduler.first_timestamp.is_none()), (None, true));
        assert_eq!(scheduler.reporting_component.as_deref(), Some("default-scheduler"));
    }
}
