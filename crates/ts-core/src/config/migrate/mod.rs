//! A file of schema 1 as one of schema 2; a file of schema 2 with the spellings of today.
//!
//! Keys, comments and values stay in their order as far as the schemas allow. What schema 2 calls the keys of a platform is known
//! to the platform's reader ([`super::Key`]), what it calls the common ones to [`super::reference::KEYS`]; here is only where
//! they go. Reading and writing files belongs to the caller.

mod convert;
mod emit;
mod layout;
mod members;
mod tree;

use super::{
    literal_secret::{LiteralSecret, masked_words},
    parse::parse,
    problems::Problem,
    source::{ConfigSource, Schema},
    yaml,
};
use crate::Platform;
use std::path::Path;

/// A migrated file.
#[derive(Debug)]
#[non_exhaustive]
pub struct Migrated {
    /// The schema that the file was written in.
    pub from: Schema,
    /// The file in schema 2. Equal to the old one where nothing had to change.
    pub text: String,
    /// What changed, by line.
    pub notes: Vec<Note>,
    /// Secrets that the old file spells out, to mask them where its text is shown.
    pub old_secrets: Vec<LiteralSecret>,
    /// Those of the new text.
    pub new_secrets: Vec<LiteralSecret>,
}

/// A change that its user should know of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Note {
    /// Line of the old file, from 1; 0 where none applies.
    pub line: u32,
    /// Full key in the old file.
    pub key: String,
    /// What happened to it.
    pub kind: NoteKind,
    /// The same in words.
    pub message: String,
    /// What to do, where something is to be done.
    pub help: Option<String>,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum NoteKind {
    /// It has another name or place.
    Renamed,
    /// Its value is written or counts otherwise.
    Changed,
    /// Schema 2 has nothing like it.
    Dropped,
    /// A comment of the file that has lost its key.
    Comment,
}

/// Migrates a file to schema 2, or its deprecated spellings to those of today.
///
/// `new_dir` is the absolute directory that the new file will be in, if that is another: relative paths are written so that they
/// name the same files from there.
///
/// # Errors
/// Everything that is wrong with the file, as [`parse`] reports it, or what schema 2 cannot say.
pub fn migrate(
    text: &str,
    source: &ConfigSource,
    platforms: &[Platform],
    new_dir: Option<&Path>,
) -> Result<Migrated, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed = parse(text, source, platforms);
    let problems: Vec<Problem> = parsed.problems.sorted().into_iter().cloned().collect();
    let config = parsed.config.ok_or_else(|| problems.clone())?;
    let root = yaml::load(text, &source.file, &mut super::Problems::new()).ok_or_else(|| problems.clone())?;
    let prefix = new_dir
        .filter(|new| *new != source.base_dir)
        .map(|new| relative(new, &source.base_dir));
    let file = convert::File {
        root: &root,
        text,
        config: &config,
        reads: &parsed.reads,
        platforms,
        prefix: prefix.as_deref(),
    };
    let converted = match config.schema {
        Schema::V1 => file.to_schema_2(),
        Schema::V2 => file.mended(),
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let check = ConfigSource {
        base_dir: new_dir.map_or_else(|| source.base_dir.clone(), Path::to_owned),
        ..source.clone()
    };
    let again = parse(&converted.text, &check, platforms);
    if !again.problems.is_empty() {
        let of_new = |problem: &Problem| {
            let mut problem = problem.clone();
            problem.message = format!("the file cannot be said in schema 2: {}", problem.message);
            (problem.line, problem.column) = (0, 0);
            problem
        };
        return Err(again.problems.sorted().into_iter().map(of_new).collect());
    }
    let mut notes = converted.notes;
    for note in &mut notes {
        // A comment may repeat a secret.
        note.message = masked_words(&note.message, &parsed.secrets);
    }
    Ok(Migrated {
        from: config.schema,
        text: converted.text,
        notes,
        old_secrets: parsed.secrets,
        new_secrets: again.secrets,
    })
}

/// The path that leads from one absolute directory to another.
fn relative(from: &Path, to: &Path) -> std::path::PathBuf {
    let common = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(common).map(|_| std::path::Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
