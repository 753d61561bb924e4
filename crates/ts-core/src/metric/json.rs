//! Looking into JSON text without rewriting it: validity and raw members, with Python's bare `NaN` and `Infinity` allowed.
//!
//! Python's encoder writes non-finite numbers as bare words, which no JSON parser in Rust accepts; and a metric's value must
//! reach the tuner as it was written. Typed decoding is serde's work and is not repeated here.

use std::borrow::Cow;

use serde::de::IgnoredAny;

const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Whether `text` is one JSON value, bare `NaN`, `Infinity` and `-Infinity` allowed. Linear, no recursion.
pub(crate) fn is_json(text: &str) -> bool {
    check(text).is_ok()
}

/// As [`is_json`], with the parser's complaint.
pub(crate) fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(&without_words(text)).map(|_| ())
}

/// Puts a number where a bare word stands, so that a strict parser can judge the rest.
fn without_words(text: &str) -> Cow<'_, str> {
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(word) = WORDS.iter().find(|word| rest.starts_with(**word)) {
            out.push_str(" 0 "); // the spaces keep `1NaN` from becoming a number
            rest = &rest[word.len()..];
        } else {
            let len = if first == '"' {
                string_len(rest)
            } else {
                first.len_utf8()
            };
            out.push_str(&rest[..len]);
            rest = &rest[len..];
        }
    }
    Cow::Owned(out)
}

/// Bytes of the JSON string at the start of `text`, quotes included; all of `text` if it never closes.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (i, b) in text.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

/// The raw text of each member of a JSON object, in order, keys decoded; `None` if `text` is not a JSON object.
///
/// Bare `NaN` and `Infinity` of Python are values. A key with a lone surrogate cannot be decoded and is left out.
pub fn members(text: &str) -> Option<Vec<(String, &str)>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    if !is_json(text) {
        return None;
    }
    let mut out = Vec::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let (key, tail) = rest.split_at(string_len(rest));
        let tail = tail.trim_start().strip_prefix(':')?.trim_start();
        let (value, tail) = tail.split_at(value_len(tail));
        if let Ok(key) = serde_json::from_str::<String>(key) {
            out.push((key, value.trim_end()));
        }
        rest = tail.strip_prefix(',').unwrap_or(tail).trim_start();
    }
    Some(out)
}

/// Bytes up to the comma that ends the value at the start of `text`, which is known to be valid.
fn value_len(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(b) = text.as_bytes().get(at) {
        match b {
            b'"' => {
                at += string_len(&text[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// `text` as a JSON string in the way of Python's encoder: ASCII only, everything else as `\uXXXX`.
pub(crate) fn quote(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a string cannot fail");
                }
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_count_as_numbers_outside_strings_only() {
        for good in [
            "NaN",
            "-Infinity",
            r#"{"a":[NaN, Infinity], "b":"NaN"}"#,
            r#""a\"NaN""#,
            "1e999",
            " {} ",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "1NaN",
            "NaNs",
            "--Infinity",
            r#"{"a":1"#,
            "{NaN:1}",
            r#""NaN"#,
            "{}{}",
            "nan",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[test]
    fn members_keep_the_raw_text() {
        let text = r#" {"a\u0062" : {"x":[1, 2],"y":"},"} ,"v":NaN, "e":"\"" } "#;
        let got = members(text).unwrap();
        let want = [("ab", r#"{"x":[1, 2],"y":"},"}"#), ("v", "NaN"), ("e", r#""\"""#)];
        assert_eq!(got, want.map(|(k, v)| (k.to_owned(), v)));
        assert_eq!(members("{ }").unwrap(), []);
        assert_eq!(members("[1]"), None);
        assert_eq!(members("{1}"), None);
    }

    #[test]
    fn quoting_is_ascii_and_reads_back() {
        assert_eq!(quote("é\u{1F600}\"\\\u{7f}\n"), r#""\u00e9\ud83d\ude00\"\\\u007f\n""#);
    }
}
