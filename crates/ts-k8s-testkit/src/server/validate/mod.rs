//! What the server refuses to store, kind by kind; all problems of an object in one go.

mod batch;
mod container;
mod core;
mod meta;
mod pod;

use super::failure::{Cause, Failure};
use super::kinds::Kind;
use super::schema;
use serde_json::Value;

/// The rules of a new object.
pub(crate) fn create(kind: &Kind, object: &Value) -> Result<(), Failure> {
    let mut causes = Vec::new();
    meta::check(kind, object, &mut causes);
    rules(kind, object, &mut causes);
    refuse(kind, object, &causes)
}

/// The rules of a changed one.
pub(crate) fn update(kind: &Kind, subresource: &str, old: &Value, new: &Value) -> Result<(), Failure> {
    let mut causes = Vec::new();
    meta::check(kind, new, &mut causes);
    meta::check_update(old, new, &mut causes);
    if subresource.is_empty() {
        changes(kind, old, new, &mut causes);
    }
    if causes.is_empty() && subresource.is_empty() {
        rules(kind, new, &mut causes);
    }
    refuse(kind, new, &causes)
}

fn refuse(kind: &Kind, object: &Value, causes: &[Cause]) -> Result<(), Failure> {
    if causes.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Failure::invalid(&kind.group, &kind.kind, name, causes))
}

fn rules(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    if kind.custom() {
        schema::check(&kind.schema, object, "", causes);
        return;
    }
    match kind.kind.as_str() {
        "Pod" => pod::check(&object["spec"], "spec", causes),
        "Job" => batch::check(object, causes),
        "ConfigMap" => core::config_map(object, causes),
        "Secret" => core::secret(object, causes),
        "Service" => core::service(object, causes),
        "PersistentVolumeClaim" => core::claim(object, causes),
        "Event" => core::event(object, causes),
        "ResourceQuota" => core::quota(object, causes),
        _ => {}
    }
}

fn changes(kind: &Kind, old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    if kind.custom() {
        return;
    }
    match kind.kind.as_str() {
        "Pod" => pod::check_update(old, new, causes),
        "Job" => batch::check_update(old, new, causes),
        "ConfigMap" | "Secret" => core::check_data_update(kind, old, new, causes),
        _ => {}
    }
}

/// The text at a path of an object; empty if there is none.
fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The entries of a list; none if it is absent.
fn list<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    object
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
}
