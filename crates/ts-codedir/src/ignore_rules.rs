//! `.nniignore` files: lines to patterns, and the one pattern that decides a path.
//!
//! Means what git means by `.gitignore`: nested files speak for their own folder, the deepest file wins, within a file the
//! last matching line. Only `.nniignore` counts. Matching one pattern is in `glob.rs`; walking (and the rule that nothing
//! beneath an excluded folder can come back) is in `scan.rs`.
//! Source: git v2.47, `dir.c`, `add_patterns_from_buffer`, `parse_path_pattern`, `last_matching_pattern_from_list`.

use crate::glob::{Glob, fold};
use serde::Serialize;
use std::{
    borrow::Cow,
    fmt, fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    rc::Rc,
};

/// Name of the file that lists what stays at home.
pub const IGNORE_FILE: &str = ".nniignore";

/// The line that decided about a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rule {
    /// The ignore file, relative to the code directory.
    pub file: PathBuf,
    /// Line within it, from 1.
    pub line: usize,
    /// The line as written, without line end and trailing blanks.
    pub pattern: String,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.pattern)
    }
}

#[derive(Debug)]
struct Pattern {
    line: usize,
    written: String,
    negated: bool,
    only_directories: bool,
    /// Without an inner slash a pattern looks at the last path component alone.
    base_name: bool,
    glob: Glob,
}

/// The patterns of one `.nniignore`.
#[derive(Debug)]
struct RuleFile {
    /// Folder that holds the file, relative to the code directory; empty for the root.
    directory: PathBuf,
    patterns: Vec<Pattern>,
}

/// The ignore files from the root down to one folder. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RuleStack {
    files: Vec<Rc<RuleFile>>,
    ignore_case: bool,
}

/// What the rules say about one path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ruling {
    /// No line speaks about it.
    Silent,
    /// A `!` line brings it back.
    Kept(Rule),
    Excluded(Rule),
}

impl RuleStack {
    pub(crate) fn new(ignore_case: bool) -> Self {
        Self {
            files: Vec::new(),
            ignore_case,
        }
    }

    /// The rules inside `directory`, whose ignore file, if any, is read now.
    pub(crate) fn enter(&self, root: &Path, directory: &Path) -> io::Result<Self> {
        let mut inside = self.clone();
        let path = root.join(directory).join(IGNORE_FILE);
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => {
                let patterns = parse(&fs::read(&path)?, self.ignore_case);
                if !patterns.is_empty() {
                    inside.files.push(Rc::new(RuleFile {
                        directory: directory.to_owned(),
                        patterns,
                    }));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // Nothing of that name, or a folder, pipe or dead link: no rules.
            _ => {}
        }
        Ok(inside)
    }

    /// What the last matching line of the deepest file with one says about `path`, which is relative to the root.
    pub(crate) fn decide(&self, path: &Path, is_directory: bool) -> Ruling {
        for file in self.files.iter().rev() {
            let Ok(relative) = path.strip_prefix(&file.directory) else {
                continue;
            };
            let relative = self.subject(relative.as_os_str().as_bytes());
            let name = relative.rsplit(|b| *b == b'/').next().unwrap_or_default();
            let hit = file.patterns.iter().rev().find(|pattern| {
                (is_directory || !pattern.only_directories)
                    && pattern.glob.matches(if pattern.base_name { name } else { &relative })
            });
            if let Some(pattern) = hit {
                let rule = Rule {
                    file: file.directory.join(IGNORE_FILE),
                    line: pattern.line,
                    pattern: pattern.written.clone(),
                };
                return if pattern.negated {
                    Ruling::Kept(rule)
                } else {
                    Ruling::Excluded(rule)
                };
            }
        }
        Ruling::Silent
    }

    fn subject<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        if self.ignore_case {
            fold(path)
        } else {
            Cow::Borrowed(path)
        }
    }
}

fn parse(text: &[u8], ignore_case: bool) -> Vec<Pattern> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = text.split(|b| *b == b'\n').zip(1..);
    lines
        .filter_map(|(bytes, line)| parse_line(bytes, line, ignore_case))
        .collect()
}

fn parse_line(bytes: &[u8], line: usize, ignore_case: bool) -> Option<Pattern> {
    if bytes.first() == Some(&b'#') {
        return None;
    }
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let written = trim_blanks(bytes.split(|b| *b == 0).next()?);
    let (negated, mut glob) = match written.strip_prefix(b"!") {
        Some(rest) => (true, rest),
        None => (false, written),
    };
    let only_directories = glob.ends_with(b"/");
    glob = glob.strip_suffix(b"/").unwrap_or(glob);
    let base_name = !glob.contains(&b'/');
    glob = glob.strip_prefix(b"/").unwrap_or(glob);
    if glob.is_empty() {
        return None;
    }
    Some(Pattern {
        line,
        written: String::from_utf8_lossy(written).into_owned(),
        negated,
        only_directories,
        base_name,
        glob: Glob::new(glob, ignore_case),
    })
}

/// Drops trailing spaces, but not one behind a backslash, and no tabs: as git does.
fn trim_blanks(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b' ' => at += 1,
            b'\\' => {
                at += 2;
                end = at.min(line.len());
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    &line[..end]
}
