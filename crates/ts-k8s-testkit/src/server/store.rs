//! What is stored: objects by kind, namespace and name, one counter of versions, and the changes that watches replay. Rules of
//! kinds are elsewhere; this is the `etcd` of the server.

use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::watch;

/// Changes beyond this many are compacted, the oldest first, so that a long test does not grow without end.
const MOST_CHANGES: usize = 100_000;

/// Where an object is: kind, namespace (empty: none) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// [`super::kinds::Kind::id`].
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    /// The key of an object of this kind.
    pub(crate) fn of(kind: &str, object: &Value) -> Self {
        let text = |path: &str| {
            object
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            kind: kind.to_owned(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        }
    }
}

/// One change: `old` is `None` for the first, `new` for the last of an object. `last` is what a watch shows.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) key: Key,
    pub(crate) old: Option<Arc<Value>>,
    pub(crate) new: Option<Arc<Value>>,
    pub(crate) last: Arc<Value>,
}

/// All objects.
#[derive(Debug)]
pub(crate) struct Store {
    version: u64,
    compacted: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    changes: VecDeque<Change>,
    /// Tells watches and controllers the newest version.
    changed: watch::Sender<u64>,
}

impl Store {
    /// An empty one.
    pub(crate) fn new() -> Self {
        // A real cluster has written a few hundred objects before it is ready.
        let first = 200;
        Self {
            version: first,
            compacted: 0,
            objects: BTreeMap::new(),
            changes: VecDeque::new(),
            changed: watch::Sender::new(first),
        }
    }

    /// The newest version.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Versions up to this one can no longer be watched from.
    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Changes whenever something is written.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Forgets how the objects came to be as they are.
    pub(crate) fn compact(&mut self) {
        // One version further, so that even the newest known to a client is too old.
        self.version += 1;
        self.compacted = self.version;
        self.changes.clear();
        self.changed.send_replace(self.version);
    }

    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// All objects of a kind in a namespace, or in all, by namespace and name.
    pub(crate) fn list(&self, kind: &str, namespace: Option<&str>) -> Vec<(Key, Arc<Value>)> {
        let from = Key {
            kind: kind.to_owned(),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: String::new(),
        };
        self.objects
            .range(from..)
            .take_while(|(key, _)| key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace))
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect()
    }

    /// Everything.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// Writes an object, giving it the next version.
    pub(crate) fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let object = Arc::new(object);
        let old = self.objects.insert(key.clone(), Arc::clone(&object));
        self.note(Change {
            version: self.version,
            key,
            old,
            new: Some(Arc::clone(&object)),
            last: Arc::clone(&object),
        });
        object
    }

    /// Removes an object, whose last state `last` is what watches show.
    pub(crate) fn remove(&mut self, key: &Key, mut last: Value) {
        let Some(old) = self.objects.remove(key) else { return };
        self.version += 1;
        last["metadata"]["resourceVersion"] = self.version.to_string().into();
        let key = key.clone();
        self.note(Change {
            version: self.version,
            key,
            old: Some(old),
            new: None,
            last: Arc::new(last),
        });
    }

    fn note(&mut self, change: Change) {
        self.changes.push_back(change);
        if self.changes.len() > MOST_CHANGES
            && let Some(oldest) = self.changes.pop_front()
        {
            self.compacted = oldest.version;
        }
        self.changed.send_replace(self.version);
    }

    /// The changes of a kind after a version; `None` when some were compacted.
    pub(crate) fn since(&self, version: u64, kind: &str, namespace: Option<&str>) -> Option<Vec<Change>> {
        if version < self.compacted {
            return None;
        }
        let from = self.changes.partition_point(|change| change.version <= version);
        let ours = |change: &&Change| {
            change.key.kind == kind && namespace.is_none_or(|namespace| change.key.namespace == namespace)
        };
        Some(self.changes.range(from..).filter(ours).cloned().collect())
    }
}
