//! Copies of what is watched, by kind and by owner. What the operators themselves write enters at once, so that no plan is
//! made from before the last one; late news about it is told apart by its version.

use super::{
    plan::Kind,
    value::{controller, label, name, namespace, text, uid},
};
use kube::{api::DynamicObject, runtime::watcher::Event};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

/// How many objects of a kind that are gone are remembered. What is under way at a time is far less.
const REMEMBERED: usize = 8192;

/// Namespace and name.
pub(super) type Key = (String, String);

/// An object that an engine is responsible for.
pub(super) type Id = (Kind, Key);

#[derive(Debug, Default)]
struct Shelf {
    objects: HashMap<Key, Arc<Value>>,
    /// Uids known to be gone. The watch may still tell of one that an answer has declared gone, and the answer to a deletion
    /// may come after the watch has told of its end.
    gone: HashSet<String>,
    /// The same in their order, so that only the latest are kept.
    gone_in_order: VecDeque<String>,
    /// What this program wrote or the watch listed since the last list began.
    seen: HashSet<Key>,
}

/// The copies.
#[derive(Debug)]
pub(super) struct Store {
    shelves: HashMap<Kind, Shelf>,
    children: HashMap<Id, BTreeSet<(Kind, Key)>>,
    engines: HashSet<Kind>,
    /// Kinds that have been listed in full.
    listed: HashSet<Kind>,
}

impl Store {
    /// A store for objects of the kinds that have an engine, and their children.
    pub(super) fn new(engines: HashSet<Kind>) -> Self {
        Self {
            shelves: HashMap::new(),
            children: HashMap::new(),
            engines,
            listed: HashSet::new(),
        }
    }

    /// Whether all that a plan for objects of this kind depends on is known. Before, what is there would seem to be missing.
    pub(super) fn knows_all_about(&self, kind: Kind) -> bool {
        kind.watched_for().iter().all(|needed| self.listed.contains(needed))
    }

    pub(super) fn get(&self, kind: Kind, key: &Key) -> Option<Arc<Value>> {
        self.shelves.get(&kind)?.objects.get(key).cloned()
    }

    /// The children of an object that are of one kind, by name.
    pub(super) fn children(&self, id: &Id, kind: Kind) -> Vec<Arc<Value>> {
        let keys = self.children.get(id).into_iter().flatten();
        keys.filter(|(of, _)| *of == kind)
            .filter_map(|(kind, key)| self.get(*kind, key))
            .collect()
    }

