//! Reading and writing objects as plain JSON: all kinds alike, fields that are absent like their zero value, as the
//! operators' own language has it. Deliberately not here: what only pods have.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The text at a JSON pointer, empty where there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a JSON pointer.
pub(super) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The list at a JSON pointer, empty where there is none.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The members of the object at a JSON pointer, none where there is no object.
pub(super) fn members<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
}

/// Whether `true` stands at a JSON pointer.
pub(super) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(super) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub(super) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// Whether somebody has asked for its deletion.
pub(super) fn deleting(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|at| !at.is_null())
}

/// A label, empty where there is none.
pub(super) fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    entry(object, "labels", key)
}

/// An annotation, empty where there is none.
pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    entry(object, "annotations", key)
}

fn entry<'a>(object: &'a Value, map: &str, key: &str) -> &'a str {
    // Not by pointer: the keys hold slashes.
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(map)?.get(key)?.as_str())
        .unwrap_or_default()
}

/// The owner reference that is marked as the controller.
pub(super) fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| flag(owner, "/controller"))
}

/// Whether `owner` is the controller of `object`.
pub(super) fn controlled_by(object: &Value, owner: &Value) -> bool {
    controller(object).is_some_and(|reference| text(reference, "/uid") == uid(owner))
}

/// The reference by which `owner` controls another object.
pub(super) fn controller_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The object under `key`, made if it is not there.
pub(super) fn section<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut at = value;
    for key in path {
        if !at.is_object() {
            *at = json!({});
        }
        at = at
            .as_object_mut()
            .expect("just made an object")
            .entry(*key)
            .or_insert_with(|| json!({}));
    }
    if !at.is_object() {
        *at = json!({});
    }
    at.as_object_mut().expect("just made an object")
}

/// The list under `key`, made if it is not there.
pub(super) fn list_mut<'a>(value: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    let entry = section(value, &[]).entry(key).or_insert_with(|| json!([]));
    if !entry.is_array() {
        *entry = json!([]);
    }
    entry.as_array_mut().expect("just made a list")
}

/// A point in time as the API writes it, to the second.
pub(super) fn stamp(at: Timestamp) -> Value {
    Value::String(format!("{at:.0}"))
}

/// How long ago a time was that an object tells; zero if it lies ahead.
pub(super) fn elapsed(now: Timestamp, since: &Value) -> Option<Duration> {
    let since: Timestamp = since.as_str()?.parse().ok()?;
    Some(Duration::try_from(now.duration_since(since)).unwrap_or_default())
}

/// What is left of `allowed` since a time that an object tells; `None` once it is over.
pub(super) fn remaining(now: Timestamp, since: &Value, allowed: Duration) -> Option<Duration> {
    allowed.checked_sub(elapsed(now, since)?).filter(|left| !left.is_zero())
}

/// Five characters as Kubernetes appends them to generated names.
///
/// Source: kubernetes v1.20, `staging/src/k8s.io/apimachinery/pkg/util/rand/rand.go`: no vowels, nothing that looks alike.
pub(super) fn random_suffix() -> String {
    const CHARACTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = random_number();
    (0..5)
        .map(|_| {
            let character = CHARACTERS[usize::try_from(random % 27).expect("below 27")];
            random /= 27;
            char::from(character)
        })
        .collect()
}

/// A number that differs at each call, from the seed that the standard library gives its hash maps.
pub(super) fn random_number() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_to_the_second_and_compared() {
        let now: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(stamp(now), json!("2026-01-02T03:04:05Z"));
        assert_eq!(
            elapsed(now, &json!("2026-01-02T03:04:00Z")),
            Some(Duration::from_millis(5678))
        );
        assert_eq!(elapsed(now, &json!("2026-01-02T03:05:00Z")), Some(Duration::ZERO));
        assert_eq!(elapsed(now, &Value::Null), None);
        let start = json!("2026-01-02T03:04:00Z");
        assert_eq!(
            remaining(now, &start, Duration::from_secs(6)),
            Some(Duration::from_millis(322))
        );
        assert_eq!(remaining(now, &start, Duration::from_secs(5)), None);
    }

    #[test]
    fn names_get_five_characters_of_the_alphabet_of_kubernetes() {
        let suffix = random_suffix();
        assert_eq!(suffix.len(), 5);
        assert!(
            suffix
                .bytes()
                .all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte)),
            "{suffix}"
        );
        assert!((0..20).any(|_| random_suffix() != suffix));
    }

    #[test]
    fn labels_may_have_slashes_and_sections_are_made() {
        let mut object = json!({});
        section(&mut object, &["metadata", "labels"]).insert("a.b/c".into(), json!("d"));
        assert_eq!(label(&object, "a.b/c"), "d");
        assert_eq!(annotation(&object, "a.b/c"), "");
    }
}
