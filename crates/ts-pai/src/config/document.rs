//! A job document of the user's (protocol version 2), as far as we must know it: its task roles, whose commands we surround.
//!
//! What is checked is what the server checks, so that a mistake shows before the first trial. Filling it for a trial is in
//! `job.rs`.
//!
//! Sources: microsoft/openpai-protocol, `schemas/v2/schema.yaml`; microsoft/pai v1.8,
//! `src/rest-server/src/middlewares/v2/protocol.js`.

use serde_json::{Map, Value as Json};
use std::{fmt, path::Path};
use ts_core::config::{Key, Node, Problem, Problems, Section, Value, load_yaml};

/// Keys that a document may have.
const TOP: [&str; 15] = [
    "protocolVersion",
    "name",
    "type",
    "version",
    "contributor",
    "description",
    "prerequisites",
    "parameters",
    "secrets",
    "jobRetryCount",
    "taskRoles",
    "deployments",
    "defaults",
    "extras",
    // Written by the server itself when it exports a job.
    "debugId",
];
/// Keys that a task role may have.
const ROLE: [&str; 11] = [
    "protocolVersion",
    "instances",
    "completion",
    "taskRetryCount",
    "dockerImage",
    "data",
    "output",
    "script",
    "extraContainerOptions",
    "resourcePerInstance",
    "commands",
];
/// A server reads at most so many bytes of a document. Source: microsoft/pai v1.8, body-parser's default for text.
const MOST_BYTES: u64 = 100 * 1024;

/// A job document of the user's. Its secrets never show.
#[derive(Clone, PartialEq)]
pub struct Document(Json);

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Document").field(&masked(self.0.clone())).finish()
    }
}

impl Document {
    pub(crate) fn value(&self) -> &Json {
        &self.0
    }

    /// Its task roles, in the order of the file.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&String, &Json)> {
        self.0["taskRoles"].as_object().into_iter().flatten()
    }

    /// Whether it names storage.
    pub(crate) fn has_storage(&self) -> bool {
        self.0["extras"]["storages"]
            .as_array()
            .is_some_and(|list| !list.is_empty())
    }
}

/// A document as people may see it.
pub(crate) fn masked(mut document: Json) -> Json {
    let hide = |value: &mut Json| *value = Json::from("***");
    if let Some(secrets) = document.get_mut("secrets").and_then(Json::as_object_mut) {
        secrets.values_mut().for_each(hide);
    }
    let prerequisites = document.get_mut("prerequisites").and_then(Json::as_array_mut);
    for auth in prerequisites
        .into_iter()
        .flatten()
        .filter_map(|item| item.get_mut("auth"))
    {
        if let Some(password) = auth.get_mut("password") {
            hide(password);
        }
    }
    document
}

/// Reads the file that `key` names, if it is there.
pub(super) fn read_file(s: &mut Section<'_>, key: Key) -> Option<Document> {
    let path = s.path(key)?;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) if text.len() as u64 <= MOST_BYTES => text,
        Ok(_) => {
            s.problem(
                key,
                format!("`{}` is larger than any server reads", path.display()),
                "keep it below 100 kB",
            );
            return None;
        }
        Err(error) => {
            s.problem(
                key,
                format!("the file `{}` cannot be read: {error}", path.display()),
                "name a YAML file with a job of protocol version 2",
            );
            return None;
        }
    };
    let node = load_yaml(&text, &path, s.problems())?;
    check(&node, &path, "", s.problems())
}

/// Reads `openpaiConfig`.
pub(super) fn read_inline(s: &mut Section<'_>) -> Option<Document> {
    let path = s.key_path("openpaiConfig");
    let file = &s.source().file;
    let node = s.node("openpaiConfig")?;
    check(node, file, &format!("{path}."), s.problems())
}

struct Check<'a> {
    file: &'a Path,
    prefix: &'a str,
    problems: &'a mut Problems,
}

impl Check<'_> {
    fn problem(&mut self, at: &Node, key: &str, message: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::new(self.file, at.line, at.column, message);
        self.problems
            .push(problem.with_key(format!("{}{key}", self.prefix)).with_help(help));
    }
}

fn check(node: &Node, file: &Path, prefix: &str, problems: &mut Problems) -> Option<Document> {
    let mut check = Check { file, prefix, problems };
    let before = check.problems.len();
    let Some(entries) = node.entries() else {
        let message = format!("a job document is expected, found {}", node.describe());
        check.problem(node, "", message, "write a job of protocol version 2, with `taskRoles`");
        return None;
    };
    for entry in entries.iter().filter(|entry| !TOP.contains(&entry.key.as_str())) {
        let message = format!("the job protocol knows no `{}`", entry.key);
        check.problem(
            &entry.value,
            &entry.key,
            message,
            format!("known keys: {}", TOP[..14].join(", ")),
        );
    }
    match node.get("protocolVersion").map(|version| &version.value) {
        Some(Value::Int(2)) => {}
        Some(Value::String(text)) if text == "2" => {}
        _ => {
            let at = node.get("protocolVersion").unwrap_or(node);
            check.problem(
                at,
                "protocolVersion",
                "the version of the protocol must be 2",
                "write `protocolVersion: 2`",
            );
        }
    }
    if text(node, "type") != Some("job") {
        let at = node.get("type").unwrap_or(node);
        check.problem(at, "type", "the type must be `job`", "write `type: job`");
    }
    roles(node, &mut check);
    retries(node, &mut check);
    let is_good = check.problems.len() == before;
    match node.to_json() {
        Ok(value) => is_good.then(|| Document(without_export(value))),
        Err(culprit) => {
            let message = format!("{} is no number that JSON can hold", culprit.describe());
            check.problem(culprit, "", message, "write a finite number");
            None
        }
    }
}

