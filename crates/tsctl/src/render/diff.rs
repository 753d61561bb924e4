//! The difference of two texts, line by line, as `diff -u` shows it.

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// Most pairs of lines that are compared; beyond it, all lines between the first and the last difference count as changed.
const MOST_PAIRS: usize = 16_000_000;

/// A line and whether it is in the old text, the new one or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Both(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The difference with the names of both texts; empty if there is none.
pub(crate) fn unified(old: (&str, &str), new: (&str, &str)) -> String {
    let lines = compare(&old.1.lines().collect::<Vec<_>>(), &new.1.lines().collect::<Vec<_>>());
    let is_change = |at: usize| !matches!(lines[at], Line::Both(_));
    let mut text = String::new();
    let mut at = 0;
    while let Some(first) = (at..lines.len()).find(|at| is_change(*at)) {
        let begin = first.saturating_sub(CONTEXT).max(at);
        let mut last = first;
        while let Some(next) = (last + 1..lines.len().min(last + 2 + 2 * CONTEXT)).find(|at| is_change(*at)) {
            last = next;
        }
        let end = lines.len().min(last + 1 + CONTEXT);
        if text.is_empty() {
            text = format!("--- {}\n+++ {}\n", old.0, new.0);
        }
        text.push_str(&hunk(&lines, begin, end));
        at = end;
    }
    text
}

fn hunk(lines: &[Line<'_>], begin: usize, end: usize) -> String {
    let count = |lines: &[Line<'_>]| {
        let new = lines.iter().filter(|line| matches!(line, Line::New(_))).count();
        let old = lines.iter().filter(|line| matches!(line, Line::Old(_))).count();
        (lines.len() - new, lines.len() - old)
    };
    let ((old_before, new_before), (old, new)) = (count(&lines[..begin]), count(&lines[begin..end]));
    let start = |before: usize, n: usize| before + usize::from(n > 0);
    let mut text = format!(
        "@@ -{},{old} +{},{new} @@\n",
        start(old_before, old),
        start(new_before, new)
    );
    for line in &lines[begin..end] {
        let (sign, line) = match line {
            Line::Both(line) => (' ', line),
            Line::Old(line) => ('-', line),
            Line::New(line) => ('+', line),
        };
        text.push(sign);
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let same_start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[same_start..], &new[same_start..]);
    let same_end = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old_rest, new_rest) = (
        &old_rest[..old_rest.len() - same_end],
        &new_rest[..new_rest.len() - same_end],
    );
    let mut lines: Vec<Line<'a>> = old[..same_start].iter().map(|line| Line::Both(line)).collect();
    if old_rest.len().saturating_mul(new_rest.len()) > MOST_PAIRS {
        lines.extend(old_rest.iter().map(|line| Line::Old(line)));
        lines.extend(new_rest.iter().map(|line| Line::New(line)));
    } else {
        lines.extend(longest_common(old_rest, new_rest));
    }
    lines.extend(old[old.len() - same_end..].iter().map(|line| Line::Both(line)));
    lines
}

/// Keeps the longest common subsequence: `best[i][j]` is its length for what follows line `i` and line `j`.
fn longest_common<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let mut best = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            best[i][j] = if old[i] == new[j] {
                best[i + 1][j + 1] + 1
            } else {
                best[i + 1][j].max(best[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Both(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || best[i + 1][j] >= best[i][j + 1]) {
            lines.push(Line::Old(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_show_with_what_is_around_them() {
        let numbers: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
        let old = numbers.join("\n") + "\n";
        let new = old.replace("\n5\n", "\nfive\n").replace("18\n", "");
        // As `diff -u` of GNU diffutils 3.10 prints it.
        let expected = "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n\
                        @@ -15,6 +15,5 @@\n 15\n 16\n 17\n-18\n 19\n 20\n";
        assert_eq!(unified(("a", &old), ("b", &new)), expected);
        assert_eq!(unified(("a", &old), ("b", &old)), "");
        assert_eq!(unified(("a", ""), ("b", "x\n")), "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+x\n");
    }
}
