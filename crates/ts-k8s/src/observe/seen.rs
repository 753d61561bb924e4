//! What the three watches bring, entered into the scene.

use super::Observer;
use crate::{
    names,
    pods::{HeldUp, PodView},
    scene::{Object, Told},
    status,
};
use k8s_openapi::api::core::v1::{Event as Warning, Pod};
use kube::{ResourceExt as _, api::DynamicObject, runtime::watcher::Event};
use std::collections::HashSet;
use ts_core::{Timestamp, TrialId};

/// When a warning was told last, in whole seconds: older senders give no more, newer ones a series.
fn last_told(event: &Warning) -> Option<Timestamp> {
    let of_series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let precise = of_series.or(event.event_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let last = last.max(precise)?;
    Some(Timestamp(last.as_second() * 1000))
}

/// Which list is being read, and what it held so far.
#[derive(Debug, Default)]
pub(super) struct Listing {
    objects: HashSet<TrialId>,
    pods: HashSet<String>,
    pub(super) has_objects: bool,
    pub(super) has_pods: bool,
}

impl Observer {
    /// Enters what a watch says.
    pub(super) fn object(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Init => self.seen.objects.clear(),
            Event::InitApply(object) => {
                let trial = self.enter_object(&object);
                self.seen.objects.extend(trial);
            }
            Event::Apply(object) => drop(self.enter_object(&object)),
            Event::Delete(object) => {
                if let Some(trial) = names::trial_of(&object.metadata) {
                    self.scene.objects.insert(trial.clone(), Object::Gone);
                    self.look(&trial);
                }
            }
            Event::InitDone => {
                for trial in self.scene.objects_but(&self.seen.objects) {
                    self.scene.objects.insert(trial.clone(), Object::Gone);
                    self.look(&trial);
                }
                self.seen.has_objects = true;
                self.listed();
            }
        }
    }

    fn enter_object(&mut self, object: &DynamicObject) -> Option<TrialId> {
        let trial = names::trial_of(&object.metadata)?;
        self.scene.enter_name(&trial, object.name_any());
        let state = status::state_of(self.core.kind(), &object.data["status"]);
        self.scene.objects.insert(trial.clone(), Object::There(state));
        self.look(&trial);
        Some(trial)
    }

    /// Enters what a watch says.
    pub(super) fn pod(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.seen.pods.clear(),
            Event::InitApply(pod) => {
                self.seen.pods.extend(pod.uid());
                self.enter_pod(&pod);
            }
            Event::Apply(pod) => self.enter_pod(&pod),
            Event::Delete(pod) => {
                // Its last state is in the message of its end.
                self.enter_pod(&pod);
                self.pod_gone(&pod.uid().unwrap_or_default());
            }
            Event::InitDone => {
                for uid in self.scene.pods_but(&self.seen.pods) {
                    self.pod_gone(&uid);
                }
                self.seen.has_pods = true;
                self.listed();
            }
        }
    }

    fn enter_pod(&mut self, pod: &Pod) {
        let Some(view) = PodView::of(pod) else { return };
        let (trial, uid) = (view.trial.clone(), view.uid.clone());
        // Pods of trials that are not known are kept for when these are adopted.
        if self.core.registry.with(&trial, |known| known.status.is_terminal()) == Some(true) {
            return;
        }
        self.scene.enter_pod(view);
        self.serve_pod(&uid);
        self.look(&trial);
    }

    fn pod_gone(&mut self, uid: &str) {
        if let Some(trial) = self.scene.remove_pod(uid) {
            self.look(&trial);
        }
    }

    /// Enters what a watch says.
    pub(super) fn warning(&mut self, event: Event<Warning>) {
        let (event, is_live) = match event {
            Event::InitApply(event) => (event, false),
            Event::Apply(event) => (event, true),
            Event::Init | Event::InitDone | Event::Delete(_) => return,
        };
        let name = event.involved_object.name.clone().unwrap_or_default();
        let Some(trial) = self.scene.trial_named(&name).cloned() else {
            return;
        };
        let at = last_told(&event);
        let event = HeldUp {
            word: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        };
        let told = Told {
            event,
            at,
            seen: self.core.ctx.clock.monotonic(),
            is_live,
        };
        self.scene.enter_event(&trial, told);
        self.look(&trial);
    }

    fn listed(&mut self) {
        if self.seen.has_objects && self.seen.has_pods {
            self.core.set_trouble(None);
            for trial in self.core.registry.ids() {
                self.look(&trial);
            }
        }
    }
}
