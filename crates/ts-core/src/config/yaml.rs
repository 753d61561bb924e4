//! YAML text → [`Node`] tree, with anchors, aliases and merge keys resolved and every value knowing its place.
//!
//! One document per file; duplicate keys and aliases that would grow without bound are problems. The events come from
//! `granit-parser`; which plain text is which value is decided in `scalar.rs`.

use super::{
    node::{Entry, Node, Value},
    problems::{Problem, Problems},
    scalar,
};
use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use std::{collections::HashMap, path::Path};

/// Most nodes of a document once aliases are expanded.
const MAX_NODES: usize = 100_000;
/// Deepest nesting once aliases are expanded.
const MAX_DEPTH: usize = 200;

/// Reads one document. `None` if the text is no YAML at all; the reason is in `problems`.
///
/// Smaller faults (a duplicate key) are reported too, but the tree is still given, so that all problems come in one go.
pub fn load(text: &str, file: &Path, problems: &mut Problems) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut loader = Loader {
        parser: Parser::new_from_str_with_options(text, options()),
        anchors: HashMap::new(),
        nodes: 0,
        file,
        problems,
    };
    match loader.document() {
        Ok(node) => Some(node),
        Err(Fault(problem)) => {
            loader.problems.push(*problem);
            None
        }
    }
}

pub(super) fn options() -> granit_parser::Options {
    granit_parser::options! {
        emit_comments: false,
        block_scalar_eof_without_line_feed: true,
    }
}

type Load<T> = Result<T, Fault>;

/// What ends the reading; boxed to keep results small.
struct Fault(Box<Problem>);

struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Complete anchored nodes with their count and depth.
    anchors: HashMap<usize, (Node, usize, usize)>,
    nodes: usize,
    file: &'a Path,
    problems: &'a mut Problems,
}

impl<'a> Loader<'a> {
    fn next(&mut self) -> Load<(Event<'a>, u32, u32)> {
        loop {
            match self.parser.next_event() {
                None => return Ok((Event::StreamEnd, 1, 1)),
                Some(Ok((Event::StreamStart, _))) => {}
                Some(Ok((event, span))) => {
                    let (line, column) = place(&span);
                    return Ok((event, line, column));
                }
                Some(Err(error)) => {
                    let mark = error.marker();
                    return Err(self.fail(
                        number(mark.line()),
                        number(mark.col() + 1),
                        format!("not valid YAML: {}", error.info()),
                    ));
                }
            }
        }
    }

    fn fail(&self, line: u32, column: u32, message: impl Into<String>) -> Fault {
        Fault(Box::new(Problem::new(self.file, line, column, message)))
    }

