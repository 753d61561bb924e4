//! An archive of `nnictl experiment save`: a zip file with the folder of an experiment, its line of NNI's list, and perhaps its code
//! and its search space.
//!
//! Nothing in it is trusted: all names, kinds and sizes are checked before the first file is taken out. What becomes of the files
//! belongs to `commands::load_nni`.
//!
//! Source: nni v1.9 `tools/nni_cmd/nnictl_utils.py`, nni v2.10 and v3.0 `nni/tools/nnictl/nnictl_utils.py`, `save_experiment`.

mod entry;
#[cfg(test)]
mod tests;

use crate::undo::Undo;
use entry::{Entry, Refused};
use flate2::read::DeflateDecoder;
use rawzip::{FileReader, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipArchive};
use serde_json::Value;
use std::{
    collections::HashSet,
    fmt::Display,
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};
use ts_core::{Error, ErrorKind, ExperimentId, Result};

/// The experiment's folder, as NNI has it.
pub(crate) const EXPERIMENT: &str = "experiment";
/// The code directory, if it was saved.
pub(crate) const CODE: &str = "code";
const SEARCH_SPACE: &str = "searchSpace";
const LABEL: &str = "nnictl/.experiment";
const DATABASE: &str = "experiment/db/nni.sqlite";
/// How a zip file begins.
pub(crate) const MAGIC: [u8; 2] = *b"PK";
/// Most bytes of a file that is read into memory.
const MOST_TEXT: u64 = 16 << 20;

/// An archive that holds what it should and nothing else.
#[derive(Debug)]
pub(crate) struct NniArchive<R = FileReader> {
    zip: ZipArchive<R>,
    /// For messages.
    file: PathBuf,
    entries: Vec<Entry>,
}

impl NniArchive {
    /// Opens a file, and checks all that it holds.
    ///
    /// # Errors
    /// `Io` if it is damaged or holds what NNI never puts there; `Conflict` if it is whole, but not of NNI.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let opened = File::open(file).map_err(|e| Error::io("read", file, e))?;
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let zip = ZipArchive::from_file(opened, &mut buffer).map_err(|e| damaged(file, e))?;
        Self::check(zip, file)
    }
}

impl<R: ReaderAt> NniArchive<R> {
    /// Checks all that an archive holds; `file` is what messages call it.
    fn check(zip: ZipArchive<R>, file: &Path) -> Result<Self> {
        let entries = entries(&zip).map_err(|cause| damaged(file, cause))?;
        refuse_overlaps(&zip, &entries).map_err(|cause| damaged(file, cause))?;
        for needed in [DATABASE, LABEL] {
            if !entries.iter().any(|entry| entry.is_file_at(Path::new(needed))) {
                let message = format!("`{}` is no archive of NNI: it has no `{needed}`", file.display());
                return Err(Error::new(ErrorKind::Conflict, message)
                    .with_help("name a file of `tsctl save` or of `nnictl experiment save`"));
            }
        }
        Ok(Self {
            zip,
            file: file.to_owned(),
            entries,
        })
    }

    /// The experiment's id.
    ///
    /// # Errors
    /// `Io` if the archive does not say it.
    pub(crate) fn id(&self) -> Result<ExperimentId> {
        let text = self.text(|path| path == Path::new(LABEL))?.unwrap_or_default();
        let label: Value = serde_json::from_str(&text)
            .map_err(|e| self.damaged(format!("`{LABEL}` in it is no JSON")).with_source(e))?;
        let id = label["id"].as_str().unwrap_or_default();
        ExperimentId::new(id).map_err(|e| {
            self.damaged(format!("`{LABEL}` in it names no experiment"))
                .with_source(e)
        })
    }

    /// The text of the search space's file, if it was saved.
    pub(crate) fn search_space(&self) -> Result<Option<String>> {
        self.text(|path| path.parent() == Some(Path::new(SEARCH_SPACE)))
    }

    /// Whether there is anything below this folder.
    pub(crate) fn holds(&self, part: &str) -> bool {
        self.entries.iter().any(|entry| entry.below(part).is_some())
    }

