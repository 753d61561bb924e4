//! Writes a document: two blanks for each level, comments where they were, values as they were written.

use super::{
    layout::Comment,
    tree::{Out, OutItem, OutValue},
};
use crate::config::{node::Value, scalar};

pub(super) fn document(entries: &[Out], head: &[Comment], tail: &[Comment]) -> String {
    let mut text = String::new();
    comments(&mut text, head, 0);
    map(&mut text, entries, 0, false);
    comments(&mut text, tail, 0);
    let begin = text.len() - text.trim_start_matches('\n').len();
    let mut text = text.split_off(begin);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn comments(text: &mut String, list: &[Comment], indent: usize) {
    for comment in list {
        if !comment.text.is_empty() {
            text.push_str(&" ".repeat(indent));
            text.push_str(&comment.text);
        }
        text.push('\n');
    }
}

/// `is_begun`: the first key stands in the line of the list's dash.
fn map(text: &mut String, entries: &[Out], indent: usize, is_begun: bool) {
    for (at, entry) in entries.iter().enumerate() {
        if !(is_begun && at == 0) {
            comments(text, &entry.above, indent);
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(&plain(&entry.key));
        text.push(':');
        value(text, &entry.value, entry.behind.as_ref(), indent + 2);
        // Set in as deep as a block, they would be part of its text.
        let ends_in_block = matches!(&entry.value, OutValue::Scalar(Value::String(text)) if is_block(text));
        for comment in &entry.below {
            let depth = usize::from(comment.is_deep && !ends_in_block);
            comments(text, std::slice::from_ref(comment), indent + 2 * depth);
        }
    }
}

/// Writes the value behind `key:` or `-` with the comment of the line, up to its line feed. `indent`: of what is below it.
fn value(text: &mut String, value: &OutValue, behind: Option<&Comment>, indent: usize) {
    let behind = behind.map(|comment| format!("  {}", comment.text)).unwrap_or_default();
    match value {
        OutValue::Map { entries, .. } if !entries.is_empty() && !is_flow(value) => {
            text.push_str(&behind);
            text.push('\n');
            map(text, entries, indent, false);
        }
        OutValue::Seq { items, .. } if !items.is_empty() && !is_flow(value) => {
            text.push_str(&behind);
            text.push('\n');
            for item in items {
                self::item(text, item, indent);
            }
        }
        OutValue::Scalar(Value::String(block)) if is_block(block) => {
            let keep = if block.ends_with('\n') { "" } else { "-" };
            text.extend([" |", keep, &behind, "\n"]);
            for line in block.lines() {
                if !line.is_empty() {
                    text.push_str(&" ".repeat(indent));
                    text.push_str(line);
                }
                text.push('\n');
            }
        }
        value => {
            let written = inline(value);
            if !written.is_empty() {
                text.push(' ');
                text.push_str(&written);
            }
            text.push_str(&behind);
            text.push('\n');
        }
    }
}

fn item(text: &mut String, item: &OutItem, indent: usize) {
    comments(text, &item.above, indent);
    text.push_str(&" ".repeat(indent));
    text.push('-');
    match &item.value {
        OutValue::Map { entries, .. } if !entries.is_empty() && !is_flow(&item.value) => {
            text.push(' ');
            map(text, entries, indent + 2, true);
        }
        OutValue::Seq { .. } => {
            text.push(' ');
            text.push_str(&inline(&item.value));
            text.push('\n');
        }
        other => value(text, other, item.behind.as_ref(), indent + 2),
    }
}

/// Whether a map or list goes in brackets: it did, and no comment is lost by it.
fn is_flow(value: &OutValue) -> bool {
    match value {
        OutValue::Map { flow, entries } => {
            let is_bare = |out: &Out| out.above.is_empty() && out.behind.is_none() && out.below.is_empty();
            *flow && entries.iter().all(|out| is_bare(out) && is_inline(&out.value))
        }
        OutValue::Seq { flow, items } => {
            *flow
                && items
                    .iter()
                    .all(|item| item.above.is_empty() && item.behind.is_none() && is_inline(&item.value))
        }
        _ => false,
    }
}

fn is_inline(value: &OutValue) -> bool {
    match value {
        OutValue::Raw(_) | OutValue::Scalar(_) => true,
        other => is_flow(other),
    }
}

fn inline(value: &OutValue) -> String {
    match value {
        OutValue::Raw(raw) => raw.clone(),
        OutValue::Scalar(value) => scalar_text(value),
        OutValue::Map { entries, .. } => {
            let entries: Vec<String> = entries
                .iter()
                .map(|out| format!("{}: {}", plain(&out.key), in_brackets(&out.value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        OutValue::Seq { items, .. } => {
            let items: Vec<String> = items.iter().map(|item| in_brackets(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

/// Plain text that was written outside of brackets may hold what ends a value inside.
fn in_brackets(value: &OutValue) -> String {
    match value {
        OutValue::Raw(raw) if !raw.starts_with(['"', '\'']) && raw.contains([',', '[', ']', '{', '}']) => quoted(raw),
        value => inline(value),
    }
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value),
        Value::String(text) => plain(text),
        _ => "null".to_owned(),
    }
}

/// As PyYAML reads it: with a point, and the exponent with its sign.
fn float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let text = format!("{value:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

/// A text as it is where that reads back as the same text, else in quotes.
fn plain(text: &str) -> String {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "_-./~+= ".contains(c);
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_./".contains(c))
        && !text.ends_with(' ')
        && text.chars().all(is_good)
        && scalar::plain(text) == Value::String(text.to_owned());
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// JSON's notation of texts is one of YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// Whether a text of several lines can be a block. Empty lines at its end would merge with those that follow.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n', '\t'])
        && text
            .lines()
            .all(|line| line.chars().all(|c| !c.is_control() || c == '\t'))
        && !text.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'])
}
