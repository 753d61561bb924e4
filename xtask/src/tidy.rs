//! The house rules that no compiler knows, as code. Each failure quotes its rule.
//!
//! Rules about text are in `sources`, about manifests in `manifests`, about who may know whom in `arrows`. What rustc and
//! clippy can check is left to them.

mod arrows;
mod manifests;
mod rust_text;
mod sources;

use crate::{shell, workspace::Workspace};
use anyhow::Result;
use std::{fmt, fs, process::Command};

/// One place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// File, and line if there is one, counted from 1.
    place: String,
    /// What is wrong there.
    message: String,
    /// The rule, as one sentence.
    rule: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    rule: {}", self.place, self.message, self.rule)
    }
}

/// A file of the workspace that holds text.
#[derive(Debug)]
struct TextFile {
    /// Relative to the root, with `/`.
    path: String,
    /// All of it.
    text: String,
}

/// Checks the workspace; `true` if no rule is broken.
pub(crate) fn run() -> Result<bool> {
    check(&Workspace::load()?)
}

/// Checks a workspace that is loaded already; `true` if no rule is broken.
pub(crate) fn check(workspace: &Workspace) -> Result<bool> {
    let files = text_files(workspace)?;
    let mut findings = arrows::check(&workspace.members);
    findings.extend(manifests::check(workspace, &files)?);
    findings.extend(sources::check(&files));
    for finding in &findings {
        println!("{finding}");
    }
    println!("{} files, {} findings", files.len(), findings.len());
    Ok(findings.is_empty())
}

/// All files that git knows or would take, and that are UTF-8.
fn text_files(workspace: &Workspace) -> Result<Vec<TextFile>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&workspace.root);
    let listed = shell::output(&mut git)?;
    let mut files = Vec::new();
    for path in listed.split_terminator('\0') {
        // A file that is deleted but still in the index, or that is binary, is no text file.
        if let Ok(text) = fs::read_to_string(workspace.root.join(path)) {
            files.push(TextFile {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}
