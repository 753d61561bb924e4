//! Walks a code directory once and lists exactly what will travel, what stays at home and why.
//!
//! Packing works from this list and never walks again, so limits are checked on the very set that is sent. What a link is
//! worth is in `node.rs`, the meaning of ignore lines in `ignore_rules.rs`.

use crate::{
    ignore_rules::{Rule, RuleStack, Ruling},
    limits::{MAX_DIRECTORIES, Tally},
    node::{Node, Place, classify},
};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::Serialize;
use std::{
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
};
use ts_core::{CodeDirectory, Error, ErrorKind, Result, Warning};

/// A scanned code directory: the exact content of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CodePackage {
    /// The code directory.
    pub root: PathBuf,
    /// What travels, sorted by the bytes of the path: folders before their content.
    pub entries: Vec<Entry>,
    /// What an ignore line keeps at home; nothing beneath an excluded folder is listed. Sorted.
    pub excluded: Vec<Excluded>,
    /// What a user should know about: things that cannot travel and links that were followed or are dead. Sorted.
    pub notes: Vec<Note>,
    /// Real files among the entries.
    pub n_files: u64,
    /// Bytes of those files.
    pub n_bytes: u64,
}

/// One thing that travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Relative to the code directory.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file, or one that an outside link leads to.
    File {
        /// Size in bytes at the time of the scan; exactly so many are packed.
        size: u64,
        /// Whether anybody may execute it.
        executable: bool,
    },
    /// A folder, perhaps empty.
    Directory,
    /// A link that stays a link.
    Symlink {
        /// Its target; an absolute one into the tree has been made relative.
        target: PathBuf,
    },
}

/// Something that an ignore line keeps at home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Excluded {
    /// Relative to the code directory.
    pub path: PathBuf,
    /// Whether it is a folder, with all beneath it.
    pub is_directory: bool,
    /// The deciding line.
    pub rule: Rule,
}

/// Something worth a word to the user, never a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Note {
    /// Relative to the code directory.
    pub path: PathBuf,
    /// What is the matter.
    pub kind: NoteKind,
}

/// What is the matter with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum NoteKind {
    /// A named pipe: left out.
    Fifo,
    /// A socket: left out.
    Socket,
    /// A device: left out.
    Device,
    /// A folder that contains itself by way of a link or mount: left out.
    Loop,
    /// A link out of the tree that leads nowhere: kept as a link.
    DeadLink,
    /// A link out of the tree: what it leads to was packed in its place.
    Followed,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.kind {
            NoteKind::Fifo => write!(f, "named pipe `{path}` is left out"),
            NoteKind::Socket => write!(f, "socket `{path}` is left out"),
            NoteKind::Device => write!(f, "device `{path}` is left out"),
            NoteKind::Loop => write!(f, "folder `{path}` contains itself and is left out"),
            NoteKind::DeadLink => write!(f, "link `{path}` leads nowhere and is kept as it is"),
            NoteKind::Followed => write!(
                f,
                "link `{path}` leads out of the code directory; its content is packed"
            ),
        }
    }
}

impl From<&Note> for Warning {
    fn from(note: &Note) -> Self {
        Self::new(note.to_string()).with_key(crate::KEY)
    }
}

/// Lists what of `code` travels. Blocking; costs one `lstat` and one access check per path that is not excluded.
///
/// # Errors
/// `NotFound` or `CodeDir` if the path is no folder; `CodeDir` when a limit is exceeded, naming the biggest folders;
/// `Denied` naming all files that cannot be read.
pub fn scan(code: &CodeDirectory) -> Result<CodePackage> {
    let mut walk = Walk {
        root: &code.path,
        tally: Tally::new(code),
        entries: Vec::new(),
        excluded: Vec::new(),
        notes: Vec::new(),
        unreadable: Vec::new(),
        pending: vec![Pending {
            path: PathBuf::new(),
            rules: RuleStack::new(code.ignore_case),
            place: open_root(&code.path)?,
        }],
    };
    let mut n_directories = 0;
    while let Some(directory) = walk.pending.pop() {
        n_directories += 1;
        if walk.tally.is_hopeless() {
            break;
        }
        if n_directories > MAX_DIRECTORIES {
            let message = format!(
                "code directory `{}` holds more than {MAX_DIRECTORIES} folders",
                code.path.display()
            );
            return Err(Error::new(ErrorKind::CodeDir, message)
                .with_key(crate::KEY)
                .with_help("list folders of data in `.nniignore`"));
        }
        if let Err(error) = walk.directory(&directory) {
            walk.unreadable.push((directory.path, error));
        }
    }
    walk.finish()
}

