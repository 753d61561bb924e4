//! How much a code directory may hold, and an error that says what to do about one that holds too much.
//!
//! Only real files and their bytes count, which is never stricter than NNI: it also counted folders and their inode sizes.
//! Source: nni v1.9 to v3.0, `training_service/common/util.ts`, `validateCodeDir`. Walking is in `scan.rs`.

use crate::ignore_rules::IGNORE_FILE;
use std::{
    collections::BTreeMap,
    fmt::Write,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};
use ts_core::{CodeDirectory, Error, ErrorKind};

/// Files counted on beyond the limit, so that the error can name the folders to exclude.
const COUNT_ON: u64 = 20_000;

/// Folders that a walk enters at most; far beyond what any NNI experiment could have, a stop for malicious trees.
pub(crate) const MAX_DIRECTORIES: usize = 100_000;

/// Files and bytes counted so far.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    code: &'a CodeDirectory,
    files: Vec<(PathBuf, u64)>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Measure {
    Files,
    Bytes,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(code: &'a CodeDirectory) -> Self {
        Self {
            code,
            files: Vec::new(),
            bytes: 0,
        }
    }

    pub(crate) fn add(&mut self, path: &Path, size: u64) {
        self.files.push((path.to_owned(), size));
        self.bytes = self.bytes.saturating_add(size);
    }

    pub(crate) fn n_files(&self) -> u64 {
        self.files.len() as u64
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a limit is passed by so much that counting on tells nothing new.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.exceeded().is_some() && self.n_files() > u64::from(self.code.max_entries).saturating_add(COUNT_ON)
    }

    fn exceeded(&self) -> Option<Measure> {
        if self.n_files() > u64::from(self.code.max_entries) {
            Some(Measure::Files)
        } else if self.bytes > self.code.max_bytes {
            Some(Measure::Bytes)
        } else {
            None
        }
    }

    /// # Errors
    /// `CodeDir` when a limit is exceeded, with the biggest folders and the lines to write.
    pub(crate) fn check(&self) -> ts_core::Result<()> {
        let Some(measure) = self.exceeded() else { return Ok(()) };
        let limit = match measure {
            Measure::Files => format!("{} files", self.code.max_entries),
            Measure::Bytes => bytes(self.code.max_bytes),
        };
        let heavy = heaviest(&self.files, measure);
        let total = match measure {
            Measure::Files => self.n_files(),
            Measure::Bytes => self.bytes,
        };
        let mut help = format!("list data and checkpoints in `{IGNORE_FILE}`");
        for (i, item) in heavy.iter().enumerate() {
            let share = match measure {
                Measure::Files => format!("{} of the {total} files counted", item.weight),
                Measure::Bytes => format!("{} of the {} counted", bytes(item.weight), bytes(total)),
            };
            let verb = if item.directory { "are in" } else { "are the file" };
            let sign = if i == 0 { "; " } else { ", " };
            let slash = if item.directory { "/" } else { "" };
            let path = item.path.display();
            let line = ignore_line(&item.path, item.directory);
            // Writing to a `String` cannot fail.
            let _ = write!(help, "{sign}{share} {verb} `{path}{slash}` (line `{line}`)");
        }
        let message = format!("code directory `{}` holds more than {limit}", self.code.path.display());
        Err(Error::new(ErrorKind::CodeDir, message)
            .with_key(crate::KEY)
            .with_help(help))
    }
}

struct Heavy {
    path: PathBuf,
    directory: bool,
    weight: u64,
}

/// Up to three folders (or single files) that weigh most, each as deep as one child still holds nine tenths of it.
fn heaviest(files: &[(PathBuf, u64)], measure: Measure) -> Vec<Heavy> {
    let mut heavy = children(files, Path::new(""), measure);
    heavy.truncate(3);
    for item in &mut heavy {
        while item.directory {
            let Some(inner) = children(files, &item.path, measure).into_iter().next() else {
                break;
            };
            if inner.weight < item.weight.saturating_mul(9) / 10 || (measure == Measure::Files && !inner.directory) {
                break;
            }
            *item = inner;
        }
    }
    heavy
}

fn children(files: &[(PathBuf, u64)], parent: &Path, measure: Measure) -> Vec<Heavy> {
    let mut weights = BTreeMap::new();
    for (path, size) in files {
        let Ok(inside) = path.strip_prefix(parent) else {
            continue;
        };
        let mut parts = inside.components();
        let Some(Component::Normal(first)) = parts.next() else {
            continue;
        };
        let directory = parts.next().is_some();
        if measure == Measure::Files && !directory {
            continue;
        }
        let weight = if measure == Measure::Files { 1 } else { *size };
        *weights.entry((first, directory)).or_insert(0) += weight;
    }
    let mut heavy: Vec<_> = weights
        .into_iter()
        .map(|((name, directory), weight)| Heavy {
            path: parent.join(name),
            directory,
            weight,
        })
        .collect();
    heavy.sort_by_key(|item| std::cmp::Reverse(item.weight));
    heavy
}

/// The ignore line that excludes exactly `path`.
fn ignore_line(path: &Path, directory: bool) -> String {
    let mut line = vec![b'/'];
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'*' | b'?' | b'[' | b'\\' | b' ' => line.extend([b'\\', byte]),
            // No line can hold a line end; one unknown byte comes closest.
            b'\n' | b'\r' => line.push(b'?'),
            byte => line.push(byte),
        }
    }
    if directory {
        line.push(b'/');
    }
    String::from_utf8_lossy(&line).into_owned()
}

fn bytes(n: u64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    if n < 1024 * 1024 {
        format!("{n} bytes")
    } else {
        format!("{:.1} MiB ({n} bytes)", n as f64 / MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_offered_excludes_the_folder_whatever_its_name() {
        assert_eq!(ignore_line(Path::new("data"), true), "/data/");
        assert_eq!(ignore_line(Path::new("a [1]*/w x"), false), "/a\\ \\[1]\\*/w\\ x");
    }

    #[test]
    fn the_folder_named_is_the_deepest_that_holds_nearly_all() {
        let files: Vec<_> = (0..95)
            .map(|i| (PathBuf::from(format!("src/data/raw/{i}")), 10))
            .chain((0..5).map(|i| (PathBuf::from(format!("src/{i}.py")), 1)))
            .collect();
        let heavy = heaviest(&files, Measure::Files);
        assert_eq!(
            (heavy[0].path.as_path(), heavy[0].weight),
            (Path::new("src/data/raw"), 95)
        );
    }
}