    fn document(&mut self) -> Load<Node> {
        let mut root = Node::new(Value::Null, 1, 1);
        let mut seen = false;
        loop {
            let (event, line, column) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(..) if seen => {
                    let mut problem = self.fail(line, column, "a second document starts here");
                    problem.0.help = Some("keep one experiment per file and remove the `---` between documents".into());
                    return Err(problem);
                }
                Event::DocumentStart(..) => seen = true,
                Event::DocumentEnd => {}
                event => root = self.node(event, line, column, 1)?,
            }
        }
    }

    fn node(&mut self, event: Event<'a>, line: u32, column: u32, depth: usize) -> Load<Node> {
        self.count(1, depth, line, column)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref(), line, column)?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, ..) => break,
                        (event, line, column) => items.push(self.node(event, line, column, depth + 1)?),
                    }
                }
                (Value::Seq(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (Value::Map(self.map(depth)?), anchor),
            Event::Alias(id) => {
                let Some((node, count, below)) = self.anchors.get(&id).cloned() else {
                    return Err(self.fail(line, column, "this alias stands inside the value that it names"));
                };
                self.count(count, depth + below, line, column)?;
                return Ok(Node { line, column, ..node });
            }
            _ => return Err(self.fail(line, column, "not valid YAML: a value was expected")),
        };
        let node = Node::new(value, line, column);
        if anchor != 0 {
            let (count, below) = node.extent();
            self.anchors.insert(anchor, (node.clone(), count, below));
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, depth: usize, line: u32, column: u32) -> Load<()> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            let message = format!("the document has more than {MAX_NODES} values once its aliases are expanded");
            return Err(self.fail(line, column, message));
        }
        if depth > MAX_DEPTH {
            let message = format!("the document is nested more than {MAX_DEPTH} levels deep");
            return Err(self.fail(line, column, message));
        }
        Ok(())
    }

    fn map(&mut self, depth: usize) -> Load<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merges = Vec::new();
        // Where each key stands: maps of machine-made files are long, so a scan per key would be quadratic.
        let mut index: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, line, column) = self.next()?;
            let is_merge = match &event {
                Event::MappingEnd => break,
                Event::Scalar(text, ScalarStyle::Plain, _, None) => text == "<<",
                _ => false,
            };
            let key = match &event {
                Event::Scalar(text, _, _, _) => Some(text.clone().into_owned()),
                _ => None,
            };
            let key_node = self.node(event, line, column, depth + 1)?;
            let key = match (key, &key_node.value) {
                (Some(key), _) => key,
                (None, Value::String(text)) => text.clone(),
                _ => {
                    let message = format!("a key must be a text, but this is {}", key_node.describe());
                    return Err(self.fail(line, column, message));
                }
            };
            let (event, value_line, value_column) = self.next()?;
            let value = self.node(event, value_line, value_column, depth + 1)?;
            if is_merge {
                merges.push(value);
                continue;
            }
            let entry = Entry {
                key,
                line,
                column,
                value,
            };
            if let Some(first) = index.get(&entry.key) {
                let at = entries[*first].line;
                self.problems.push(
                    Problem::new(
                        self.file,
                        line,
                        column,
                        format!("the key `{}` is given twice", entry.key),
                    )
                    .with_key(&entry.key)
                    .with_help(format!("it is first given in line {at}; keep one of the two")),
                );
                continue;
            }
            index.insert(entry.key.clone(), entries.len());
            entries.push(entry);
        }
        for merge in merges {
            self.merge(&merge, &mut entries, &mut index)?;
        }
        Ok(entries)
    }

    /// Adds what `<<` brings: keys of the map itself win, then the earlier of a list of maps.
    fn merge(&self, from: &Node, entries: &mut Vec<Entry>, index: &mut HashMap<String, usize>) -> Load<()> {
        match &from.value {
            Value::Map(merged) => {
                for entry in merged {
                    if !index.contains_key(&entry.key) {
                        index.insert(entry.key.clone(), entries.len());
                        entries.push(entry.clone());
                    }
                }
                Ok(())
            }
            Value::Seq(items) if items.iter().all(|i| matches!(i.value, Value::Map(_))) => {
                items.iter().try_for_each(|item| self.merge(item, entries, index))
            }
            _ => Err(self.fail(
                from.line,
                from.column,
                format!("`<<` merges maps, but this is {}", from.describe()),
            )),
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, line: u32, column: u32) -> Load<Value> {
        let Some(tag) = tag else {
            return Ok(match style {
                ScalarStyle::Plain => scalar::plain(text),
                _ => Value::String(text.to_owned()),
            });
        };
        let read = match tag.core_suffix() {
            Some("str") => Some(Value::String(text.to_owned())),
            Some("int") => scalar::int(text).map(Value::Int),
            Some("float") => scalar::float(text).or_else(|| text.parse().ok()).map(Value::Float),
            Some("bool") => Some(scalar::plain(text)).filter(|v| matches!(v, Value::Bool(_))),
            Some("null") => Some(Value::Null),
            _ if tag.original() == "!" => Some(Value::String(text.to_owned())),
            _ => None,
        };
        read.ok_or_else(|| {
            let message = format!("the tag `{}` cannot be read with this value", tag.original());
            self.fail(line, column, message)
        })
    }
}

/// A scalar as it is written.
pub(super) struct WrittenScalar {
    pub(super) text: String,
    /// Line and column, from 1.
    pub(super) place: (u32, u32),
    /// Bytes of the document.
    pub(super) range: std::ops::Range<usize>,
    pub(super) is_anchored: bool,
    /// Text after `|` or `>`, as it is.
    pub(super) is_block: bool,
}

/// All scalars of a document in its order, as far as it can be read.
pub(super) fn scalars(text: &str) -> Vec<WrittenScalar> {
    let mut parser = Parser::new_from_str_with_options(text, options());
    let mut found = Vec::new();
    while let Some(Ok((event, span))) = parser.next_event() {
        if let (Event::Scalar(text, style, anchor, _), Some(range)) = (event, span.byte_range()) {
            found.push(WrittenScalar {
                text: text.into_owned(),
                place: place(&span),
                range,
                is_anchored: anchor != 0,
                is_block: matches!(style, ScalarStyle::Literal | ScalarStyle::Folded),
            });
        }
    }
    found
}

pub(super) fn place(span: &Span) -> (u32, u32) {
    (number(span.start.line()), number(span.start.col() + 1))
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
