//! What the three watches bring, entered into the scene.

use super::Observer;
use crate::{
    names,
    pods::{HeldUp, PodView},
    scene::Object,
    status,
};
use k8s_openapi::api::core::v1::{Event as Warning, Pod};
use kube::{ResourceExt as _, api::DynamicObject, runtime::watcher::Event};
use std::collections::HashSet;
use ts_core::TrialId;

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
        let (Event::InitApply(event) | Event::Apply(event)) = event else {
            return;
        };
        let name = event.involved_object.name.clone().unwrap_or_default();
        let Some(trial) = self.scene.trial_named(&name).cloned() else {
            return;
        };
        let event = HeldUp {
            word: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        };
        self.scene.enter_event(&trial, event);
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
