//! A cursor over one map of a configuration: keys, nested sections, unknown keys, every fault with its place.
//!
//! A reader that fails has reported why and gives `None`, or a placeholder where the key is required: nothing that was
//! read may be used while there are problems. Keys that nobody asked for are refused when the section is finished.

use super::{
    literal_secret::LiteralSecret,
    node::{Entry, Node, Value},
    problems::{Problem, Problems, nearest},
    resolved::Origin,
    source::{ConfigSource, Schema},
};

/// A key's spelling in the two schemas. `"port".into()` is the same in both; `("maxTrialNumberPerGpu",
/// "maxTrialNumPerGpu").into()` gives schema 2's spelling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    v2: &'static str,
    v1: &'static str,
    /// Where [`super::migrate`] writes it.
    written: &'static str,
}

impl From<&'static str> for Key {
    fn from(both: &'static str) -> Self {
        Self {
            v2: both,
            v1: both,
            written: both,
        }
    }
}

impl From<(&'static str, &'static str)> for Key {
    fn from((v2, v1): (&'static str, &'static str)) -> Self {
        Self { v2, v1, written: v2 }
    }
}

impl Key {
    /// Has the key migrated to this place of schema 2 instead of to its own spelling there: a name beside its neighbors', or
    /// a path such as `storage.server` below the section's.
    #[must_use]
    pub const fn migrates_to(mut self, place: &'static str) -> Self {
        self.written = place;
        self
    }
    /// A key of which schema 2 has no counterpart: a migrated file does without it.
    #[must_use]
    pub const fn without_successor(name: &'static str) -> Self {
        Self {
            v2: name,
            v1: name,
            written: "",
        }
    }
    /// Its spelling in `schema`.
    pub fn spelling(self, schema: Schema) -> &'static str {
        match schema {
            Schema::V1 => self.v1,
            Schema::V2 => self.v2,
        }
    }
}

