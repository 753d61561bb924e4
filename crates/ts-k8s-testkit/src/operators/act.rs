//! Carrying out a plan: the requests, and what their answers mean for the copies. Errors that leave nothing to do, such as
//! deleting what is gone, are no errors here.

use super::{
    plan::{Action, Kind, Plan, Refusal},
    store::{Id, Store, to_json},
    value::{controller, name, namespace, random_number, stamp, text, uid},
};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Error,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::response::Status,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// How many events are remembered, to count repetitions.
const EVENTS: usize = 4096;

/// Uid of the object, reason, message.
type EventKey = (String, String, String);

/// What came of a plan.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Objects concerned by what was written, besides the one of the plan.
    pub(super) concerned: Vec<Id>,
    /// Creations that the server refused.
    pub(super) refused: Vec<Refusal>,
    /// Whether the plan has to be made again, since something could not be done.
    pub(super) again: bool,
}

/// Sends requests, and keeps the copies in step.
pub(super) struct Hand {
    client: Client,
    /// Name and count of events.
    events: Mutex<HashMap<EventKey, (String, u32)>>,
}

impl Hand {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            events: Mutex::default(),
        }
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    /// Does what the plan for `object` asks for.
    pub(super) async fn carry_out(
        &self,
        store: &Mutex<Store>,
        kind: Kind,
        component: &str,
        object: &Value,
        plan: Plan,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        for action in plan.actions {
            match action {
                Action::Create(child, body) => self.create(store, child, body, &mut outcome).await,
                Action::Delete { kind: child, name, uid } => {
                    let key = (namespace(object).to_owned(), name);
                    self.delete(store, child, &key, &uid, &mut outcome).await;
                }
                Action::DeleteSelf => {
                    let key = (namespace(object).to_owned(), name(object).to_owned());
                    self.delete(store, kind, &key, uid(object), &mut outcome).await;
                }
                Action::Event {
                    warning,
                    reason,
                    message,
                } => {
                    self.event(component, object, warning, &reason, &message).await;
                }
            }
        }
        if let Some(status) = plan.status
            && Some(&status) != object.get("status")
        {
            self.write_status(store, kind, object, status, &mut outcome).await;
        }
        outcome
    }

    async fn create(&self, store: &Mutex<Store>, kind: Kind, body: Value, outcome: &mut Outcome) {
        let api = self.api(kind, namespace(&body));
        let wanted = name(&body).to_owned();
        let owner = controller(&body).map(|owner| text(owner, "/uid").to_owned());
        let body: DynamicObject = serde_json::from_value(body).expect("a plan makes whole objects");
        let made = match api.create(&PostParams::default(), &body).await {
            // A repetition of a request that had been taken, unless it is somebody else's.
            Err(Error::Api(status)) if status.code == 409 => match api.get_opt(&wanted).await {
                Ok(Some(existing)) if controller_uid(&existing) == owner => Ok(existing),
                Ok(_) => Err(Error::Api(status)),
                Err(error) => Err(error),
            },
            answer => answer,
        };
        match made {
            Ok(made) => lock(store)
                .upsert(kind, to_json(kind, made))
                .clone_into(&mut outcome.concerned),
            Err(error) => {
                let (code, message) = match error {
                    Error::Api(status) => (status.code, status.message),
                    other => (0, other.to_string()),
                };
                tracing::debug!(kind = ?kind, name = wanted, code, message, "could not create");
                outcome.refused.push(Refusal {
                    kind,
                    name: wanted,
                    code,
                    message,
                });
                outcome.again = true;
            }
        }
    }

    async fn delete(&self, store: &Mutex<Store>, kind: Kind, key: &(String, String), uid: &str, outcome: &mut Outcome) {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match self.api(kind, &key.0).delete(&key.1, &params).await {
            Ok(answer) => {
                let concerned = match answer.left() {
                    Some(rest) if controller_or_self_is(&rest, uid) => lock(store).upsert(kind, to_json(kind, rest)),
                    _ => lock(store).forget(kind, key, uid),
                };
                outcome.concerned.extend(concerned);
            }
            Err(Error::Api(status)) if is_gone(&status) => {
                outcome.concerned.extend(lock(store).forget(kind, key, uid));
            }
            Err(error) => {
                tracing::debug!(kind = ?kind, name = key.1, %error, "could not delete");
                outcome.again = true;
            }
        }
    }

    async fn write_status(
        &self,
        store: &Mutex<Store>,
        kind: Kind,
        object: &Value,
        status: Value,
        outcome: &mut Outcome,
    ) {
        let api = self.api(kind, namespace(object));
        let mut changed = object.clone();
        changed["status"] = status;
        let changed: DynamicObject = serde_json::from_value(changed).expect("came from the server");
        let params = PostParams::default();
        let answer = if kind.has_status_subresource() {
            api.replace_status(name(object), &params, &changed).await
        } else {
            api.replace(name(object), &params, &changed).await
        };
        match answer {
            Ok(written) => outcome
                .concerned
                .extend(lock(store).upsert(kind, to_json(kind, written))),
            Err(Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                // Mostly a conflict: the watch is about to tell what the object is now.
                tracing::debug!(kind = ?kind, name = name(object), %error, "could not write the status");
                outcome.again = true;
            }
        }
    }

    /// Tells an event, or counts it once more. Failures do not matter: events may be lost.
    async fn event(&self, component: &str, object: &Value, warning: bool, reason: &str, message: &str) {
        let key = (uid(object).to_owned(), reason.to_owned(), message.to_owned());
        let known = self
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.client.clone(),
            namespace(object),
            &kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "Event")),
        );
        let now = stamp(Timestamp::now());
        let (event, count) = if let Some((event, count)) = known {
            let patch = json!({ "count": count + 1, "lastTimestamp": now });
            if let Err(error) = api.patch(&event, &PatchParams::default(), &Patch::Merge(&patch)).await {
                tracing::debug!(%error, "could not count an event");
            }
            (event, count + 1)
        } else {
            let event = format!("{}.{:016x}", name(object), random_number());
            let body = new_event(&event, component, object, warning, reason, message, &now);
            if let Err(error) = api.create(&PostParams::default(), &body).await {
                tracing::debug!(%error, "could not tell an event");
            }
            (event, 1)
        };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= EVENTS {
            events.clear();
        }
        events.insert(key, (event, count));
    }
}