/// Checks that the code directory is one. A link to a folder is fine.
pub(crate) fn open_root(root: &Path) -> Result<Place> {
    let meta = fs::metadata(root).map_err(|e| {
        Error::io("open code directory", root, e)
            .with_key(crate::KEY)
            .with_help("name an existing folder")
    })?;
    if !meta.is_dir() {
        return Err(Error::new(
            ErrorKind::CodeDir,
            format!("code directory `{}` is not a folder", root.display()),
        )
        .with_key(crate::KEY)
        .with_help("name the folder that holds the trial's code"));
    }
    Place::root(root).map_err(|e| Error::io("open code directory", root, e).with_key(crate::KEY))
}

/// A folder still to be walked.
struct Pending {
    path: PathBuf,
    rules: RuleStack,
    place: Place,
}

struct Walk<'a> {
    root: &'a Path,
    tally: Tally<'a>,
    entries: Vec<Entry>,
    excluded: Vec<Excluded>,
    notes: Vec<Note>,
    unreadable: Vec<(PathBuf, io::Error)>,
    pending: Vec<Pending>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Pending) -> io::Result<()> {
        let names = fs::read_dir(self.root.join(&directory.path))?
            .map(|item| item.map(|item| item.file_name()))
            .collect::<io::Result<Vec<OsString>>>()?;
        let rules = directory.rules.enter(self.root, &directory.path)?;
        for name in names {
            if self.tally.is_hopeless() {
                break;
            }
            let path = directory.path.join(name);
            if let Err(error) = self.visit(&path, &rules, &directory.place)
                // What vanished since the folder was listed was never there.
                && error.kind() != io::ErrorKind::NotFound
            {
                self.unreadable.push((path, error));
            }
        }
        Ok(())
    }

    fn visit(&mut self, path: &Path, rules: &RuleStack, place: &Place) -> io::Result<()> {
        let full = self.root.join(path);
        let meta = fs::symlink_metadata(&full)?;
        let ruling = rules.decide(path, meta.is_dir());
        if let Ruling::Excluded(rule) = ruling {
            self.excluded.push(Excluded {
                path: path.to_owned(),
                is_directory: meta.is_dir(),
                rule,
            });
            return Ok(());
        }
        let note = |kind| Note {
            path: path.to_owned(),
            kind,
        };
        let kind = match classify(self.root, path, &meta, place)? {
            Node::File { size, executable } => {
                accessat(CWD, &full, Access::READ_OK, AtFlags::EACCESS)?;
                if meta.is_symlink() {
                    self.notes.push(note(NoteKind::Followed));
                }
                self.tally.add(path, size);
                EntryKind::File { size, executable }
            }
            Node::Directory { place, followed } => {
                if followed {
                    self.notes.push(note(NoteKind::Followed));
                }
                self.pending.push(Pending {
                    path: path.to_owned(),
                    rules: rules.clone(),
                    place,
                });
                EntryKind::Directory
            }
            Node::Link { target, dead } => {
                if dead {
                    self.notes.push(note(NoteKind::DeadLink));
                }
                EntryKind::Symlink { target }
            }
            Node::Unfit(kind) => {
                self.notes.push(note(kind));
                return Ok(());
            }
        };
        self.entries.push(Entry {
            path: path.to_owned(),
            kind,
        });
        Ok(())
    }

    fn finish(mut self) -> Result<CodePackage> {
        self.tally.check()?;
        if !self.unreadable.is_empty() {
            return Err(unreadable(self.root, self.unreadable));
        }
        self.entries.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        self.excluded.sort_by(|a, b| a.path.cmp(&b.path));
        self.notes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(CodePackage {
            root: self.root.to_owned(),
            entries: self.entries,
            excluded: self.excluded,
            notes: self.notes,
            n_files: self.tally.n_files(),
            n_bytes: self.tally.n_bytes(),
        })
    }
}

/// One error for all paths that cannot be read, the first twenty by name.
fn unreadable(root: &Path, mut paths: Vec<(PathBuf, io::Error)>) -> Error {
    const NAMED: usize = 20;
    paths.sort_by(|a, b| a.0.cmp(&b.0));
    let mut names: Vec<_> = paths
        .iter()
        .take(NAMED)
        .map(|(path, error)| format!("`{}` ({})", root.join(path).display(), error.kind()))
        .collect();
    if paths.len() > NAMED {
        names.push(format!("and {} more", paths.len() - NAMED));
    }
    let denied = paths
        .iter()
        .all(|(_, error)| error.kind() == io::ErrorKind::PermissionDenied);
    let kind = if denied { ErrorKind::Denied } else { ErrorKind::Io };
    let error = Error::new(kind, format!("cannot read {}", names.join(", ")))
        .with_key(crate::KEY)
        .with_help("make them readable, or list them in `.nniignore`");
    match paths.into_iter().next() {
        Some((_, cause)) => error.with_source(cause),
        None => error,
    }
}
