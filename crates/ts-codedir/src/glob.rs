//! One ignore pattern, compiled: git's `wildmatch` on bytes, as a set of states, so that no pattern can take
//! exponential time.
//!
//! Parsing of lines, negation and anchoring is in `ignore_rules.rs`. Not built on a regular-expression glob because those
//! differ from git where users notice: braces, escapes inside classes, POSIX classes, unclosed classes, invalid ranges.
//! Source: git v2.47, `wildmatch.c`, `dowild` with `WM_PATHNAME`. One difference on purpose: `foo**/bar` is `foo*/bar`,
//! as `gitignore(5)` says; git before 2.53 strips the literal prefix first and then sees `**/bar`.

use std::borrow::Cow;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    /// `None`: malformed in a way that git lets match nothing.
    tokens: Option<Vec<Token>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Byte(u8),
    /// `?`: one byte, not a slash.
    One,
    Class(ByteSet),
    /// `*`: any bytes but slashes.
    Star,
    /// `**` that may cross slashes, at the end of the pattern.
    Tail,
    /// Entry of `**/`: nothing at all, or on to [`Token::Folders`].
    MaybeFolders,
    /// `**/` once entered: any bytes up to and including a slash.
    Folders,
}

/// Bytes that a class accepts.
#[derive(Debug, Clone, PartialEq, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    fn insert_where(&mut self, accepts: impl Fn(&u8) -> bool) {
        for byte in (0..=u8::MAX).filter(accepts) {
            self.insert(byte);
        }
    }
    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }
}

impl Glob {
    /// Compiles `pattern`; with `ignore_case`, subjects must have gone through [`fold`].
    pub(crate) fn new(pattern: &[u8], ignore_case: bool) -> Self {
        let pattern = if ignore_case {
            fold_where(pattern, |c| !c.is_ascii())
        } else {
            Cow::Borrowed(pattern)
        };
        Self {
            tokens: compile(&pattern, ignore_case),
        }
    }

    /// Whether the whole of `subject` matches. Costs at most pattern length × subject length.
    pub(crate) fn matches(&self, subject: &[u8]) -> bool {
        let Some(tokens) = &self.tokens else { return false };
        let literal = tokens.iter().take_while(|t| matches!(t, Token::Byte(_))).count();
        if subject.len() < literal
            || !tokens
                .iter()
                .zip(subject)
                .take(literal)
                .all(|(t, b)| *t == Token::Byte(*b))
        {
            return false;
        }
        let (tokens, subject) = (&tokens[literal..], &subject[literal..]);
        if tokens.is_empty() {
            return subject.is_empty();
        }
        let mut now = vec![false; tokens.len() + 1];
        let mut next = now.clone();
        enter(tokens, &mut now, 0);
        for &byte in subject {
            next.fill(false);
            for (i, token) in tokens.iter().enumerate().filter(|&(i, _)| now[i]) {
                step(tokens, &mut next, i, token, byte);
            }
            std::mem::swap(&mut now, &mut next);
        }
        now[tokens.len()]
    }
}

/// Marks state `i` and all that is reached from it without a byte.
fn enter(tokens: &[Token], states: &mut [bool], i: usize) {
    if std::mem::replace(&mut states[i], true) {
        return;
    }
    match tokens.get(i) {
        Some(Token::Star | Token::Tail) => enter(tokens, states, i + 1),
        Some(Token::MaybeFolders) => {
            enter(tokens, states, i + 1);
            enter(tokens, states, i + 2);
        }
        _ => {}
    }
}

fn step(tokens: &[Token], next: &mut [bool], i: usize, token: &Token, byte: u8) {
    match token {
        Token::Byte(b) if *b == byte => enter(tokens, next, i + 1),
        Token::One if byte != b'/' => enter(tokens, next, i + 1),
        Token::Class(set) if byte != b'/' && set.contains(byte) => enter(tokens, next, i + 1),
        Token::Star if byte != b'/' => enter(tokens, next, i),
        Token::Tail => enter(tokens, next, i),
        Token::Folders => {
            enter(tokens, next, i);
            if byte == b'/' {
                enter(tokens, next, i + 1);
            }
        }
        _ => {}
    }
}

