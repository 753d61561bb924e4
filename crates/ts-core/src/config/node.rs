//! A YAML document as a tree in which every value knows its place in the file.
//!
//! Which text is which value is decided in `scalar.rs`, reading the text in `yaml.rs`.

use super::source::Schema;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A value of YAML 1.1 as Python's `yaml.safe_load` reads it.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the kinds of values of YAML")]
pub enum Value {
    /// Empty, `~` or `null`.
    Null,
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a point.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<Entry>),
}

/// A key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// Line of the key, from 1.
    pub line: u32,
    /// Column of the key in characters, from 1.
    pub column: u32,
    /// The value.
    pub value: Node,
}

impl Node {
    pub(super) fn new(value: Value, line: u32, column: u32) -> Self {
        Self { value, line, column }
    }

    /// Whether it holds nothing.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The entries, if it is a map.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of an exact key, if it is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// The value of a key as `schema` matches keys, unless absent or null.
    pub(super) fn find(&self, schema: Schema, key: &str) -> Option<&Node> {
        let wanted = schema.fold(key);
        let entry = self.entries()?.iter().find(|e| schema.fold(&e.key) == wanted)?;
        (!entry.value.is_null()).then_some(&entry.value)
    }

    /// What it is, in words for a message: "the number `2`", "a list".
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(b) => format!("the boolean `{b}`"),
            Value::Int(n) => format!("the number `{n}`"),
            Value::Float(n) => format!("the number `{n:?}`"),
            Value::String(s) if s.chars().count() > 40 => "a text".into(),
            Value::String(s) => format!("the text `{s}`"),
            Value::Seq(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
        }
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// The node whose number JSON cannot hold: infinite, not a number, or beyond 64 bits.
    pub fn to_json(&self) -> Result<serde_json::Value, &Node> {
        Ok(match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Int(n) => match (i64::try_from(*n), u64::try_from(*n)) {
                (Ok(n), _) => n.into(),
                (_, Ok(n)) => n.into(),
                _ => return Err(self),
            },
            Value::Float(n) => serde_json::Number::from_f64(*n).ok_or(self)?.into(),
            Value::String(s) => s.as_str().into(),
            Value::Seq(items) => items.iter().map(Self::to_json).collect::<Result<_, _>>()?,
            Value::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|e| Ok((e.key.clone(), e.value.to_json()?)))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    /// Number of nodes in the tree, and how deep it is.
    pub(super) fn extent(&self) -> (usize, usize) {
        let below = |(count, depth): (usize, usize), node: &Node| {
            let (c, d) = node.extent();
            (count + c, depth.max(d))
        };
        let (count, depth) = match &self.value {
            Value::Seq(items) => items.iter().fold((0, 0), below),
            Value::Map(entries) => entries.iter().map(|e| &e.value).fold((0, 0), below),
            _ => (0, 0),
        };
        (count + 1, depth + 1)
    }
}
