//! Tables for people: aligned columns without lines, so that they can also be cut and searched.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::fmt::Write;

/// A table of text. Columns whose head ends in `>` are aligned to the right.
pub(crate) fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heads.iter().map(|head| head.trim_end_matches('>')));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| one_line(&cell)));
    }
    for (at, head) in heads.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 2));
            if head.ends_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Names and values, one a line.
pub(crate) fn facts(rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let rows: Vec<_> = rows.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for (name, value) in rows {
        let value = value.trim_end().replace('\n', &format!("\n{:width$}", ""));
        let _ = writeln!(text, "{name:width$}{value}");
    }
    text
}

/// One value a line.
pub(crate) fn lines<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for value in values {
        let _ = writeln!(text, "{value}");
    }
    text
}

fn one_line(cell: &str) -> String {
    cell.replace(['\n', '\r', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let text = table(
            &["ID", "TRIALS>"],
            [vec!["a".into(), "10".into()], vec!["long\nid".into(), "9".into()]],
        );
        assert_eq!(text, "ID       TRIALS\na            10\nlong id       9\n");
        assert_eq!(
            facts([("id", "x".into()), ("none", String::new()), ("status", "a\nb".into())]),
            "id      x\nstatus  a\n        b\n"
        );
    }
}