fn compile(pattern: &[u8], ignore_case: bool) -> Option<Vec<Token>> {
    let literal = |byte: u8| Token::Byte(if ignore_case { byte.to_ascii_lowercase() } else { byte });
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        at += 1;
        match byte {
            b'?' => tokens.push(Token::One),
            b'\\' => {
                tokens.push(literal(*pattern.get(at)?));
                at += 1;
            }
            b'[' => {
                let (set, end) = class(pattern, at, ignore_case)?;
                tokens.push(Token::Class(set));
                at = end;
            }
            b'*' => {
                let starts_component = at < 2 || pattern[at - 2] == b'/';
                let stars = 1 + pattern[at..].iter().take_while(|b| **b == b'*').count();
                at += stars - 1;
                let rest = &pattern[at..];
                if stars == 1 || !starts_component {
                    tokens.push(Token::Star);
                } else if rest.first() == Some(&b'/') {
                    tokens.extend([Token::MaybeFolders, Token::Folders]);
                    at += 1;
                } else if rest.is_empty() || rest.starts_with(b"\\/") {
                    tokens.push(Token::Tail);
                } else {
                    tokens.push(Token::Star);
                }
            }
            byte => tokens.push(literal(byte)),
        }
    }
    Some(tokens)
}

/// Parses a class whose `[` stands before `at`; the answer is the set and the place behind `]`.
fn class(pattern: &[u8], mut at: usize, ignore_case: bool) -> Option<(ByteSet, usize)> {
    let mut set = ByteSet::default();
    let negated = matches!(pattern.get(at)?, b'!' | b'^');
    at += usize::from(negated);
    let first = at;
    let mut previous = None;
    loop {
        let mut byte = *pattern.get(at)?;
        if byte == b']' && at > first {
            break;
        }
        at += 1;
        if byte == b'[' && pattern.get(at) == Some(&b':') {
            let name_at = at + 1;
            let close = name_at + pattern.get(name_at..)?.iter().position(|b| *b == b']')?;
            if close > name_at && pattern[close - 1] == b':' {
                let accepts = posix_class(&pattern[name_at..close - 1])?;
                set.insert_where(accepts);
                at = close + 1;
                previous = None;
                continue;
            }
        } else if byte == b'-' && previous.is_some() && pattern.get(at).is_some_and(|b| *b != b']') {
            let from = previous.take()?;
            let mut to = pattern[at];
            at += 1;
            if to == b'\\' {
                to = *pattern.get(at)?;
                at += 1;
            }
            set.insert_where(|b| (from..=to).contains(b));
            continue;
        } else if byte == b'\\' {
            byte = *pattern.get(at)?;
            at += 1;
        }
        set.insert(byte);
        previous = Some(byte);
    }
    if ignore_case {
        let exact = set.clone();
        set.insert_where(|b| exact.contains(b.to_ascii_lowercase()) || exact.contains(b.to_ascii_uppercase()));
    }
    if negated {
        set.0 = set.0.map(|word| !word);
    }
    Some((set, at + 1))
}

fn posix_class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |b| matches!(b, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |b| *b == b' ' || b.is_ascii_graphic(),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |b| b.is_ascii_whitespace() || *b == 0x0b,
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

/// Lowercases a subject, non-ASCII letters included, as NNI's engine does; bytes that are not UTF-8 stay.
pub(crate) fn fold(subject: &[u8]) -> Cow<'_, [u8]> {
    fold_where(subject, |_| true)
}

fn fold_where(text: &[u8], applies: impl Fn(char) -> bool) -> Cow<'_, [u8]> {
    let lower = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(single), None) if applies(c) => single,
            _ => c,
        }
    };
    let mut folded = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let mut buffer = [0; 4];
        for c in chunk.valid().chars() {
            folded.extend_from_slice(lower(c).encode_utf8(&mut buffer).as_bytes());
        }
        folded.extend_from_slice(chunk.invalid());
    }
    if folded == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_full_of_stars_costs_no_exponential_time() {
        let glob = Glob::new("*a".repeat(60).as_bytes(), false);
        assert!(!glob.matches(format!("{}b", "a".repeat(4000)).as_bytes()));
        assert!(glob.matches("a".repeat(4000).as_bytes()));
    }

    #[test]
    fn case_folding_reaches_literals_classes_ranges_and_other_alphabets() {
        for (pattern, subject) in [
            ("*.LOG", "a.log"),
            ("[A-C]x", "bX"),
            ("[B]", "b"),
            ("É*", "éa"),
            ("\\A", "a"),
        ] {
            assert!(
                Glob::new(pattern.as_bytes(), true).matches(&fold(subject.as_bytes())),
                "{pattern} {subject}"
            );
            assert!(
                !Glob::new(pattern.as_bytes(), false).matches(subject.as_bytes()),
                "{pattern} {subject}"
            );
        }
        assert!(!Glob::new(b"[!A]", true).matches(&fold(b"a")));
    }

    #[test]
    fn two_stars_beside_text_do_not_cross_folders() {
        let glob = Glob::new(b"foo**/bar", false);
        assert!(glob.matches(b"fooxy/bar"));
        assert!(!glob.matches(b"foox/y/bar"));
    }
}