fn new_event(
    event: &str,
    component: &str,
    object: &Value,
    warning: bool,
    reason: &str,
    message: &str,
    now: &Value,
) -> DynamicObject {
    let body = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": event, "namespace": namespace(object) },
        "involvedObject": {
            "apiVersion": object["apiVersion"],
            "kind": object["kind"],
            "namespace": namespace(object),
            "name": name(object),
            "uid": uid(object),
            "resourceVersion": text(object, "/metadata/resourceVersion"),
        },
        "type": if warning { "Warning" } else { "Normal" },
        "reason": reason,
        "message": message,
        "source": { "component": component },
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    });
    serde_json::from_value(body).expect("a whole object")
}

fn lock(store: &Mutex<Store>) -> std::sync::MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

fn controller_uid(object: &DynamicObject) -> Option<String> {
    let owners = object.metadata.owner_references.iter().flatten();
    owners
        .filter(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.clone())
        .next()
}

/// Whether a server that answers a deletion with an object means that this object is still on its way out. Some kinds are
/// answered with the object even when it is gone already; then there is no time of deletion.
fn controller_or_self_is(rest: &DynamicObject, uid: &str) -> bool {
    rest.metadata.uid.as_deref() == Some(uid) && rest.metadata.deletion_timestamp.is_some()
}

/// Whether a refused deletion means that the object is no more: no such name, or another uid.
fn is_gone(status: &Status) -> bool {
    matches!(status.code, 404 | 409)
}