/// What the server adds when it exports a job, and refuses when it is sent again.
fn without_export(mut value: Json) -> Json {
    if let Some(map) = value.as_object_mut() {
        map.remove("debugId");
    }
    value
}

fn roles(node: &Node, check: &mut Check<'_>) {
    let roles = node.get("taskRoles");
    let Some(entries) = roles.and_then(Node::entries).filter(|entries| !entries.is_empty()) else {
        let help =
            "add `taskRoles:` with at least one role that has `commands`, `dockerImage` and `resourcePerInstance`";
        check.problem(roles.unwrap_or(node), "taskRoles", "the job has no task role", help);
        return;
    };
    let images = images(node);
    for entry in entries {
        let (key, role) = (format!("taskRoles.{}", entry.key), &entry.value);
        let mut letters = entry.key.chars();
        let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !starts || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = format!("`{}` cannot name a task role", entry.key.escape_debug());
            check.problem(
                role,
                &key,
                message,
                "write letters, digits and `_`, not starting with a digit",
            );
        }
        for inner in role.entries().unwrap_or_default() {
            if !ROLE.contains(&inner.key.as_str()) {
                let message = format!("a task role knows no `{}`", inner.key);
                let help = format!("known keys: {}", ROLE.join(", "));
                check.problem(&inner.value, &format!("{key}.{}", inner.key), message, help);
            }
        }
        commands(role, &key, check);
        resources(role, &key, check);
        let image_key = format!("{key}.dockerImage");
        match role.get("dockerImage").map(|image| (image, &image.value)) {
            Some((_, Value::String(name))) if images.contains(&name.as_str()) => {}
            Some((at, _)) => {
                let help = "name one of `prerequisites` of type `dockerimage`";
                check.problem(
                    at,
                    &image_key,
                    format!("{} is no image of this job", at.describe()),
                    help,
                );
            }
            None => check.problem(role, &image_key, "the role has no image", "add `dockerImage: …`"),
        }
        let instances = role.get("instances");
        if let Some(at) = instances.filter(|n| !matches!(n.value, Value::Int(1..=10_000))) {
            check.problem(
                at,
                &format!("{key}.instances"),
                "a number of instances is expected",
                "write 1 or more",
            );
        }
    }
}

fn images(node: &Node) -> Vec<&str> {
    let items = match node.get("prerequisites").map(|list| &list.value) {
        Some(Value::Seq(items)) => items.as_slice(),
        _ => &[],
    };
    items
        .iter()
        .filter(|item| text(item, "type") == Some("dockerimage"))
        .filter_map(|item| text(item, "name"))
        .collect()
}

fn text<'a>(map: &'a Node, key: &str) -> Option<&'a str> {
    match &map.get(key)?.value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn commands(role: &Node, key: &str, check: &mut Check<'_>) {
    let key = format!("{key}.commands");
    let help = "write a list of shell commands";
    match role.get("commands").map(|list| (list, &list.value)) {
        Some((_, Value::Seq(items))) if !items.is_empty() => {
            for item in items {
                match &item.value {
                    Value::String(text) if !text.contains('\0') => {}
                    _ => check.problem(
                        item,
                        &key,
                        format!("a command is expected, found {}", item.describe()),
                        help,
                    ),
                }
            }
        }
        Some((at, _)) => check.problem(at, &key, "the role has no command", help),
        None => check.problem(role, &key, "the role has no command", help),
    }
}

fn resources(role: &Node, key: &str, check: &mut Check<'_>) {
    let key = format!("{key}.resourcePerInstance");
    let Some(resources) = role.get("resourcePerInstance").filter(|node| node.entries().is_some()) else {
        let help = "add `resourcePerInstance: {gpu: …, cpu: …, memoryMB: …}`";
        check.problem(role, &key, "the role does not say what it needs", help);
        return;
    };
    for name in ["gpu", "cpu", "memoryMB"] {
        let value = resources.get(name);
        if !value.is_some_and(|n| matches!(n.value, Value::Int(0..=9_999_999))) {
            let message = format!("`{name}` must be a whole number");
            check.problem(
                value.unwrap_or(resources),
                &format!("{key}.{name}"),
                message,
                format!("write `{name}: …`"),
            );
        }
    }
}

/// Attempts that the platform repeats by itself would report their metrics twice; ours are trials of their own.
fn retries(node: &Node, check: &mut Check<'_>) {
    let own = node
        .get("jobRetryCount")
        .map(|count| ("jobRetryCount".to_owned(), count));
    let of_roles = node.get("taskRoles").and_then(Node::entries).unwrap_or_default().iter();
    let of_roles = of_roles.filter_map(|entry| {
        let count = entry.value.get("taskRetryCount")?;
        Some((format!("taskRoles.{}.taskRetryCount", entry.key), count))
    });
    for (key, count) in own.into_iter().chain(of_roles) {
        if !matches!(count.value, Value::Int(0) | Value::Null) {
            let warning = Problem::new(
                check.file,
                count.line,
                count.column,
                "it has no effect: jobs are not repeated by the platform",
            )
            .with_key(format!("{}{key}", check.prefix))
            .with_help("failed trials are repeated as trials: see `retry` in the section `tsctl`");
            check.problems.warn(warning);
        }
    }
}

/// The map of a document, for those who fill it.
pub(crate) fn as_map(value: Json) -> Map<String, Json> {
    match value {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}
