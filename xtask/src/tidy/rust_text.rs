//! Rust source as text: tells code from comments, strings and test modules, well enough for rules about words.
//!
//! Not a parser: what is left out is blanked, so that lines and columns stay what they are.

/// What a stretch of source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Text,
}

/// The code, with comments blanked.
pub(super) fn without_comments(source: &str) -> String {
    keep(source, |part| part != Part::Comment)
}

/// The code alone: comments and the insides of strings blanked.
pub(super) fn code_only(source: &str) -> String {
    keep(source, |part| part == Part::Code)
}

/// String literals of the code with the line they begin on, counted from 1, without their quotes.
pub(super) fn strings(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut line = 1;
    for (part, text) in parts(source) {
        if part == Part::Text {
            let inner = text.trim_start_matches(['b', 'c', 'r']).trim_matches('#');
            found.push((line, inner.trim_matches('"').to_owned()));
        }
        line += text.matches('\n').count();
    }
    found
}

/// The source with modules that are compiled for tests only blanked.
pub(super) fn without_test_modules(source: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let code = code_only(source);
    let mut blanked = source.to_owned();
    let mut from = 0;
    while let Some(at) = code[from..].find(MARK).map(|i| from + i) {
        let body = at + MARK.len();
        let end = match code[body..].find(['{', ';']) {
            Some(i) if code.as_bytes()[body + i] == b'{' => closing_brace(&code, body + i),
            Some(i) => body + i + 1,
            None => code.len(),
        };
        blanked.replace_range(at..end, &blank(&source[at..end]));
        from = end;
    }
    blanked
}

/// Whether a name occurs as a whole word.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part_of_word) && !text[at + word.len()..].starts_with(part_of_word))
}

fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return open + i + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn keep(source: &str, wanted: impl Fn(Part) -> bool) -> String {
    parts(source)
        .into_iter()
        .map(|(part, text)| if wanted(part) { text.to_owned() } else { blank(text) })
        .collect()
}

/// As many bytes, all of them spaces but for line ends.
fn blank(text: &str) -> String {
    text.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect()
}

/// Splits source into stretches. Literals of characters count as code, but for what they hold.
fn parts(source: &str) -> Vec<(Part, &str)> {
    let mut parts = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while at < source.len() {
        let rest = &source[at..];
        let found = match rest.as_bytes()[0] {
            b'/' if rest.starts_with("//") => Some((Part::Comment, rest.find('\n').unwrap_or(rest.len()))),
            b'/' if rest.starts_with("/*") => Some((Part::Comment, block_comment(rest))),
            b'"' => Some((Part::Text, quoted(rest))),
            b'r' | b'b' | b'c' if !source[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                prefixed(rest).map(|length| (Part::Text, length))
            }
            b'\'' => char_literal(rest).map(|length| (Part::Text, length)),
            _ => None,
        };
        match found {
            Some((part, length)) => {
                parts.push((Part::Code, &source[begin..at]));
                parts.push((part, &source[at..at + length]));
                at += length;
                begin = at;
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    parts.push((Part::Code, &source[begin..]));
    parts
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of a string that begins with its quote.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a string that begins with a prefix such as `r#`, if it is one.
fn prefixed(rest: &str) -> Option<usize> {
    let letters = rest.len() - rest.trim_start_matches(['b', 'c', 'r']).len();
    let (prefix, tail) = rest.split_at(letters);
    if !prefix.ends_with('r') {
        return (letters == 1 && tail.starts_with('"')).then(|| 1 + quoted(tail));
    }
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    let inner = tail[hashes..].strip_prefix('"').filter(|_| letters <= 2)?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opening = letters + hashes + 1;
    Some(inner.find(&end).map_or(rest.len(), |i| opening + i + end.len()))
}

/// Length of a literal such as `'x'` or `'\n'`; `None` for a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return chars.find(|(_, c)| *c == '\'').map(|(i, _)| i + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(i, _)| i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_told_from_code() {
        let source = "let a = \"x // y\"; // todo\nlet b = r#\"a \"q\" b\"#; /* one /* two */ */ let c = 'z';";
        assert_eq!(
            without_comments(source).trim_end(),
            "let a = \"x // y\";        \nlet b = r#\"a \"q\" b\"#;                     let c = 'z';"
        );
        let code = code_only(source);
        assert!(
            !code.contains('x') && !code.contains('q') && !code.contains("todo") && code.contains("let c ="),
            "{code}"
        );
        assert_eq!(code.len(), source.len());
    }

    #[test]
    fn escapes_and_lifetimes_do_not_confuse() {
        let source = "fn f<'a>(x: &'a str) -> char { if x == \"\\\"//\" { '\"' } else { '\\'' } } // end";
        let code = code_only(source);
        assert!(
            code.contains("else") && code.contains("'a str") && !code.contains("end"),
            "{code}"
        );
        assert!(code_only("let writer = br; for r in b {}").contains("for r in b"));
    }

    #[test]
    fn strings_come_with_their_lines() {
        assert_eq!(
            strings("f(\"one\");\n// \"no\"\ng(b\"two\", r#\"th\"ree\"#);"),
            [(1, "one".to_owned()), (3, "two".to_owned()), (3, "th\"ree".to_owned())]
        );
    }

    #[test]
    fn test_modules_are_blanked_and_what_follows_stays() {
        let source =
            "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { \"}\"; } }\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}";
        let rest = without_test_modules(source);
        assert!(
            rest.contains("fn a") && rest.contains("fn c") && rest.contains("fn e"),
            "{rest}"
        );
        assert!(!rest.contains("fn b") && !rest.contains("mod d"), "{rest}");
        assert_eq!(rest.matches('\n').count(), source.matches('\n').count());
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("use tar::Archive", "tar") && !has_word("start()", "tar") && !has_word("tar_gz", "tar"));
    }
}
