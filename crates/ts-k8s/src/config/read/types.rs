//! Holds a tree of the user's against the types of Kubernetes: what they do not take, and what a cluster would silently drop.
//!
//! Rules that types do not express are in `config/template.rs`.

use super::Report;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use ts_core::config::{Entry, Node, Value};

/// Reads each entry of `map` as the field of `T` that it is: wrong types are problems, fields that `T` lacks are warned about,
/// as a newer cluster may know them. Fields in `elsewhere` are checked by others.
pub(in crate::config) fn typed<T: Serialize + DeserializeOwned>(
    map: &Node,
    key: &str,
    elsewhere: &[&str],
    report: &mut Report<'_>,
) {
    for entry in map.entries().unwrap_or_default() {
        if entry.key.starts_with('$') || elsewhere.contains(&entry.key.as_str()) || entry.value.is_null() {
            continue;
        }
        let key = format!("{key}.{}", entry.key);
        let Ok(value) = entry.value.to_json() else { continue };
        match serde_json::from_value::<T>(json!({ entry.key.as_str(): value })) {
            Err(error) => report.problem(
                &entry.value,
                &key,
                format!("Kubernetes would not read this: {error}"),
                "write it as in a pod's manifest",
            ),
            Ok(read) => {
                let kept = serde_json::to_value(read).unwrap_or_default();
                warn_of_dropped(entry, &key, &kept, report);
            }
        }
    }
}

fn warn_of_dropped(entry: &Entry, key: &str, kept: &serde_json::Value, report: &mut Report<'_>) {
    if entry.key.starts_with('$') || entry.value.is_null() {
        return;
    }
    let Some(kept) = kept.get(&entry.key) else {
        report.warn(
            &entry.value,
            key,
            format!("Kubernetes knows no `{}` here", entry.key),
            "check the spelling; a cluster drops what it does not know",
        );
        return;
    };
    warn_below(&entry.value, key, kept, report);
}

fn warn_below(node: &Node, key: &str, kept: &serde_json::Value, report: &mut Report<'_>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                warn_of_dropped(entry, &format!("{key}.{}", entry.key), kept, report);
            }
        }
        Value::Seq(items) => {
            for (at, (item, kept)) in items.iter().zip(kept.as_array().into_iter().flatten()).enumerate() {
                warn_below(item, &format!("{key}[{at}]"), kept, report);
            }
        }
        _ => {}
    }
}
