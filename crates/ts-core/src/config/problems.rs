//! Collects everything that is wrong with a configuration, so that all of it is reported in one go.
//!
//! Also keeps the warnings and notes every value read, which `config --resolved` shows. Finding problems is done by the
//! readers; printing them belongs to the command line.

use super::{
    literal_secret::LiteralSecret,
    node::Entry,
    reads::Reads,
    resolved::{Origin, ResolvedValue},
};
use crate::{Error, ErrorKind, Result};
use std::{
    fmt::{self, Write as _},
    path::PathBuf,
};

/// One thing that is wrong, or worth a warning, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The file as the user named it.
    pub file: PathBuf,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 where the file as a whole is meant.
    pub column: u32,
    /// The key, such as `trial.codeDir`; empty where none applies.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem at a place of a file. Line and column count from 1.
    pub fn new(file: impl Into<PathBuf>, line: u32, column: u32, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line,
            column,
            key: String::new(),
            message: message.into(),
            help: None,
        }
    }
    /// Names the key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }
    /// Says what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `file:line:column: message`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        write!(f, " {}", self.message)
    }
}

/// All problems and warnings found so far.
#[derive(Debug, Default)]
pub struct Problems {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    values: Vec<ResolvedValue>,
    secrets: Vec<LiteralSecret>,
    reads: Reads,
    /// Whether it is no problem that files of the code are gone.
    is_of_past: bool,
}

impl Problems {
    /// Nothing found yet.
    pub fn new() -> Self {
        Self::default()
    }
    /// Nothing found yet in what an experiment of the past was configured by.
    pub(super) fn of_past() -> Self {
        Self {
            is_of_past: true,
            ..Self::default()
        }
    }
    /// Whether files of the code must be there.
    pub(super) fn needs_code(&self) -> bool {
        !self.is_of_past
    }
    /// Adds a problem; the configuration will be refused.
    pub fn push(&mut self, problem: Problem) {
        self.errors.push(problem);
    }
    /// Adds a warning; the configuration is still good.
    pub fn warn(&mut self, warning: Problem) {
        self.warnings.push(warning);
    }
    /// Notes a value that was read or defaulted, for the resolved view. Never a secret.
    pub fn note(&mut self, key: impl Into<String>, value: impl Into<serde_json::Value>, origin: Origin) {
        self.values.push(ResolvedValue::new(key, value, origin));
    }
    pub(super) fn note_key(&mut self, entry: &Entry, written: &'static str, why: Option<&str>) {
        self.reads.key(entry, written, why);
    }
    pub(super) fn note_path(&mut self, line: u32, column: u32) {
        self.reads.path(line, column);
    }
    pub(super) fn note_addition(&mut self, place: &'static str, value: serde_json::Value) {
        self.reads.addition(place, value);
    }
    /// Whose section is read from now on; `None`: the common keys.
    pub(super) fn note_reader(&mut self, platform: Option<&'static str>) {
        self.reads.reader = platform;
    }
    pub(super) fn note_secret(&mut self, secret: LiteralSecret) {
        self.secrets.push(secret);
    }
    /// Whether no problem was found; warnings do not count.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }
    /// How many problems were found.
    pub fn len(&self) -> usize {
        self.errors.len()
    }
    /// The problems, by file and position.
    pub fn sorted(&self) -> Vec<&Problem> {
        sorted(&self.errors)
    }
    /// The warnings, by file and position.
    pub fn warnings(&self) -> Vec<&Problem> {
        sorted(&self.warnings)
    }
    pub(super) fn take_warnings(&mut self) -> Vec<Problem> {
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.sort();
        warnings.dedup();
        warnings
    }
    pub(super) fn take_values(&mut self) -> Vec<ResolvedValue> {
        std::mem::take(&mut self.values)
    }
    pub(super) fn take_reads(&mut self) -> Reads {
        std::mem::take(&mut self.reads)
    }
    pub(super) fn take_secrets(&mut self) -> Vec<LiteralSecret> {
        std::mem::take(&mut self.secrets)
    }

    /// `Ok` if nothing is wrong.
    ///
    /// # Errors
    /// `Config`, with all problems in its message, sorted by position.
    pub fn into_result(self) -> Result<()> {
        let sorted = self.sorted();
        match sorted.as_slice() {
            [] => Ok(()),
            [only] => {
                let mut error = Error::new(ErrorKind::Config, only.to_string());
                if !only.key.is_empty() {
                    error = error.with_key(&only.key);
                }
                if let Some(help) = &only.help {
                    error = error.with_help(help);
                }
                Err(error)
            }
            many => {
                let mut message = format!("{} problems in the configuration", many.len());
                for problem in many {
                    _ = write!(message, "\n{problem}");
                    if !problem.key.is_empty() {
                        _ = write!(message, "\n    key: {}", problem.key);
                    }
                    if let Some(help) = &problem.help {
                        _ = write!(message, "\n   help: {help}");
                    }
                }
                Err(Error::new(ErrorKind::Config, message))
            }
        }
    }
}

fn sorted(problems: &[Problem]) -> Vec<&Problem> {
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted
}

/// The known word nearest to `word`, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_become_one_error_sorted_by_position() {
        let mut problems = Problems::new();
        problems.push(Problem::new("c.yml", 9, 1, "second").with_key("b").with_help("mend b"));
        problems.push(Problem::new("c.yml", 2, 3, "first"));
        problems.warn(Problem::new("c.yml", 1, 1, "only a warning"));
        assert_eq!(problems.len(), 2);
        let error = problems.into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(
            error.message(),
            "2 problems in the configuration\nc.yml:2:3: first\nc.yml:9:1: second\n    key: b\n   help: mend b"
        );
    }

    #[test]
    fn a_warning_alone_is_no_error() {
        let mut problems = Problems::new();
        problems.warn(Problem::new("c.yml", 1, 1, "w"));
        assert!(problems.is_empty());
        assert!(problems.into_result().is_ok());
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["trialCommand", "trialConcurrency", "maxTrialNumber"];
        assert_eq!(nearest("trialComand", known), Some("trialCommand"));
        assert_eq!(nearest("maxtrialnum", known), Some("maxTrialNumber"));
        assert_eq!(nearest("zebra", known), None);
    }
}