/// One map that is being read.
#[derive(Debug)]
pub struct Section<'a> {
    entries: &'a [Entry],
    used: Vec<bool>,
    known: Vec<Key>,
    path: String,
    line: u32,
    column: u32,
    schema: Schema,
    source: &'a ConfigSource,
    problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    /// Starts reading `node`, whose full key is `path`. Something other than a map is a problem and reads as an empty map.
    pub(super) fn new(
        node: &'a Node,
        path: impl Into<String>,
        schema: Schema,
        source: &'a ConfigSource,
        problems: &'a mut Problems,
    ) -> Self {
        let path = path.into();
        let entries = node.entries().unwrap_or_default();
        if node.entries().is_none() && !node.is_null() {
            let message = format!("a map of keys and values is expected, found {}", node.describe());
            problems.push(Problem::new(&source.file, node.line, node.column, message).with_key(&path));
        }
        let folded: Vec<String> = entries.iter().map(|e| schema.fold(&e.key)).collect();
        for (at, entry) in entries.iter().enumerate() {
            if let Some(first) = folded[..at].iter().position(|f| *f == folded[at]) {
                let message = format!(
                    "`{}` and `{}` are the same key: case and underscores do not count",
                    entries[first].key, entry.key
                );
                problems.push(Problem::new(&source.file, entry.line, entry.column, message).with_key(&entry.key));
            }
        }
        Self {
            used: vec![false; entries.len()],
            entries,
            known: Vec::new(),
            path,
            line: node.line,
            column: node.column,
            schema,
            source,
            problems,
        }
    }

    /// The schema of the file: decides which spelling of a key is read.
    pub fn schema(&self) -> Schema {
        self.schema
    }
    /// File, directory and home that paths are read with.
    pub fn source(&self) -> &'a ConfigSource {
        self.source
    }
    /// Where problems go that the readers do not know of.
    pub fn problems(&mut self) -> &mut Problems {
        self.problems
    }
    /// Whether the key is there and not null. Does not count as reading it.
    pub fn has(&self, key: impl Into<Key>) -> bool {
        self.position(key.into())
            .is_some_and(|at| !self.entries[at].value.is_null())
    }
    /// The full name of a key of this section, as problems name it.
    pub fn key_path(&self, key: impl Into<Key>) -> String {
        self.join(key.into().spelling(self.schema))
    }

    pub(super) fn join(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub(super) fn position(&self, key: Key) -> Option<usize> {
        let wanted = self.schema.fold(key.spelling(self.schema));
        self.entries.iter().position(|e| self.schema.fold(&e.key) == wanted)
    }

    /// The entry of a key, if there is one. Does not count as reading it.
    pub(super) fn entry(&self, key: impl Into<Key>) -> Option<&'a Entry> {
        self.position(key.into()).map(|at| &self.entries[at])
    }

    /// The node of a key, unless absent or null: NNI drops nulls.
    pub fn node(&mut self, key: impl Into<Key>) -> Option<&'a Node> {
        let key = key.into();
        self.known.push(key);
        let at = self.position(key)?;
        self.used[at] = true;
        let entry = &self.entries[at];
        self.problems.note_key(entry, key.written, None);
        let node = &entry.value;
        (!node.is_null()).then_some(node)
    }

    /// Reports a problem at a key, or at the section where the key is absent.
    pub fn problem(&mut self, key: impl Into<Key>, message: impl Into<String>, help: impl Into<String>) {
        let problem = self.at(key.into(), message.into()).with_help(help);
        self.problems.push(problem);
    }
    /// Warns at a key.
    pub fn warn(&mut self, key: impl Into<Key>, message: impl Into<String>, help: impl Into<String>) {
        let warning = self.at(key.into(), message.into()).with_help(help);
        self.problems.warn(warning);
    }

    pub(super) fn at(&self, key: Key, message: String) -> Problem {
        let (line, column) = self.position(key).map_or((self.line, self.column), |at| {
            (self.entries[at].line, self.entries[at].column)
        });
        Problem::new(&self.source.file, line, column, message).with_key(self.key_path(key))
    }

    /// Reports a value that is not what is expected.
    pub(super) fn wrong(&mut self, key: Key, node: &Node, message: String, help: Option<&str>) {
        let mut problem = Problem::new(&self.source.file, node.line, node.column, message).with_key(self.key_path(key));
        if let Some(help) = help {
            problem = problem.with_help(help);
        }
        self.problems.push(problem);
    }

    pub(super) fn expected(&mut self, key: Key, node: &Node, what: &str) {
        let message = format!("{what} is expected, found {}", node.describe());
        self.wrong(key, node, message, Some(&format!("write {what}")));
    }

    pub(super) fn missing(&mut self, key: Key) {
        let name = key.spelling(self.schema);
        let problem = self.at(key, format!("the key `{name}` is missing"));
        self.problems.push(problem.with_help(format!("add `{name}: …`")));
    }

    pub(super) fn note(&mut self, key: Key, node: &Node, value: impl Into<serde_json::Value>) {
        let origin = Origin::File {
            file: self.source.file.display().to_string(),
            line: node.line,
        };
        let key = self.key_path(key);
        self.problems.note(key, value, origin);
    }

    /// Notes a secret that the file spells out.
    pub(super) fn note_secret(&mut self, key: Key, node: &Node, secret: crate::Secret) {
        let key = self.key_path(key);
        self.problems.note_secret(LiteralSecret {
            key,
            secret,
            place: (node.line, node.column),
        });
    }

    /// Notes a default that applies because the key is absent.
    pub fn note_default(&mut self, key: impl Into<Key>, value: impl Into<serde_json::Value>) {
        let key = self.key_path(key);
        self.problems.note(key, value, Origin::Default);
    }

    /// Notes what a file of schema 2 must spell out where one of schema 1 implies it. `place` is a path below the platform's
    /// own section, such as `storage.storageType`.
    pub fn migrates_with(&mut self, place: &'static str, value: impl Into<serde_json::Value>) {
        if self.schema == Schema::V1 {
            self.problems.note_addition(place, value.into());
        }
    }

    /// A map below this one, read by `read`; keys that it does not ask for are refused.
    pub fn section<T>(&mut self, key: impl Into<Key>, read: impl FnOnce(&mut Section<'_>) -> T) -> Option<T> {
        let key = key.into();
        let node = self.node(key)?;
        let path = self.key_path(key);
        Some(self.child(node, path, read))
    }

    /// A map that must be there. `None` if it is not.
    pub fn required_section<T>(&mut self, key: impl Into<Key>, read: impl FnOnce(&mut Section<'_>) -> T) -> Option<T> {
        let key = key.into();
        if !self.has(key) {
            self.known.push(key);
            self.missing(key);
        }
        self.section(key, read)
    }

    /// A list of maps, each read by `read`. Empty if absent.
    pub fn list<T>(&mut self, key: impl Into<Key>, mut read: impl FnMut(&mut Section<'_>) -> T) -> Vec<T> {
        let key = key.into();
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::Seq(items) = &node.value else {
            self.expected(key, node, "a list");
            return Vec::new();
        };
        let path = self.key_path(key);
        items
            .iter()
            .enumerate()
            .filter_map(|(at, item)| {
                let is_map = item.entries().is_some() || item.is_null();
                self.child(item, format!("{path}[{at}]"), |s| is_map.then(|| read(s)))
            })
            .collect()
    }

    /// A list of maps that must be there and not be empty.
    pub fn required_list<T>(&mut self, key: impl Into<Key>, read: impl FnMut(&mut Section<'_>) -> T) -> Vec<T> {
        let key = key.into();
        if !self.has(key) {
            self.missing(key);
        } else if self
            .position(key)
            .is_some_and(|at| self.entries[at].value.value == Value::Seq(Vec::new()))
        {
            self.problem(key, "the list is empty", "add at least one entry");
        }
        self.list(key, read)
    }

    fn child<T>(&mut self, node: &Node, path: String, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let mut section = Section::new(node, path, self.schema, self.source, self.problems);
        let value = read(&mut section);
        section.finish();
        value
    }

    /// Accepts a key without reading it, and warns that it has no effect.
    pub fn ignored(&mut self, key: impl Into<Key>, why: &str) {
        let key = key.into();
        if self.node(key).is_some() {
            let message = format!("`{}` has no effect: {why}", key.spelling(self.schema));
            self.warn(key, message, "remove the key");
        }
        if self.schema == Schema::V1
            && let Some(at) = self.position(key)
        {
            self.problems.note_key(&self.entries[at], "", Some(why));
        }
    }

    /// Makes a key known and counts it as read; its value is read elsewhere.
    pub(super) fn claim(&mut self, key: &'static str) {
        self.node(key);
    }

    /// Makes keys known to the suggestions of [`Section::finish`] without reading them.
    pub(super) fn know(&mut self, keys: impl IntoIterator<Item = &'static str>) {
        self.known.extend(keys.into_iter().map(Key::from));
    }

    /// The entries that nobody has read, which then count as read.
    pub(super) fn rest(&mut self) -> Vec<&'a Entry> {
        let rest = self.entries.iter().zip(&self.used).filter(|(_, used)| !**used);
        let rest = rest.map(|(entry, _)| entry).collect();
        self.used.fill(true);
        rest
    }

    /// Refuses every key that nobody has read, with the nearest known one.
    pub(super) fn finish(mut self) {
        for entry in self.rest() {
            self.refuse(entry, None);
        }
    }

    /// Refuses one entry as unknown; `help` replaces the suggestion.
    pub(super) fn refuse(&mut self, entry: &Entry, help: Option<String>) {
        let help = help.unwrap_or_else(|| self.suggestion(&entry.key));
        let message = format!("the key `{}` is unknown", entry.key);
        let key = self.join(&entry.key);
        self.problems.push(
            Problem::new(&self.source.file, entry.line, entry.column, message)
                .with_key(key)
                .with_help(help),
        );
    }

    fn suggestion(&self, key: &str) -> String {
        let (other, its_name) = match self.schema {
            Schema::V1 => (Schema::V2, "schema 1"),
            Schema::V2 => (Schema::V1, "schema 2"),
        };
        let is_meant = |known: &&Key| other.fold(known.spelling(other)) == other.fold(key);
        if let Some(meant) = self.known.iter().find(is_meant) {
            return format!("{its_name} calls it `{}`", meant.spelling(self.schema));
        }
        let mut known: Vec<&str> = self.known.iter().map(|known| known.spelling(self.schema)).collect();
        if let Some(near) = nearest(key, known.iter().copied()) {
            return format!("did you mean `{near}`?");
        }
        known.sort_unstable();
        known.dedup();
        format!("known keys here: {}", known.join(", "))
    }
}
