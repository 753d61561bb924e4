//! How a file is written, beside what it says: comments, the text of each value, what stands in brackets.
//!
//! A comment above belongs to the key or list item that follows it, one behind to the key or item of its line. What stands above the
//! first key is about the file.

use crate::config::{
    node::{Node, Value},
    yaml,
};
use granit_parser::{Event, Parser, ScalarStyle, StrInput, StructureStyle};
use std::collections::{HashMap, HashSet};

type Place = (u32, u32);

/// What [`Node`] does not hold.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Values of one style that can be written again as they are, by place.
    raw: HashMap<Place, String>,
    /// Lists and maps in brackets.
    flow: HashSet<Place>,
    above: HashMap<Place, Vec<Comment>>,
    behind: HashMap<Place, Comment>,
    below: HashMap<Place, Vec<Comment>>,
    /// At the beginning of the file.
    pub(super) head: Vec<Comment>,
    /// At the end of the file.
    pub(super) tail: Vec<Comment>,
    pub(super) has_anchors: bool,
}

/// A comment, or an empty line where the text is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) line: u32,
    pub(super) text: String,
    /// Set in deeper than the key that it stands below.
    pub(super) is_deep: bool,
}

impl Layout {
    pub(super) fn of(text: &str, root: &Node) -> Self {
        let mut layout = Self::default();
        let mut covered = Vec::new();
        let mut parser = Parser::<StrInput<'_>>::new_from_str_with_options(text, yaml::options());
        while let Some(Ok((event, span))) = parser.next_event() {
            let place = yaml::place(&span);
            match event {
                Event::Scalar(_, style, anchor, tag) => {
                    layout.has_anchors |= anchor != 0;
                    let Some(range) = span.byte_range() else { continue };
                    let written = text.get(range.clone()).unwrap_or_default().trim_end();
                    let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                    if tag.is_none() && !is_block && !written.contains('\n') && !written.is_empty() {
                        layout.raw.insert(place, written.to_owned());
                    }
                    covered.push(range);
                }
                Event::SequenceStart(StructureStyle::Flow, anchor, _)
                | Event::MappingStart(StructureStyle::Flow, anchor, _) => {
                    layout.flow.insert(place);
                    layout.has_anchors |= anchor != 0;
                }
                Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                    layout.has_anchors |= anchor != 0;
                }
                _ => {}
            }
        }
        let mut points = Vec::new();
        layout.collect(root, &mut points);
        points.sort_unstable();
        points.dedup();
        let (mut offset, mut empty) = (0, false);
        for (at, line) in text.split('\n').enumerate() {
            let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
            let is_covered = |at: usize| covered.iter().any(|range| range.contains(&at));
            if let Some(found) = comment_in(line, |at| is_covered(offset + at)) {
                layout.attach(number, found, line, &points);
                empty = false;
            } else if line.trim().is_empty() && !is_covered(offset) {
                if !empty && at > 0 && offset < text.len() {
                    layout.attach(number, 0, "", &points);
                }
                empty = true;
            } else {
                empty = false;
            }
            offset += line.len() + 1;
        }
        layout
    }

    fn attach(&mut self, number: u32, found: usize, line: &str, points: &[Place]) {
        let mut comment = Comment {
            line: number,
            text: line[found..].trim_end().to_owned(),
            is_deep: false,
        };
        let before = line[..found].trim();
        let next = points.iter().find(|point| point.0 > number);
        let is_behind = !before.is_empty() && before != "---";
        let on_line = points.iter().rev().find(|point| point.0 <= number);
        if let Some(point) = on_line.filter(|_| is_behind) {
            self.behind.insert(*point, comment);
            return;
        }
        let column = u32::try_from(line[..found].chars().count() + 1).unwrap_or(u32::MAX);
        // Set in deeper than what follows, it belongs to what came before.
        let owner = next
            .filter(|next| column > next.1 && !comment.text.is_empty())
            .and_then(|_| points.iter().rev().find(|point| point.0 < number && point.1 <= column));
        match (owner, next) {
            (Some(owner), _) => {
                comment.is_deep = column > owner.1;
                self.below.entry(*owner).or_default().push(comment);
            }
            (None, Some(next)) if points.first() == Some(next) => self.head.push(comment),
            (None, Some(next)) => self.above.entry(*next).or_default().push(comment),
            (None, None) => self.tail.push(comment),
        }
    }

    /// Places of all keys and list items; what is in brackets stands in one line and has no comment.
    fn collect(&self, node: &Node, points: &mut Vec<Place>) {
        match &node.value {
            _ if self.is_flow(node) => {}
            Value::Map(entries) => {
                for entry in entries {
                    points.push((entry.line, entry.column));
                    self.collect(&entry.value, points);
                }
            }
            Value::Seq(items) => {
                for item in items {
                    points.push((item.line, item.column));
                    self.collect(item, points);
                }
            }
            _ => {}
        }
    }

    /// The text of a value, if it can stand in one line as it is.
    pub(super) fn raw(&self, node: &Node) -> Option<&str> {
        let raw = self.raw.get(&(node.line, node.column)).map(String::as_str)?;
        // What is empty may be said to stand where the next key does.
        let is_own = match &node.value {
            Value::Null => matches!(raw, "~" | "null" | "Null" | "NULL"),
            Value::String(text) if text.is_empty() => matches!(raw, "\"\"" | "''"),
            _ => true,
        };
        is_own.then_some(raw)
    }
    pub(super) fn is_flow(&self, node: &Node) -> bool {
        self.flow.contains(&(node.line, node.column))
    }
    pub(super) fn take_above(&mut self, place: Place) -> Vec<Comment> {
        self.above.remove(&place).unwrap_or_default()
    }
    pub(super) fn take_behind(&mut self, place: Place) -> Option<Comment> {
        self.behind.remove(&place)
    }
    pub(super) fn take_below(&mut self, place: Place) -> Vec<Comment> {
        self.below.remove(&place).unwrap_or_default()
    }
    /// Comments that nobody took.
    pub(super) fn left(self) -> Vec<Comment> {
        let lists = self.above.into_values().chain(self.below.into_values()).flatten();
        let mut left: Vec<Comment> = lists.chain(self.behind.into_values()).collect();
        left.retain(|comment| !comment.text.is_empty());
        left.sort_by_key(|comment| comment.line);
        left
    }
}

/// Where a comment begins: a `#` outside of every value, with nothing or a blank before it.
fn comment_in(line: &str, is_covered: impl Fn(usize) -> bool) -> Option<usize> {
    line.match_indices('#').map(|(at, _)| at).find(|at| {
        let is_apart = line[..*at].chars().next_back().is_none_or(char::is_whitespace);
        is_apart && !is_covered(*at)
    })
}
