//! Readers for values that only this platform has: names that the cluster checks, lists of them, CPUs, amounts of memory.
//!
//! The rules of names are in `names.rs`; which key holds which value is in `roles.rs`, `storage.rs` and `pods.rs`.

use super::names::Check;
use std::path::Path;
use ts_core::config::{Key, Node, Origin, Problem, Problems, Section, Value};

/// A text that must pass `check`; `what` completes "`x` cannot be …".
pub(super) fn named(s: &mut Section<'_>, key: impl Into<Key>, what: &str, check: Check) -> Option<String> {
    let key = key.into();
    let text = s.string(key)?;
    match check(&text) {
        Ok(()) => Some(text),
        Err(rule) => {
            s.problem(key, format!("`{}` cannot be {what}", text.escape_debug()), rule);
            None
        }
    }
}

/// The same for a key that must be there; empty on a problem.
pub(super) fn required_named(s: &mut Section<'_>, key: impl Into<Key>, what: &str, check: Check) -> String {
    let key = key.into();
    let text = s.required_string(key);
    if !text.trim().is_empty()
        && let Err(rule) = check(&text)
    {
        s.problem(key, format!("`{}` cannot be {what}", text.escape_debug()), rule);
    }
    text
}

/// A list of names, each a text or, as Kubernetes writes it, a map `{name: …}`.
pub(super) fn names(s: &mut Section<'_>, key: &'static str, what: &str, check: Check) -> Vec<String> {
    let Some(node) = s.node(key) else { return Vec::new() };
    let Value::Seq(items) = &node.value else {
        let message = format!("a list of names is expected, found {}", node.describe());
        s.problem(key, message, format!("write `{key}: [name]`"));
        return Vec::new();
    };
    let mut names: Vec<String> = Vec::new();
    let mut report = Report::new(s);
    for (at, item) in items.iter().enumerate() {
        let path = report.key(&format!("{key}[{at}]"));
        let name = match (item.entries(), item.get("name")) {
            (Some([_]), Some(name)) => name,
            _ => item,
        };
        let Value::String(name) = &name.value else {
            let message = format!("a name is expected, found {}", name.describe());
            report.problem(item, &path, message, "write the name as a text");
            continue;
        };
        match check(name) {
            Err(rule) => report.problem(item, &path, format!("`{}` cannot be {what}", name.escape_debug()), rule),
            Ok(()) if names.contains(name) => {
                report.problem(
                    item,
                    &path,
                    format!("`{name}` is listed twice"),
                    "remove one of the two",
                );
            }
            Ok(()) => names.push(name.clone()),
        }
    }
    note(s, key, node, names.clone());
    names
}

/// CPUs: a number such as `2` or `0.5`, or thousandths such as `500m`. 0 stands for the cluster's default.
///
/// Kubernetes refuses what is finer than a thousandth.
pub(super) fn cpus(s: &mut Section<'_>, key: impl Into<Key>) -> Option<String> {
    const MOST: u64 = 99_999_000;
    let key = key.into();
    let node = s.node(key)?;
    let text = match &node.value {
        Value::Int(n) => n.to_string(),
        Value::Float(n) => n.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => String::new(),
    };
    let Some(n @ 0..=MOST) = thousandths(&text) else {
        let message = format!("a number of CPUs is expected, found {}", node.describe());
        s.problem(key, message, "write up to 99999 CPUs, such as `2`, `0.5` or `500m`");
        return None;
    };
    let cpus = match n % 1000 {
        0 => (n / 1000).to_string(),
        _ => format!("{n}m"),
    };
    note(s, key, node, cpus.as_str());
    (n > 0).then_some(cpus)
}

