//! The schema of custom kinds: what it refuses, and which unknown fields it drops. Only the keywords that job kinds use are
//! known; a schema with a pattern of another form is refused when it is installed.
//!
//! Source: the messages are kube-apiserver v1.20.2's, observed; `x-kubernetes-preserve-unknown-fields` holds for all below, as
//! kubernetes v1.20 `pkg/apiserver/schema/pruning/algorithm.go` of apiextensions-apiserver has it for parts without properties.

use super::failure::Cause;
use serde_json::{Map, Value};

/// What the schema refuses about the object. Array positions are left out of paths, as the real server leaves them.
pub(crate) fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if schema.is_null() || value.is_null() {
        return;
    }
    if let Some(wanted) = schema["type"].as_str()
        && !has_type(value, wanted)
    {
        let (found, shown) = described(value);
        let why = format!("{path} in body must be of type {wanted}: {shown}");
        causes.push(Cause::invalid(path, format_args!("{found:?}"), &why));
        return;
    }
    if let Some(known) = schema["enum"].as_array()
        && !known.contains(value)
    {
        let known: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
        causes.push(Cause::not_supported(path, value.as_str().unwrap_or_default(), &known));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !Class::parse(pattern).is_some_and(|class| class.matches(text))
    {
        causes.push(Cause::text(
            path,
            text,
            &format!("{path} in body should match '{pattern}'"),
        ));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        causes.push(Cause::invalid(
            path,
            value,
            &format!("{path} in body should be greater than or equal to {least}"),
        ));
    }
    if let (Some(most), Some(number)) = (schema["maximum"].as_f64(), value.as_f64())
        && number > most
    {
        causes.push(Cause::invalid(
            path,
            value,
            &format!("{path} in body should be less than or equal to {most}"),
        ));
    }
    if let Some(items) = value.as_array() {
        for item in items {
            check(&schema["items"], item, path, causes);
        }
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !fields.contains_key(name) {
            causes.push(Cause::required(join(path, name), ""));
        }
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = fields.get(name) {
            check(field, value, &join(path, name), causes);
        }
    }
}

/// Drops what the schema does not know. `apiVersion`, `kind` and `metadata` of the object itself are known to all.
pub(crate) fn prune(schema: &Value, value: &mut Value, root: bool) {
    if schema.is_null() || schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| prune(&schema["items"], item, false)),
        Value::Object(fields) => {
            let empty = Map::new();
            let known = schema["properties"].as_object().unwrap_or(&empty);
            let others = &schema["additionalProperties"];
            let common = |name: &str| root && ["apiVersion", "kind", "metadata"].contains(&name);
            fields.retain(|name, _| common(name) || known.contains_key(name) || !others.is_null());
            for (name, field) in fields.iter_mut().filter(|(name, _)| !common(name)) {
                prune(known.get(name).unwrap_or(others), field, false);
            }
        }
        _ => {}
    }
}

/// The first pattern that [`check`] could not decide.
pub(crate) fn unknown_pattern(schema: &Value) -> Option<String> {
    match schema {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match value.as_str() {
            Some(pattern) if name == "pattern" && Class::parse(pattern).is_none() => Some(pattern.to_owned()),
            _ => unknown_pattern(value),
        }),
        Value::Array(items) => items.iter().find_map(unknown_pattern),
        _ => None,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn has_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn described(value: &Value) -> (&'static str, String) {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    (name, format!("{name:?}"))
}

/// A pattern of the form `^[a-z0-9]{1,63}$`.
#[derive(Debug, PartialEq, Eq)]
struct Class {
    ranges: Vec<(char, char)>,
    least: usize,
    most: usize,
}

impl Class {
    fn parse(pattern: &str) -> Option<Self> {
        let (class, count) = pattern.strip_prefix("^[")?.strip_suffix("}$")?.split_once("]{")?;
        let (least, most) = count.split_once(',')?;
        let chars: Vec<char> = class.chars().collect();
        let ranges = chars.chunks(3).map(|part| match part {
            [from, '-', to] => Some((*from, *to)),
            _ => None,
        });
        Some(Self {
            ranges: ranges.collect::<Option<_>>()?,
            least: least.parse().ok()?,
            most: most.parse().ok()?,
        })
    }

    fn matches(&self, text: &str) -> bool {
        let count = text.chars().count();
        count >= self.least
            && count <= self.most
            && text
                .chars()
                .all(|c| self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_class_matches_its_characters_and_lengths_only() {
        let class = Class::parse("^[a-z0-9]{1,63}$").expect("a class");
        assert!(class.matches("a1"));
        assert!(!class.matches("bad-name"));
        assert!(!class.matches(""));
        assert!(!class.matches(&"a".repeat(64)));
        assert_eq!(Class::parse("^(a|b)$"), None);
    }

    #[test]
    fn unknown_fields_are_dropped_where_the_schema_does_not_keep_them() {
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"a": {"type": "integer"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}});
        let mut object =
            json!({"kind": "K", "metadata": {"name": "n"}, "x": 1, "spec": {"a": 1, "b": 2, "free": {"c": 3}}});
        prune(&schema, &mut object, true);
        assert_eq!(
            object,
            json!({"kind": "K", "metadata": {"name": "n"}, "spec": {"a": 1, "free": {"c": 3}}})
        );
    }
}
