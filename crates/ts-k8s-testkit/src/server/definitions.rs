//! CustomResourceDefinitions that clients write: their kinds are served from then on, as they say.
//!
//! Source: kubernetes v1.20, `staging/src/k8s.io/apiextensions-apiserver/pkg/controller/establish`. Each has one schema here, that of
//! its stored version; the kinds of all versions are looked at by it.

use super::failure::Failure;
use super::kinds::Kind;
use super::schema;
use super::store::Key;
use super::world::World;
use serde_json::{Value, json};
use std::sync::Arc;

/// Refuses what this server could not check objects by.
pub(crate) fn check(definition: &Value) -> Result<(), Failure> {
    match schema::unknown_pattern(definition) {
        None => Ok(()),
        Some(pattern) => Err(Failure::bad_request(format!(
            "the pattern `{pattern}` is of a form that this server does not know"
        ))),
    }
}

/// Serves the kind of a stored definition, and says so in its status. The answer to the writer does not say it yet.
pub(crate) fn establish(world: &mut World, definition: &Arc<Value>) {
    let kind = kind_of(&definition["spec"]);
    let id = kind.id();
    world.kinds.retain(|known| known.id() != id);
    world.kinds.push(Arc::new(kind));
    let mut established = Value::clone(definition);
    established["status"] = json!({
        "acceptedNames": definition["spec"]["names"],
        "conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}],
    });
    let key = Key::of("customresourcedefinitions.apiextensions.k8s.io", &established);
    world.store.put(key, established);
}

fn kind_of(spec: &Value) -> Kind {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let versions = spec["versions"].as_array().cloned().unwrap_or_default();
    let stored = versions.iter().find(|version| version["storage"] == true);
    let stored = stored.unwrap_or(&Value::Null);
    let served = versions.iter().filter(|version| version["served"] == true);
    Kind {
        group: text(&spec["group"]),
        versions: served.map(|version| text(&version["name"])).collect(),
        kind: text(&spec["names"]["kind"]),
        plural: text(&spec["names"]["plural"]),
        namespaced: spec["scope"] != "Cluster",
        status: stored["subresources"].get("status").is_some(),
        decode: None,
        schema: stored["schema"]["openAPIV3Schema"].clone(),
    }
}
