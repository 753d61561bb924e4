//! What codes and environments have in common: names, bodies, and how they are shown.

use crate::{call::Call, clock, reply::Reply, shared::Shared};
use serde_json::{Map, Value, json};

/// Whether a name is one of a job, a code, an environment.
///
/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/mfe.json`, parameter pattern `^[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}$`.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let is_first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    is_first && name.len() <= 255 && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Refuses a name that is none.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Reply> {
    if is_name(name) {
        return Ok(());
    }
    let text = format!(
        "The {what} '{name}' is invalid. It must match the regular expression '^[a-zA-Z0-9][a-zA-Z0-9\\-_]{{0,254}}$'."
    );
    Err(Reply::aml(400, "UserError", text))
}

/// The `properties` of a body, of which only these are known.
pub(super) fn properties(call: &Call, known: &[&str]) -> Result<Map<String, Value>, Reply> {
    let body = call.json();
    let body = body.map_err(|why| {
        Reply::arm(
            400,
            "InvalidRequestContent",
            format!("The request content was invalid: {why}"),
        )
    })?;
    let top = body.as_object().ok_or_else(|| user_error("The request has no body."))?;
    // These are read-only and come back with what was read.
    refuse_unknown("", top, &["properties", "id", "name", "type", "systemData"])?;
    let properties = top.get("properties").and_then(Value::as_object);
    let properties = properties.ok_or_else(|| user_error("The property 'properties' is required."))?;
    refuse_unknown("properties.", properties, known)?;
    // A null says the same as absence.
    let given = properties.iter().filter(|(_, value)| !value.is_null());
    Ok(given.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Refuses properties that the schema does not have.
///
/// Source: the spec's `additionalProperties: false`; the words are those of Json.NET's `MissingMemberHandling.Error`.
pub(super) fn refuse_unknown(at: &str, object: &Map<String, Value>, known: &[&str]) -> Result<(), Reply> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(user_error(format!(
            "Could not find member '{key}' on object. Path '{at}{key}'."
        ))),
        None => Ok(()),
    }
}

/// Sees that these are maps of texts. Numbers become texts, as Json.NET reads them: Microsoft's own client sends `hash_version` so.
pub(super) fn texts(properties: &mut Map<String, Value>, fields: &[&str]) -> Result<(), Reply> {
    for field in fields {
        let Some(value) = properties.get_mut(*field) else {
            continue;
        };
        let refused = || user_error(format!("The value of '{field}' must be a map of strings."));
        let map = value.as_object_mut().ok_or_else(refused)?;
        for value in map.values_mut() {
            match value {
                Value::Number(number) => *value = json!(number.to_string()),
                Value::String(_) | Value::Null => {}
                _ => return Err(refused()),
            }
        }
    }
    Ok(())
}

/// How an asset is shown.
pub(super) fn view(shared: &Shared, kind: &str, name: &str, version: &str, properties: &Value) -> Value {
    json!({
        "id": format!("{}/{kind}/{name}/versions/{version}", shared.scope()),
        "name": version,
        "type": format!("Microsoft.MachineLearningServices/workspaces/{kind}/versions"),
        "properties": properties,
        "systemData": {
            "createdAt": clock::text(clock::now()),
            "createdBy": "Trials",
            "createdByType": "Application",
        },
    })
}

pub(super) fn user_error(text: impl Into<String>) -> Reply {
    Reply::aml(400, "UserError", text)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names() {
        for good in ["a", "9-_x", "nni-abc-Trial_1", &"a".repeat(255)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "_a", "a.b", "a b", "ä", &"a".repeat(256)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
