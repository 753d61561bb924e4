//! The typed readers of a [`Section`]: one value each, checked at once, reported with its place.
//!
//! Walking the map, nested sections and unknown keys are in `section`.

use super::{
    node::Value,
    problems::nearest,
    quantity,
    secret_ref::{CONFIG_REFERENCE, SecretRef},
    section::{Key, Section},
};
use crate::Secret;
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

impl Section<'_> {
    /// A text.
    pub fn string(&mut self, key: impl Into<Key>) -> Option<String> {
        let key = key.into();
        let node = self.node(key)?;
        let Value::String(text) = &node.value else {
            let help = match node.value {
                Value::Seq(_) | Value::Map(_) => None,
                _ => Some("put it in quotes to make it a text"),
            };
            self.wrong(
                key,
                node,
                format!("a text is expected, found {}", node.describe()),
                help,
            );
            return None;
        };
        self.note(key, node, text.as_str());
        Some(text.clone())
    }

    /// A text that must be there; empty on a problem.
    pub fn required_string(&mut self, key: impl Into<Key>) -> String {
        let key = key.into();
        let there = self.has(key);
        let read = self.string(key);
        if !there {
            self.missing(key);
        }
        if read.as_deref().is_some_and(|t| t.trim().is_empty()) {
            self.problem(key, "the text is empty", "write a value");
        }
        read.unwrap_or_default()
    }

    /// A text with a default.
    pub fn string_or(&mut self, key: impl Into<Key>, default: &str) -> String {
        let key = key.into();
        if !self.has(key) {
            self.note_default(key, default);
        }
        self.string(key).unwrap_or_else(|| default.to_owned())
    }

    /// `true` or `false`.
    pub fn bool(&mut self, key: impl Into<Key>) -> Option<bool> {
        let key = key.into();
        let node = self.node(key)?;
        let Value::Bool(value) = node.value else {
            self.expected(key, node, "`true` or `false`");
            return None;
        };
        self.note(key, node, value);
        Some(value)
    }

    /// `true` or `false`, with a default.
    pub fn bool_or(&mut self, key: impl Into<Key>, default: bool) -> bool {
        let key = key.into();
        if !self.has(key) {
            self.note_default(key, default);
        }
        self.bool(key).unwrap_or(default)
    }

    /// A whole number within `range`.
    pub fn int(&mut self, key: impl Into<Key>, range: RangeInclusive<i64>) -> Option<i64> {
        let key = key.into();
        let node = self.node(key)?;
        let Value::Int(value) = node.value else {
            self.expected(key, node, "a whole number");
            return None;
        };
        if let Some(value) = i64::try_from(value).ok().filter(|n| range.contains(n)) {
            self.note(key, node, value);
            return Some(value);
        }
        let range = match *range.end() {
            i64::MAX => format!("at least {}", range.start()),
            end => format!("{} to {end}", range.start()),
        };
        self.wrong(
            key,
            node,
            format!("`{value}` is out of range: {range}"),
            Some(&format!("write a whole number, {range}")),
        );
        None
    }

    /// A whole number within `range`, from 0 to 2^32 - 1.
    pub fn u32(&mut self, key: impl Into<Key>, range: RangeInclusive<u32>) -> Option<u32> {
        let range = i64::from(*range.start())..=i64::from(*range.end());
        self.int(key, range).and_then(|n| u32::try_from(n).ok())
    }

    /// A whole number that must be there; the range's start on a problem.
    pub fn required_u32(&mut self, key: impl Into<Key>, range: RangeInclusive<u32>) -> u32 {
        let key = key.into();
        let start = *range.start();
        let there = self.has(key);
        let read = self.u32(key, range);
        if !there {
            self.missing(key);
        }
        read.unwrap_or(start)
    }

    /// A whole number with a default.
    pub fn u32_or(&mut self, key: impl Into<Key>, range: RangeInclusive<u32>, default: u32) -> u32 {
        let key = key.into();
        if !self.has(key) {
            self.note_default(key, default);
        }
        self.u32(key, range).unwrap_or(default)
    }

    /// A duration above zero, such as `90s`, `1.5h`, `2d`, or a bare number of seconds.
    pub fn duration(&mut self, key: impl Into<Key>) -> Option<Duration> {
        let key = key.into();
        let node = self.node(key)?;
        match quantity::duration(node) {
            Some(value) if !value.is_zero() => {
                let text = format!("{}s", value.as_secs());
                self.note(key, node, text);
                Some(value)
            }
            Some(_) => {
                self.wrong(key, node, "the duration must be above zero".into(), None);
                None
            }
            None => {
                self.expected(
                    key,
                    node,
                    "a duration (a number and `s`, `m`, `h` or `d`, such as `2h`)",
                );
                None
            }
        }
    }

    /// Memory in MiB, such as `8gb` or a bare number of MiB.
    pub fn memory_mib(&mut self, key: impl Into<Key>) -> Option<u64> {
        let key = key.into();
        let node = self.node(key)?;
        let value = quantity::memory_mib(node);
        match value {
            Some(value) => self.note(key, node, value),
            None => self.expected(key, node, "an amount of memory (such as `8gb`, or a number of MB)"),
        }
        value
    }

    /// A size in bytes, such as `300mb` or a bare number of bytes.
    pub fn bytes(&mut self, key: impl Into<Key>) -> Option<u64> {
        let key = key.into();
        let node = self.node(key)?;
        let value = quantity::bytes(node);
        match value {
            Some(value) => self.note(key, node, value),
            None => self.expected(key, node, "a size (such as `300mb`, or a number of bytes)"),
        }
        value
    }

    /// A path, made absolute: `~` is the home directory, relative ones start at the file's directory.
    pub fn path(&mut self, key: impl Into<Key>) -> Option<PathBuf> {
        let key = key.into();
        let node = self.node(key)?;
        let Value::String(text) = &node.value else {
            self.expected(key, node, "a path");
            return None;
        };
        match self.source().resolve(text) {
            Ok(path) => {
                self.note(key, node, path.to_string_lossy().into_owned());
                self.problems().note_path(node.line, node.column);
                Some(path)
            }
            Err(message) => {
                self.wrong(key, node, message, Some("write an absolute path"));
                None
            }
        }
    }

    /// A path that must be there; empty on a problem.
    pub fn required_path(&mut self, key: impl Into<Key>) -> PathBuf {
        let key = key.into();
        let there = self.has(key);
        let read = self.path(key);
        if !there {
            self.missing(key);
        }
        read.unwrap_or_default()
    }

    /// One of the `allowed` texts, with its exact spelling.
    pub fn choice(&mut self, key: impl Into<Key>, allowed: &[&'static str]) -> Option<&'static str> {
        let key = key.into();
        let node = self.node(key)?;
        let list = allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ");
        let text = match &node.value {
            Value::String(text) => text.as_str(),
            // YAML 1.1 reads these two as truth values; where they are choices, the word was meant.
            Value::Bool(false) if allowed.contains(&"off") => "off",
            Value::Bool(true) if allowed.contains(&"on") => "on",
            _ => {
                self.expected(key, node, &format!("one of {list}"));
                return None;
            }
        };
        if let Some(found) = allowed.iter().find(|a| **a == text) {
            self.note(key, node, *found);
            return Some(*found);
        }
        let help = nearest(text, allowed.iter().copied()).map(|n| format!("did you mean `{n}`?"));
        self.wrong(key, node, format!("`{text}` is none of {list}"), help.as_deref());
        None
    }

    /// GPU indices: a list, one number, or a text such as `0,1`.
    pub fn gpu_indices(&mut self, key: impl Into<Key>) -> Option<Vec<u32>> {
        let key = key.into();
        let node = self.node(key)?;
        match quantity::gpu_indices(node) {
            Ok(indices) => {
                self.note(key, node, indices.clone());
                Some(indices)
            }
            Err(message) => {
                self.wrong(key, node, message, Some("write indices from 0 on, such as `0,1`"));
                None
            }
        }
    }

    /// A list of texts.
    pub fn strings(&mut self, key: impl Into<Key>) -> Option<Vec<String>> {
        let key = key.into();
        let node = self.node(key)?;
        let texts = match &node.value {
            Value::Seq(items) => items
                .iter()
                .map(|item| match &item.value {
                    Value::String(text) => Ok(text.clone()),
                    _ => Err(item),
                })
                .collect::<Result<Vec<_>, _>>(),
            _ => Err(node),
        };
        match texts {
            Ok(texts) => {
                self.note(key, node, texts.clone());
                Some(texts)
            }
            Err(culprit) => {
                self.expected(
                    key,
                    culprit,
                    if std::ptr::eq(culprit, node) {
                        "a list of texts"
                    } else {
                        "a text"
                    },
                );
                None
            }
        }
    }

    /// Any value, as JSON.
    pub fn json(&mut self, key: impl Into<Key>) -> Option<serde_json::Value> {
        let key = key.into();
        let node = self.node(key)?;
        match node.to_json() {
            Ok(value) => {
                self.note(key, node, value.clone());
                Some(value)
            }
            Err(culprit) => {
                let message = format!("{} is no number that JSON can hold", culprit.describe());
                self.wrong(
                    key,
                    culprit,
                    message,
                    Some("trials get their parameters as JSON; write a finite number"),
                );
                None
            }
        }
    }

    /// A secret: written out, `${env:NAME}` or `file:PATH`. It is not looked up here and never shows.
    pub fn secret(&mut self, key: impl Into<Key>) -> Option<SecretRef> {
        let key = key.into();
        let node = self.node(key)?;
        let Value::String(text) = &node.value else {
            // The value is not shown: it may well be the secret.
            self.wrong(
                key,
                node,
                "a text is expected".into(),
                Some("put it in quotes, or refer to it as `${env:NAME}` or `file:PATH`"),
            );
            return None;
        };
        // A block ends with a line feed that is not meant.
        let reference = text.trim_end();
        let is_reference = [CONFIG_REFERENCE, "${env:"]
            .iter()
            .any(|kind| reference.starts_with(kind));
        let secret = if is_reference && reference.ends_with('}') {
            SecretRef::Reference(reference.to_owned())
        } else if let Some(path) = reference.strip_prefix("file:") {
            match self.source().resolve(path) {
                Ok(path) => {
                    self.problems().note_path(node.line, node.column);
                    SecretRef::Reference(format!("file:{}", path.display()))
                }
                Err(message) => {
                    self.wrong(key, node, message, Some("write an absolute path"));
                    return None;
                }
            }
        } else {
            let secret = Secret::new(text.clone());
            self.note_secret(key, node, secret.clone());
            SecretRef::Literal(secret)
        };
        self.note(key, node, secret.to_string());
        Some(secret)
    }
}
