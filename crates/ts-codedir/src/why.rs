//! Answers why one path of a code directory travels or stays at home.
//!
//! Looks at the folders on the way to the path only; agrees with `scan.rs` because both ask the same rules and the same
//! classification.

use crate::{
    ignore_rules::{Rule, RuleStack, Ruling},
    node::{Node, classify},
    scan::{Note, NoteKind, open_root},
};
use serde::Serialize;
use std::{
    fmt, fs,
    path::{Component, Path, PathBuf},
};
use ts_core::{CodeDirectory, Error, ErrorKind, Result};

/// What becomes of one path, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Decision {
    /// It travels.
    Included {
        /// The `!` line that brings it back, if a line speaks about it at all.
        rule: Option<Rule>,
    },
    /// A line excludes it.
    Excluded {
        /// That line.
        rule: Rule,
    },
    /// A line excludes a folder on the way, and nothing beneath such a folder can come back.
    Beneath {
        /// The excluded folder.
        directory: PathBuf,
        /// The line that excludes it.
        rule: Rule,
    },
    /// It lies behind a link that is kept as a link, so it does not travel under this name.
    BehindLink {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// It, or a folder on the way, cannot travel: pipe, socket, device or loop.
    Unfit {
        /// The path concerned and what it is.
        note: Note,
    },
    /// There is no such path.
    Missing,
}

impl Decision {
    /// Whether the path travels.
    pub fn is_included(&self) -> bool {
        matches!(self, Self::Included { .. })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Included { rule: None } => f.write_str("included: no line excludes it"),
            Self::Included { rule: Some(rule) } => write!(f, "included by {rule}"),
            Self::Excluded { rule } => write!(f, "excluded by {rule}"),
            Self::Beneath { directory, rule } => {
                write!(f, "excluded with its folder `{}` by {rule}", directory.display())
            }
            Self::BehindLink { link, target } => {
                let (link, target) = (link.display(), target.display());
                write!(f, "not sent under this name: `{link}` stays a link to `{target}`")
            }
            Self::Unfit { note } => note.fmt(f),
            Self::Missing => f.write_str("does not exist"),
        }
    }
}

/// Why `path` travels or not. `path` is relative to the code directory, or absolute within it.
///
/// # Errors
/// `CodeDir` if the path leads out of the code directory; as [`crate::scan`] if that is no folder; `Io` or `Denied` if a
/// folder on the way cannot be read.
pub fn why(code: &CodeDirectory, path: &Path) -> Result<Decision> {
    let root = &code.path;
    let wanted = inside(root, path)?;
    let mut place = open_root(root)?;
    let mut rules = RuleStack::new(code.ignore_case);
    let mut seen = PathBuf::new();
    let mut answer = Decision::Included { rule: None };
    let n_parts = wanted.components().count();
    for (i, part) in wanted.components().enumerate() {
        let last = i + 1 == n_parts;
        rules = rules
            .enter(root, &seen)
            .map_err(|e| Error::io("read the ignore file in", &root.join(&seen), e))?;
        seen.push(part);
        let full = root.join(&seen);
        let Ok(meta) = fs::symlink_metadata(&full) else {
            return Ok(Decision::Missing);
        };
        answer = match rules.decide(&seen, meta.is_dir()) {
            Ruling::Silent => Decision::Included { rule: None },
            Ruling::Kept(rule) => Decision::Included { rule: Some(rule) },
            Ruling::Excluded(rule) if last => return Ok(Decision::Excluded { rule }),
            Ruling::Excluded(_) if !full.is_dir() || fs::symlink_metadata(root.join(&wanted)).is_err() => {
                return Ok(Decision::Missing);
            }
            Ruling::Excluded(rule) => return Ok(Decision::Beneath { directory: seen, rule }),
        };
        let node = classify(root, &seen, &meta, &place).map_err(|e| Error::io("look at", &full, e))?;
        match node {
            Node::Directory { place: inner, .. } => place = inner,
            Node::Unfit(kind) => return Ok(unfit(seen, kind)),
            Node::File { .. } if !last => return Ok(Decision::Missing),
            Node::Link { target, .. } if !last => {
                let exists = fs::symlink_metadata(root.join(&wanted)).is_ok();
                let behind = Decision::BehindLink { link: seen, target };
                return Ok(if exists { behind } else { Decision::Missing });
            }
            Node::File { .. } | Node::Link { .. } => {}
        }
    }
    Ok(answer)
}

fn unfit(path: PathBuf, kind: NoteKind) -> Decision {
    Decision::Unfit {
        note: Note { path, kind },
    }
}

/// `path` without `.`, `..` and the root in front.
fn inside(root: &Path, path: &Path) -> Result<PathBuf> {
    let outside = || {
        let message = format!("`{}` is not in code directory `{}`", path.display(), root.display());
        Error::new(ErrorKind::CodeDir, message).with_help("give a path relative to the code directory")
    };
    let relative = if path.is_absolute() {
        path.strip_prefix(root).map_err(|_| outside())?
    } else {
        path
    };
    let mut clean = PathBuf::new();
    for part in relative.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir if clean.pop() => {}
            _ => return Err(outside()),
        }
    }
    Ok(clean)
}
