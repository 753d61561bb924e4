//! The resolved view: every value that was read or defaulted, with its origin, for `tsctl config --resolved`.
//!
//! Secrets are masked before they get here. The rendered YAML is itself a configuration that reads back as the same model,
//! masked secrets aside.

use std::fmt;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Origin {
    /// Written in the file at this line.
    #[serde(rename_all = "camelCase")]
    File {
        /// The file as the user named it.
        file: String,
        /// Line, from 1.
        line: u32,
    },
    /// Our default.
    Default,
    /// Copied from this top-level key.
    Shortcut(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Default => f.write_str("default"),
            Self::Shortcut(key) => write!(f, "from {key}"),
        }
    }
}

/// One value with its key and origin.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ResolvedValue {
    /// Full key in the schema of the file, such as `tuner.classArgs` or `machineList[0].ip`.
    pub key: String,
    /// The value, secrets masked.
    pub value: serde_json::Value,
    /// Where it comes from.
    pub origin: Origin,
}

impl ResolvedValue {
    pub(super) fn new(key: impl Into<String>, value: impl Into<serde_json::Value>, origin: Origin) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            origin,
        }
    }
}

/// Every value of a configuration, in reading order.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct Resolved {
    values: Vec<ResolvedValue>,
}

impl Resolved {
    /// Takes the noted values; a later note of the same key replaces the earlier one.
    pub(super) fn new(noted: Vec<ResolvedValue>) -> Self {
        let mut values: Vec<ResolvedValue> = Vec::with_capacity(noted.len());
        for value in noted {
            match values.iter_mut().find(|v| v.key == value.key) {
                Some(old) => *old = value,
                None => values.push(value),
            }
        }
        Self { values }
    }

    /// The values in reading order.
    pub fn values(&self) -> &[ResolvedValue] {
        &self.values
    }

    /// The values as one tree, as the configuration file nests them. Keys without a value are left out.
    pub fn to_json(&self) -> serde_json::Value {
        let mut root = serde_json::Value::Object(serde_json::Map::new());
        for ResolvedValue { key, value, .. } in &self.values {
            if value.is_null() {
                continue;
            }
            let mut place = &mut root;
            for step in key.split(['.', '[']) {
                place = match step.strip_suffix(']').and_then(|n| n.parse::<usize>().ok()) {
                    Some(index) => element(place, index),
                    None => member(place, step),
                };
            }
            *place = value.clone();
        }
        root
    }

    /// The tree as YAML.
    ///
    /// # Errors
    /// `Internal` if the tree cannot be written, which would be a defect of ours.
    pub fn to_yaml(&self) -> crate::Result<String> {
        serde_yaml::to_string(&self.to_json()).map_err(|e| {
            crate::Error::new(
                crate::ErrorKind::Internal,
                "the resolved configuration cannot be written as YAML",
            )
            .with_source(e)
        })
    }
}

fn member<'a>(place: &'a mut serde_json::Value, name: &str) -> &'a mut serde_json::Value {
    if !place.is_object() {
        *place = serde_json::Value::Object(serde_json::Map::new());
    }
    &mut place[name]
}

fn element(place: &mut serde_json::Value, index: usize) -> &mut serde_json::Value {
    if !place.is_array() {
        *place = serde_json::Value::Array(Vec::new());
    }
    if let serde_json::Value::Array(items) = place
        && items.len() <= index
    {
        items.resize(index + 1, serde_json::Value::Null);
    }
    &mut place[index]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_nest_as_in_the_file() {
        let line = |line| Origin::File {
            file: "c.yml".into(),
            line,
        };
        let resolved = Resolved::new(vec![
            ResolvedValue::new("a", 1, line(1)),
            ResolvedValue::new("list[0].port", 22, Origin::Default),
            ResolvedValue::new("list[1].host", "h", line(4)),
            ResolvedValue::new("a", 2, Origin::Shortcut("b")),
            ResolvedValue::new("absent", serde_json::Value::Null, Origin::Default),
        ]);
        assert_eq!(
            resolved.to_json(),
            json!({"a": 2, "list": [{"port": 22}, {"host": "h"}]})
        );
        assert_eq!(resolved.values()[0].origin.to_string(), "from b");
        assert_eq!(resolved.values()[2].origin.to_string(), "c.yml:4");
        let text = resolved.to_yaml().unwrap();
        assert!(text.contains("host: h"), "{text}");
    }
}
