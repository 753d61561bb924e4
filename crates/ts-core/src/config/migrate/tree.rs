//! A document to be written: keys in their order with their comments and values.

use super::layout::{Comment, Layout};
use crate::config::{
    node::{Entry, Node, Value},
    reads::Reads,
};
use std::path::Path;

/// A key with its value.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) key: String,
    pub(super) above: Vec<Comment>,
    pub(super) behind: Option<Comment>,
    /// Behind the whole value, set in.
    pub(super) below: Vec<Comment>,
    pub(super) value: OutValue,
}

#[derive(Debug)]
pub(super) enum OutValue {
    /// In one line as it is.
    Raw(String),
    Scalar(Value),
    Map {
        flow: bool,
        entries: Vec<Out>,
    },
    Seq {
        flow: bool,
        items: Vec<OutItem>,
    },
}

/// An item of a list.
#[derive(Debug)]
pub(super) struct OutItem {
    pub(super) above: Vec<Comment>,
    pub(super) behind: Option<Comment>,
    pub(super) value: OutValue,
}

impl Out {
    pub(super) fn new(key: &str, value: OutValue) -> Self {
        Self {
            key: key.to_owned(),
            above: Vec::new(),
            behind: None,
            below: Vec::new(),
            value,
        }
    }
}

/// The keys that lead to where a key goes; never empty.
#[derive(Debug)]
pub(super) struct Written(pub(super) Vec<String>);

impl Written {
    /// The last of them: its own name.
    pub(super) fn key(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

/// What became of a key of a section.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Renamed(String),
    Dropped(Option<String>),
}

/// Copies values with their layout, and the keys below them under their new names.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    pub(super) layout: Layout,
    pub(super) reads: &'a Reads,
    /// Where paths start in the new file, seen from there; `None`: as in the old one.
    pub(super) prefix: Option<&'a Path>,
    /// Keys that changed: entry, full old key, what became of it.
    pub(super) changes: Vec<(u32, u32, String, Fate)>,
}

impl Copier<'_> {
    /// A key with its comments, under another name; `path` is its full old key.
    pub(super) fn entry(&mut self, entry: &Entry, key: &str, platform: Option<&str>, path: &str) -> Out {
        let place = (entry.line, entry.column);
        let (above, behind) = (self.layout.take_above(place), self.layout.take_behind(place));
        Out {
            key: key.to_owned(),
            above,
            behind,
            value: self.value(&entry.value, platform, path),
            below: self.layout.take_below(place),
        }
    }

    pub(super) fn value(&mut self, node: &Node, platform: Option<&str>, path: &str) -> OutValue {
        match &node.value {
            Value::Map(entries) => OutValue::Map {
                flow: self.layout.is_flow(node),
                entries: self.entries(entries, platform, path),
            },
            Value::Seq(items) => {
                let items = items.iter().enumerate().map(|(at, item)| {
                    let place = (item.line, item.column);
                    let above = self.layout.take_above(place);
                    let is_scalar = !matches!(item.value, Value::Map(_) | Value::Seq(_));
                    OutItem {
                        above,
                        behind: if is_scalar {
                            self.layout.take_behind(place)
                        } else {
                            None
                        },
                        value: self.value(item, platform, &format!("{path}[{at}]")),
                    }
                });
                OutValue::Seq {
                    items: items.collect(),
                    flow: self.layout.is_flow(node),
                }
            }
            Value::String(text) if self.is_moved_path(node, text) => {
                let (kind, path) = match text.strip_prefix("file:") {
                    Some(path) => ("file:", path),
                    None => ("", text.as_str()),
                };
                let prefix = self.prefix.unwrap_or(Path::new(""));
                OutValue::Scalar(Value::String(format!("{kind}{}", prefix.join(path).display())))
            }
            value => match self.layout.raw(node) {
                Some(raw) => OutValue::Raw(raw.to_owned()),
                None => OutValue::Scalar(value.clone()),
            },
        }
    }

    fn is_moved_path(&self, node: &Node, text: &str) -> bool {
        let path = text.strip_prefix("file:").unwrap_or(text);
        self.prefix.is_some() && self.reads.paths.contains(&(node.line, node.column)) && !path.starts_with(['/', '~'])
    }

    /// The keys of a section under the names that schema 2 has for them.
    pub(super) fn entries(&mut self, entries: &[Entry], platform: Option<&str>, path: &str) -> Vec<Out> {
        let mut outs = Vec::new();
        for entry in entries {
            let full = join(path, &entry.key);
            let Some(written) = self.fate(entry, platform, &full) else {
                continue;
            };
            let out = self.entry(entry, written.key(), platform, &full);
            insert(&mut outs, &written.0, out);
        }
        outs
    }

    /// Where the key goes; `None` if it is dropped. What changes is noted.
    pub(super) fn fate(&mut self, entry: &Entry, platform: Option<&str>, full: &str) -> Option<Written> {
        let read = self.reads.find(platform, entry);
        let written = read.map_or(entry.key.as_str(), |read| read.written).to_owned();
        if written.is_empty() {
            let why = read.and_then(|read| read.why.clone());
            self.note(entry, full, Fate::Dropped(why));
            return None;
        }
        if written == entry.key {
            // A key of the user's own may hold points.
            return Some(Written(vec![written]));
        }
        let path = written.split('.').map(str::to_owned).collect();
        self.note(entry, full, Fate::Renamed(written));
        Some(Written(path))
    }

    pub(super) fn note(&mut self, entry: &Entry, full: &str, fate: Fate) {
        self.changes.push((entry.line, entry.column, full.to_owned(), fate));
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Puts `out` at a path such as `storage`, `server`; maps on the way are made, maps at the place are merged. What is there
/// already stays: false then.
pub(super) fn insert(outs: &mut Vec<Out>, place: &[impl AsRef<str>], out: Out) -> bool {
    let Some((first, rest)) = place.split_first() else {
        return false;
    };
    let (first, rest) = (first.as_ref(), Some(rest).filter(|rest| !rest.is_empty()));
    let position = outs.iter().position(|out| out.key == first);
    match (position, rest) {
        (None, None) => {
            outs.push(out);
            true
        }
        (None, Some(rest)) => {
            let mut entries = Vec::new();
            insert(&mut entries, rest, out);
            outs.push(Out::new(first, OutValue::Map { flow: false, entries }));
            true
        }
        (Some(at), rest) => match (&mut outs[at], rest) {
            (
                Out {
                    value: OutValue::Map { entries, flow },
                    ..
                },
                Some(rest),
            ) => {
                *flow = false;
                insert(entries, rest, out)
            }
            (
                Out {
                    value: OutValue::Map { entries, flow },
                    above,
                    behind,
                    ..
                },
                None,
            ) => {
                let OutValue::Map { entries: more, .. } = out.value else {
                    return false;
                };
                above.extend(out.above);
                above.extend(behind.take().filter(|_| out.behind.is_some()));
                *behind = out.behind.or(behind.take());
                *flow = false;
                more.into_iter().all(|one| {
                    let key = one.key.clone();
                    insert(entries, &[key], one)
                })
            }
            _ => false,
        },
    }
}