    /// Takes news from a watch. Returns whom it concerns.
    pub(super) fn observe(&mut self, kind: Kind, event: Event<DynamicObject>) -> Vec<Id> {
        match event {
            Event::Init => {
                self.shelves.entry(kind).or_default().seen.clear();
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => self.upsert(kind, to_json(kind, object)),
            Event::Delete(object) => {
                let object = to_json(kind, object);
                self.forget(kind, &key(&object), uid(&object))
            }
            Event::InitDone => {
                self.listed.insert(kind);
                let copies = self.shelves.entry(kind).or_default();
                let vanished: Vec<(Key, String)> = copies
                    .objects
                    .iter()
                    .filter(|(key, _)| !copies.seen.contains(*key))
                    .map(|(key, object)| (key.clone(), uid(object).to_owned()))
                    .collect();
                vanished
                    .into_iter()
                    .flat_map(|(key, uid)| self.remove(kind, &key, &uid))
                    .collect()
            }
        }
    }

    /// Takes an object as the server answered it or the watch told it. Returns whom it concerns.
    pub(super) fn upsert(&mut self, kind: Kind, object: Value) -> Vec<Id> {
        let Some(concerned) = self.concerned(kind, &object) else {
            return Vec::new();
        };
        let key = key(&object);
        let copies = self.shelves.entry(kind).or_default();
        copies.seen.insert(key.clone());
        if copies.gone.contains(uid(&object)) {
            return Vec::new();
        }
        if let Some(known) = copies.objects.get(&key)
            && uid(known) == uid(&object)
            && version(known) >= version(&object)
        {
            return Vec::new();
        }
        copies.objects.insert(key.clone(), Arc::new(object));
        for owner in &concerned {
            if owner.0 != kind {
                self.children
                    .entry(owner.clone())
                    .or_default()
                    .insert((kind, key.clone()));
            }
        }
        concerned
    }

    /// Forgets an object that the server says it has removed. Returns whom it concerns.
    pub(super) fn forget(&mut self, kind: Kind, key: &Key, uid: &str) -> Vec<Id> {
        let copies = self.shelves.entry(kind).or_default();
        if copies.gone.insert(uid.to_owned()) {
            copies.gone_in_order.push_back(uid.to_owned());
        }
        if copies.gone_in_order.len() > REMEMBERED
            && let Some(oldest) = copies.gone_in_order.pop_front()
        {
            copies.gone.remove(&oldest);
        }
        self.remove(kind, key, uid)
    }

    fn remove(&mut self, kind: Kind, key: &Key, uid: &str) -> Vec<Id> {
        let copies = self.shelves.entry(kind).or_default();
        let Some(object) = copies
            .objects
            .get(key)
            .filter(|object| self::uid(object) == uid)
            .cloned()
        else {
            return Vec::new();
        };
        copies.objects.remove(key);
        let concerned = self.concerned(kind, &object).unwrap_or_default();
        for owner in &concerned {
            if let Some(children) = self.children.get_mut(owner) {
                children.remove(&(kind, key.clone()));
                if children.is_empty() {
                    self.children.remove(owner);
                }
            }
        }
        concerned
    }

    /// The objects to look at because of this one; `None` if it is none of ours.
    fn concerned(&self, kind: Kind, object: &Value) -> Option<Vec<Id>> {
        if self.engines.contains(&kind) {
            return Some(vec![(kind, key(object))]);
        }
        if matches!(kind, Kind::TrainingRuntime | Kind::ClusterTrainingRuntime) {
            return Some(self.users_of(kind, object));
        }
        let owner = owner(object)?;
        self.engines.contains(&owner.0).then(|| vec![owner])
    }

    fn users_of(&self, kind: Kind, runtime: &Value) -> Vec<Id> {
        let jobs = self
            .shelves
            .get(&Kind::TrainJob)
            .into_iter()
            .flat_map(|copies| &copies.objects);
        jobs.filter(|(_, job)| runtime_of(job) == (kind, key(runtime)))
            .map(|(key, _)| (Kind::TrainJob, key.clone()))
            .collect()
    }
}

/// Where the runtime of a TrainJob is.
pub(super) fn runtime_of(job: &Value) -> (Kind, Key) {
    let name = text(job, "/spec/runtimeRef/name").to_owned();
    match text(job, "/spec/runtimeRef/kind") {
        "TrainingRuntime" => (Kind::TrainingRuntime, (namespace(job).to_owned(), name)),
        _ => (Kind::ClusterTrainingRuntime, (String::new(), name)),
    }
}

fn key(object: &Value) -> Key {
    (namespace(object).to_owned(), name(object).to_owned())
}

/// The object that a child belongs to. Pods of a Framework are controlled by its ConfigMap and carry its name as a label.
fn owner(child: &Value) -> Option<Id> {
    let reference = controller(child)?;
    let (kind, name) = match (text(reference, "/apiVersion"), text(reference, "/kind")) {
        ("batch/v1", "Job") => (Kind::Job, text(reference, "/name")),
        ("kubeflow.org/v1", "TFJob") => (Kind::TfJob, text(reference, "/name")),
        ("kubeflow.org/v1", "PyTorchJob") => (Kind::PyTorchJob, text(reference, "/name")),
        (_, "TrainJob") => (Kind::TrainJob, text(reference, "/name")),
        (_, "Framework") => (Kind::Framework, text(reference, "/name")),
        ("v1", "ConfigMap") => (Kind::Framework, label(child, "FC_FRAMEWORK_NAME")),
        _ => return None,
    };
    Some((kind, (namespace(child).to_owned(), name.to_owned())))
}

fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or_default()
}