fn thousandths(text: &str) -> Option<u64> {
    let (number, scale) = match text.strip_suffix('m') {
        Some(number) => (number, 0),
        None => (text, 3),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = [whole, fraction]
        .iter()
        .all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let fraction = fraction.trim_end_matches('0');
    if !is_number || number.trim_matches('.').is_empty() || fraction.len() > scale {
        return None;
    }
    format!("{whole}{fraction:0<scale$}").parse().ok()
}

/// Memory in MiB: what NNI takes (`8gb`, a number of MiB), or a quantity such as `8Gi`. 0 stands for the cluster's default.
pub(super) fn memory_mib(s: &mut Section<'_>, key: impl Into<Key>) -> Option<u64> {
    /// More than this would not fit into the 63 bits that Kubernetes counts bytes with.
    const MOST: u64 = 1 << 43;
    let key = key.into();
    let node = s.node(key)?;
    let quantity = match &node.value {
        Value::String(text) => binary_mib(text.trim()),
        _ => None,
    };
    let mib = match quantity {
        Some(mib) => {
            note(s, key, node, mib);
            mib
        }
        None => s.memory_mib(key)?,
    };
    if mib >= MOST {
        s.problem(
            key,
            "so much memory has no machine",
            "write an amount such as `8gb` or `8Gi`",
        );
    }
    (1..MOST).contains(&mib).then_some(mib)
}

fn binary_mib(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 5] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
    ];
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    let thousandths = u128::from(thousandths(number)?);
    let bytes = (thousandths * u128::from(factor)).div_ceil(1000);
    u64::try_from(bytes.div_ceil(1 << 20)).ok()
}

/// Notes a value that was read here, for the resolved view.
pub(super) fn note(s: &mut Section<'_>, key: impl Into<Key>, node: &Node, value: impl Into<serde_json::Value>) {
    let path = s.key_path(key);
    let origin = Origin::File {
        file: s.source().file.display().to_string(),
        line: node.line,
    };
    s.problems().note(path, value, origin);
}

/// Where problems in a tree go that is passed on as it is, and so has no cursor.
#[derive(Debug)]
pub(in crate::config) struct Report<'a> {
    file: &'a Path,
    prefix: String,
    problems: &'a mut Problems,
}

impl<'a> Report<'a> {
    /// For trees in the section `s`.
    pub(in crate::config) fn new<'s: 'a>(s: &'a mut Section<'s>) -> Self {
        let source = s.source();
        Self {
            file: &source.file,
            prefix: s.key_path(""),
            problems: s.problems(),
        }
    }
    /// For a tree that is a file of its own.
    pub(in crate::config) fn of_file(file: &'a Path, problems: &'a mut Problems) -> Self {
        Self {
            file,
            prefix: String::new(),
            problems,
        }
    }
    /// The full name of `key`.
    pub(in crate::config) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
    /// Reports a problem at `at`, whose full key is `key`.
    pub(in crate::config) fn problem(
        &mut self,
        at: &Node,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = Problem::new(self.file, at.line, at.column, message);
        self.problems.push(problem.with_key(key).with_help(help));
    }
    /// Warns at `at`.
    pub(in crate::config) fn warn(
        &mut self,
        at: &Node,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let warning = Problem::new(self.file, at.line, at.column, message);
        self.problems.warn(warning.with_key(key).with_help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_in_thousandths() {
        for (text, expected) in [
            ("2", Some(2000)),
            ("0.5", Some(500)),
            (".25", Some(250)),
            ("1.", Some(1000)),
            ("1.5000", Some(1500)),
            ("500m", Some(500)),
            ("0", Some(0)),
            ("1.0m", Some(1)),
            ("0.0005", None),
            ("1.5m", None),
            ("", None),
            (".", None),
            ("m", None),
            ("-1", None),
            ("1e3", None),
            ("1,5", None),
            ("inf", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    #[test]
    fn quantities_of_memory() {
        for (text, expected) in [
            ("8Gi", Some(8192)),
            ("512Mi", Some(512)),
            ("1.5Gi", Some(1536)),
            ("1Ki", Some(1)),
            ("1025Ki", Some(2)),
            ("2Ti", Some(2 << 20)),
            ("8G", None),
            ("Gi", None),
            ("-1Gi", None),
            ("8gi", None),
        ] {
            assert_eq!(binary_mib(text), expected, "{text}");
        }
    }
}
