//! All that the server knows, behind one lock: objects, kinds, users, what a test armed, what was requested. It decides nothing.

use super::auth::User;
use super::failure::Failure;
use super::faults::Armed;
use super::gate::Hold;
use super::kinds::{self, Kind};
use super::log::Request;
use super::store::{Key, Store};
use crate::Node;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

/// A webhook that refuses all writes of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    pub(crate) plural: String,
    pub(crate) code: u16,
    /// `None`: it cannot be reached.
    pub(crate) message: Option<String>,
}

/// All state.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) kinds: Vec<Arc<Kind>>,
    pub(crate) users: Vec<User>,
    pub(crate) denials: Vec<Denial>,
    pub(crate) faults: Vec<Armed>,
    pub(crate) holds: Vec<Hold>,
    /// Numbered, since a test may forget some while others wait for their answers.
    pub(crate) requests: Vec<(u64, Request)>,
    requested: u64,
    pub(crate) node: Option<Arc<dyn Node>>,
    /// Of the version that the server says it has.
    pub(crate) minor: u32,
    /// How far its clock is ahead.
    pub(crate) clock: SignedDuration,
}

impl World {
    /// A cluster right after it was set up: two namespaces with their service accounts.
    pub(crate) fn new(users: Vec<User>, minor: u32, clock: SignedDuration) -> Self {
        let mut world = Self {
            store: Store::new(),
            kinds: kinds::builtins().into_iter().map(Arc::new).collect(),
            users,
            denials: Vec::new(),
            faults: Vec::new(),
            holds: Vec::new(),
            requests: Vec::new(),
            requested: 0,
            node: None,
            minor,
            clock,
        };
        for name in ["default", "kube-system"] {
            let meta = json!({"name": name, "uid": uid(), "creationTimestamp": world.now()});
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": meta,
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
            world.store.put(Key::of("namespaces", &namespace), namespace);
            world.add_service_account(name);
        }
        world
    }

    /// Every namespace gets one of the name `default`.
    pub(crate) fn add_service_account(&mut self, namespace: &str) {
        let meta = json!({"name": "default", "namespace": namespace, "uid": uid(), "creationTimestamp": self.now()});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta});
        self.store.put(Key::of("serviceaccounts", &account), account);
    }

    /// The time by the server's clock, in seconds as all its stamps.
    pub(crate) fn now(&self) -> String {
        self.later(0)
    }

    /// The time in so many seconds.
    pub(crate) fn later(&self, seconds: i64) -> String {
        let time = Timestamp::now() + self.clock + SignedDuration::from_secs(seconds);
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Notes a request, and gives it a number.
    pub(crate) fn note(&mut self, request: Request) -> u64 {
        self.requested += 1;
        self.requests.push((self.requested, request));
        self.requested
    }

    /// Notes the status of the answer to a request.
    pub(crate) fn answered(&mut self, number: u64, status: u16) {
        if let Ok(index) = self.requests.binary_search_by_key(&number, |(number, _)| *number) {
            self.requests[index].1.status = status;
        }
    }

    /// The kind of a group and plural.
    pub(crate) fn kind(&self, group: &str, plural: &str) -> Option<Arc<Kind>> {
        self.kinds
            .iter()
            .find(|kind| kind.group == group && kind.plural == plural)
            .cloned()
    }

    /// The kind by its id in keys.
    pub(crate) fn kind_of(&self, key: &Key) -> Option<Arc<Kind>> {
        self.kinds.iter().find(|kind| kind.id() == key.kind).cloned()
    }

    /// An object, or that it is not there.
    pub(crate) fn find(&self, kind: &Kind, key: &Key) -> Result<Arc<Value>, Failure> {
        self.store
            .get(key)
            .ok_or_else(|| Failure::not_found(&kind.group, &kind.plural, &key.name))
    }
}

/// A number that no other call gets.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A new uid.
pub(crate) fn uid() -> String {
    let (a, b) = (random(), random());
    let digits = format!("{a:016x}{b:016x}");
    format!(
        "{}-{}-4{}-a{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..]
    )
}

/// Five characters for a generated name.
///
/// Source: kubernetes v1.20, `staging/src/k8s.io/apimachinery/pkg/util/rand/rand.go`.
pub(crate) fn suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut number = random();
    let mut text = String::new();
    for _ in 0..5 {
        let index = usize::try_from(number % ALPHABET.len() as u64).unwrap_or_default();
        text.push(char::from(ALPHABET[index]));
        number /= ALPHABET.len() as u64;
    }
    text
}