/// An object with its type, which items of a list lack, and without the bookkeeping of fields.
pub(super) fn to_json(kind: Kind, mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    let resource = kind.resource();
    let mut value = serde_json::to_value(object).expect("an object that came as JSON");
    value["apiVersion"] = json!(resource.api_version);
    value["kind"] = json!(resource.kind);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, uid: &str, version: u64, owner: Option<(&str, &str, &str)>) -> Value {
        let mut object = json!({
            "metadata": { "namespace": "n", "name": name, "uid": uid, "resourceVersion": version.to_string() },
        });
        if let Some((api, kind, name)) = owner {
            object["metadata"]["ownerReferences"] =
                json!([{ "apiVersion": api, "kind": kind, "name": name, "uid": "o", "controller": true }]);
        }
        object
    }

    fn dynamic(object: Value) -> DynamicObject {
        serde_json::from_value(object).unwrap()
    }

    fn store() -> Store {
        Store::new(HashSet::from([Kind::Job, Kind::Framework, Kind::TrainJob]))
    }

    fn id(kind: Kind, name: &str) -> Id {
        (kind, ("n".to_owned(), name.to_owned()))
    }

    #[test]
    fn children_lead_to_their_owner_and_strangers_are_not_kept() {
        let mut store = store();
        let pod = object("p", "1", 1, Some(("batch/v1", "Job", "j")));
        assert_eq!(store.upsert(Kind::Pod, pod), [id(Kind::Job, "j")]);
        assert_eq!(store.children(&id(Kind::Job, "j"), Kind::Pod).len(), 1);
        let stranger = object("q", "2", 2, Some(("apps/v1", "ReplicaSet", "r")));
        assert!(store.upsert(Kind::Pod, stranger).is_empty());
        assert!(store.get(Kind::Pod, &("n".to_owned(), "q".to_owned())).is_none());
        let mut pod = object("f-r-0", "3", 3, Some(("v1", "ConfigMap", "f-attempt")));
        pod["metadata"]["labels"] = json!({ "FC_FRAMEWORK_NAME": "f" });
        assert_eq!(store.upsert(Kind::Pod, pod), [id(Kind::Framework, "f")]);
    }

    #[test]
    fn older_news_do_not_undo_what_was_written() {
        let mut store = store();
        store.upsert(Kind::Job, object("j", "1", 5, None));
        assert!(store.upsert(Kind::Job, object("j", "1", 4, None)).is_empty());
        assert_eq!(store.upsert(Kind::Job, object("j", "1", 6, None)).len(), 1);
        // Another object of that name.
        assert_eq!(store.upsert(Kind::Job, object("j", "2", 3, None)).len(), 1);
    }

    #[test]
    fn what_is_known_to_be_gone_stays_gone() {
        let mut store = store();
        let pod = object("p", "1", 1, Some(("batch/v1", "Job", "j")));
        store.upsert(Kind::Pod, pod.clone());
        let key = ("n".to_owned(), "p".to_owned());
        assert_eq!(store.forget(Kind::Pod, &key, "1"), [id(Kind::Job, "j")]);
        let mut late = pod;
        late["metadata"]["resourceVersion"] = json!("2");
        assert!(store.upsert(Kind::Pod, late).is_empty());
        assert!(store.children(&id(Kind::Job, "j"), Kind::Pod).is_empty());
    }

    #[test]
    fn the_answer_to_a_deletion_may_come_after_its_end() {
        let mut store = store();
        let pod = object("p", "1", 1, Some(("batch/v1", "Job", "j")));
        store.upsert(Kind::Pod, pod.clone());
        assert_eq!(
            store.observe(Kind::Pod, Event::Delete(dynamic(pod.clone()))),
            [id(Kind::Job, "j")]
        );
        let mut answer = pod;
        answer["metadata"]["resourceVersion"] = json!("3");
        assert!(store.upsert(Kind::Pod, answer).is_empty());
        assert!(store.children(&id(Kind::Job, "j"), Kind::Pod).is_empty());
    }

    #[test]
    fn a_list_removes_what_it_does_not_hold_but_not_what_was_written_meanwhile() {
        let mut store = store();
        store.upsert(Kind::Job, object("old", "1", 1, None));
        store.observe(Kind::Job, Event::Init);
        store.observe(Kind::Job, Event::InitApply(dynamic(object("listed", "2", 2, None))));
        store.upsert(Kind::Job, object("written", "3", 3, None));
        assert_eq!(store.observe(Kind::Job, Event::InitDone), [id(Kind::Job, "old")]);
        assert!(store.get(Kind::Job, &("n".to_owned(), "written".to_owned())).is_some());
        assert!(store.get(Kind::Job, &("n".to_owned(), "listed".to_owned())).is_some());
    }

    #[test]
    fn a_kind_is_ready_when_its_children_are_listed_too() {
        let mut store = store();
        store.observe(Kind::Job, Event::InitDone);
        assert!(!store.knows_all_about(Kind::Job));
        store.observe(Kind::Pod, Event::InitDone);
        assert!(store.knows_all_about(Kind::Job) && !store.knows_all_about(Kind::Framework));
    }

    #[test]
    fn a_runtime_concerns_the_jobs_that_refer_to_it() {
        let mut store = store();
        let mut job = object("t", "1", 1, None);
        job["spec"] = json!({ "runtimeRef": { "name": "torch" } });
        store.upsert(Kind::TrainJob, job);
        let runtime = json!({ "metadata": { "name": "torch", "uid": "2", "resourceVersion": "2" } });
        assert_eq!(
            store.upsert(Kind::ClusterTrainingRuntime, runtime),
            [id(Kind::TrainJob, "t")]
        );
    }
}
