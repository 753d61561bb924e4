//! Patterns: those of hosts and users in OpenSSH's files, and those of file names in `Include`.
//!
//! Source: ssh_config(5) of OpenSSH 9.2, PATTERNS, and glob(7).

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Whether a name matches a list of patterns, of which one may forbid it.
pub(crate) fn matches_list<'a>(patterns: impl IntoIterator<Item = &'a str>, name: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern, name) => return false,
            Some(_) => {}
            None => found |= matches(pattern, name),
        }
    }
    found
}

/// `*` stands for any text, `?` for one character; case counts, as in OpenSSH.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == '?' || *c == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The files that a path names, in lexical order; every part of it may be a pattern. A path without one is given back as it is.
pub(crate) fn expand(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let pattern = match part {
            Component::Normal(name) => name.to_str().filter(|name| name.contains(['*', '?', '['])),
            _ => None,
        };
        found = match pattern {
            None => found.into_iter().map(|folder| folder.join(part)).collect(),
            Some(pattern) => found.iter().flat_map(|folder| entries(folder, pattern)).collect(),
        };
    }
    found.sort();
    found
}

/// What of a folder a pattern names. A hidden file is named only by a pattern that begins with a dot.
fn entries(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let shown = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let pattern: Vec<char> = pattern.chars().collect();
    let names = fs::read_dir(shown).into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') || pattern.first() == Some(&'.'))
        .filter(|name| matches_file(&pattern, &name.chars().collect::<Vec<_>>()))
        .map(|name| folder.join(name))
        .collect()
}

fn matches_file(pattern: &[char], name: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    if *first == '*' {
        return (0..=name.len()).any(|n| matches_file(rest, &name[n..]));
    }
    let Some((c, left)) = name.split_first() else {
        return false;
    };
    match first {
        '?' => matches_file(rest, left),
        '[' => match class(rest, *c) {
            Some((holds, rest)) => holds && matches_file(rest, left),
            None => *c == '[' && matches_file(rest, left),
        },
        '\\' if !rest.is_empty() => rest[0] == *c && matches_file(&rest[1..], left),
        other => other == c && matches_file(rest, left),
    }
}

/// Whether the set that begins here holds a character, and what follows the set; `None` if it has no end.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let is_negated = matches!(pattern.first(), Some('!' | '^'));
    let pattern = &pattern[usize::from(is_negated)..];
    // A bracket that comes first is a member.
    let end = 1 + pattern.iter().skip(1).position(|c| *c == ']')?;
    let (mut members, mut holds) = (&pattern[..end], false);
    while let Some((first, rest)) = members.split_first() {
        members = match rest {
            ['-', last, rest @ ..] => {
                holds |= (*first..=*last).contains(&c);
                rest
            }
            rest => {
                holds |= *first == c;
                rest
            }
        };
    }
    Some((holds != is_negated, &pattern[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_patterns_in_every_part_of_a_path() {
        let dir = tempfile::tempdir().expect("a folder");
        for file in ["a1/x.conf", "a2/x.conf", "b1/x.conf", "a1/y.conf", "a1/.z.conf", "a1/w"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("room");
            fs::write(path, "").expect("room");
        }
        let found = |pattern: &str| -> Vec<String> {
            let found = expand(&dir.path().join(pattern));
            let inner = found.iter().map(|path| path.strip_prefix(dir.path()).expect("inside"));
            inner.map(|path| path.display().to_string()).collect()
        };
        assert_eq!(found("a?/*.conf"), ["a1/x.conf", "a1/y.conf", "a2/x.conf"]);
        assert_eq!(found("[a-b]1/[!y].conf"), ["a1/x.conf", "b1/x.conf"]);
        assert_eq!(found("*/[xy]*"), ["a1/x.conf", "a1/y.conf", "a2/x.conf", "b1/x.conf"]);
        assert_eq!(found("a1/.*"), ["a1/.z.conf"]);
        assert_eq!(found("a1/[w"), [""; 0]);
        assert_eq!(found("absent/x"), ["absent/x"], "a name is no pattern");
    }
}