    /// Refuses if the disk has less room than all files need.
    pub(crate) fn refuse_without_room(&self, directory: &Path) -> Result<()> {
        let needed = self
            .entries
            .iter()
            .fold(0, |sum: u64, entry| sum.saturating_add(entry.size));
        let disk = rustix::fs::statvfs(directory).map_err(|e| Error::io("look at", directory, e.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if needed <= free {
            return Ok(());
        }
        let message = format!(
            "`{}` holds files of {needed} bytes; the disk of `{}` has {free} bytes free",
            self.file.display(),
            directory.display()
        );
        Err(Error::new(ErrorKind::Io, message).with_help("free space, or name a directory on another disk by `--to`"))
    }

    /// Below `target`, everything that is in the way of the files of `part`: other than the same file or a directory.
    pub(crate) fn in_the_way(&self, part: &str, target: &Path) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in &self.entries {
            let Some(own) = entry.below(part) else { continue };
            let path = target.join(own);
            let parents = own.ancestors().skip(1).map(|parent| target.join(parent));
            let is_blocked = |parent: &PathBuf| fs::symlink_metadata(parent).is_ok_and(|there| !there.is_dir());
            // Whoever named the target knows whether it is a link.
            let blocked = parents.take_while(|parent| parent != target).find(is_blocked);
            match (blocked, fs::symlink_metadata(&path)) {
                (Some(parent), _) => found.push(parent),
                (None, Err(_)) => {}
                (None, Ok(there)) if entry.is_directory && there.is_dir() => {}
                (None, Ok(there)) if !entry.is_directory && there.is_file() => {
                    if there.len() != entry.size || !self.is_same(entry, &path)? {
                        found.push(path);
                    }
                }
                (None, Ok(_)) => found.push(path),
            }
        }
        found.dedup();
        Ok(found)
    }

    /// Takes the files of `part` out into `target`. A file that is there stays: [`in_the_way`](Self::in_the_way) has looked at it.
    pub(crate) fn unpack(&self, part: &str, target: &Path, undo: &mut Undo) -> Result<()> {
        undo.directory(target)?;
        for entry in &self.entries {
            let Some(own) = entry.below(part) else { continue };
            let path = target.join(own);
            if entry.is_directory {
                undo.directory(&path)?;
            } else if fs::symlink_metadata(&path).is_err() {
                undo.directory(path.parent().unwrap_or(target))?;
                // The experiment's configuration may hold secrets.
                let mode = if part == CODE { entry.mode } else { 0o600 };
                let mut file = undo.file(&path, mode)?;
                self.each_piece(entry, |bytes| {
                    file.write_all(bytes).map_err(|e| Error::io("write", &path, e))?;
                    Ok(true)
                })?;
            }
        }
        Ok(())
    }

    /// Whether a file holds what the entry does.
    fn is_same(&self, entry: &Entry, path: &Path) -> Result<bool> {
        let failed = |e| Error::io("read", path, e);
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut is_same = true;
        let mut there = Vec::new();
        self.each_piece(entry, |bytes| {
            there.resize(bytes.len(), 0);
            is_same = match file.read_exact(&mut there) {
                Ok(()) => there == bytes,
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => false,
                Err(e) => return Err(failed(e)),
            };
            Ok(is_same)
        })?;
        Ok(is_same)
    }

    /// The text of the first file whose path is wanted.
    fn text(&self, is_wanted: impl Fn(&Path) -> bool) -> Result<Option<String>> {
        let wanted = |entry: &&Entry| !entry.is_directory && is_wanted(&entry.path);
        let Some(entry) = self.entries.iter().find(wanted) else {
            return Ok(None);
        };
        let name = entry.path.display();
        if entry.size > MOST_TEXT {
            return Err(self.damaged(format!("`{name}` in it is too big")));
        }
        let mut text = Vec::new();
        self.each_piece(entry, |bytes| {
            text.extend_from_slice(bytes);
            Ok(true)
        })?;
        let text = String::from_utf8(text);
        text.map(Some)
            .map_err(|e| self.damaged(format!("`{name}` in it is no text")).with_source(e))
    }

    /// Gives the content of an entry piece by piece, while more is wanted; at its end its size and its checksum were right.
    fn each_piece(&self, entry: &Entry, mut take: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        let broken = |error: &dyn Display| self.damaged(format!("`{}` in it: {error}", entry.path.display()));
        let found = self.zip.get_entry(entry.place).map_err(|e| broken(&e))?;
        let content: Box<dyn Read> = if entry.is_deflated {
            Box::new(DeflateDecoder::new(found.reader()))
        } else {
            Box::new(found.reader())
        };
        let mut content = found.verifying_reader(content);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = content.read(&mut buffer).map_err(|e| broken(&e))?;
            if n == 0 || !take(&buffer[..n])? {
                return Ok(());
            }
        }
    }

    fn damaged(&self, cause: impl Display) -> Error {
        damaged(&self.file, cause)
    }
}

/// All of its files and directories.
fn entries<R: ReaderAt>(zip: &ZipArchive<R>) -> Result<Vec<Entry>, Refused> {
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let mut records = zip.entries(&mut buffer);
    let mut entries = Vec::new();
    while let Some(record) = records.next_entry()? {
        entries.push(Entry::check(&record)?);
    }
    if entries.len() as u64 != zip.entries_hint() {
        return Err(Refused::because("its directory is not whole"));
    }
    Ok(entries)
}

/// Refuses files that share a name or bytes: so all together are not much bigger than deflate can make of the archive.
fn refuse_overlaps<R: ReaderAt>(zip: &ZipArchive<R>, entries: &[Entry]) -> Result<(), Refused> {
    let mut names = HashSet::new();
    let mut ranges = Vec::new();
    for entry in entries {
        if !names.insert(&entry.path) {
            return Err(Refused::name(&entry.path.to_string_lossy(), "twice"));
        }
        ranges.push(zip.get_entry(entry.place)?.compressed_data_range());
    }
    ranges.sort_unstable();
    let ends = ranges
        .iter()
        .skip(1)
        .map(|range| range.0)
        .chain([zip.directory_offset()]);
    let overlap = ranges.iter().zip(ends).any(|(range, end)| range.1 > end);
    if overlap {
        return Err(Refused::because("its parts overlap"));
    }
    Ok(())
}

fn damaged(file: &Path, cause: impl Display) -> Error {
    Error::new(ErrorKind::Io, format!("`{}` cannot be loaded: {cause}", file.display()))
        .with_help("it is damaged or incomplete: copy it again, or save it anew with `nnictl experiment save ID`")
}
