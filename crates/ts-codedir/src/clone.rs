//! Copies a tree on one machine as cheaply as the file system allows: shared blocks where it can, bytes where it cannot.
//!
//! Hard links are taken on request only, because writing to one would change the source. Moving code between machines is
//! packing (`pack.rs`).

use crate::{
    pack::{changed, open},
    scan::{CodePackage, EntryKind},
    staging::Staging,
};
use rustix::fs::ioctl_ficlone;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};
use ts_core::{Error, ErrorKind, Result};

/// How to clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CloneMode {
    /// Shares blocks where the file system can, copies bytes where it cannot. The source stays safe from writes.
    #[default]
    Auto,
    /// Hard links: instant everywhere on one file system, but whoever writes to the clone changes the source too.
    HardLink,
    /// Copies every byte.
    Copy,
}

/// How a clone was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloneMethod {
    /// Every file shares its blocks with the source until one of them is written.
    Reflink,
    /// Every file is the source's file.
    HardLink,
    /// At least one file had to be copied.
    Copy,
}

/// Clones the whole tree `source`, with links and modes, to `destination`, which appears at once when it is complete.
///
/// # Errors
/// `Conflict` if `destination` is there and not an empty folder; `Unsupported` if the tree holds a pipe, socket or device;
/// `NotFound`, `Denied` or `Io` as the file system answers, which includes hard links between two file systems.
pub fn clone_tree(source: &Path, destination: &Path, mode: CloneMode) -> Result<CloneMethod> {
    let staging = Staging::beside(destination)?;
    let mut cloner = Cloner::new(mode);
    let top = fs::metadata(source).map_err(read(source))?;
    let real = fs::canonicalize(source).map_err(read(source))?;
    let target = fs::canonicalize(staging.path()).map_err(|e| Error::io("open", staging.path(), e))?;
    if target.starts_with(&real) {
        let message = format!("`{}` cannot be cloned into itself", source.display());
        return Err(Error::new(ErrorKind::Conflict, message).with_help("choose a destination outside of it"));
    }
    let mut pending = vec![PathBuf::new()];
    let mut folders = Vec::new();
    while let Some(folder) = pending.pop() {
        let full = source.join(&folder);
        let names = fs::read_dir(&full)
            .and_then(|items| {
                items
                    .map(|i| i.map(|i| i.file_name()))
                    .collect::<io::Result<Vec<OsString>>>()
            })
            .map_err(read(&full))?;
        for name in names {
            let path = folder.join(name);
            let (from, to) = (source.join(&path), staging.path().join(&path));
            let meta = fs::symlink_metadata(&from).map_err(read(&from))?;
            let kind = meta.file_type();
            if kind.is_dir() {
                fs::create_dir(&to).map_err(|e| Error::io("create", &to, e))?;
                folders.push((to, meta.permissions().mode() & 0o7777));
                pending.push(path);
            } else if kind.is_symlink() {
                let target = fs::read_link(&from).map_err(read(&from))?;
                symlink(target, &to).map_err(|e| Error::io("create", &to, e))?;
            } else if kind.is_file() {
                let file = File::open(&from).map_err(read(&from))?;
                cloner.file(&from, file, &to, meta.permissions().mode() & 0o777)?;
            } else {
                let message = format!("`{}` is a pipe, socket or device and cannot be cloned", from.display());
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        }
    }
    // From the bottom up, so that a folder without write permission is complete before it is closed.
    for (folder, mode) in folders.iter().rev() {
        fs::set_permissions(folder, Permissions::from_mode(*mode))
            .map_err(|e| Error::io("set the mode of", folder, e))?;
    }
    staging.publish(top.permissions().mode() & 0o7777)?;
    Ok(cloner.method())
}

/// Clones exactly what `package` lists to `destination`, with the modes that packing and unpacking would give.
///
/// # Errors
/// As [`clone_tree`]; `CodeDir`, retryable after a new scan, if a file vanished.
pub fn clone_package(package: &CodePackage, destination: &Path, mode: CloneMode) -> Result<CloneMethod> {
    let staging = Staging::beside(destination)?;
    let mut cloner = Cloner::new(mode);
    for entry in &package.entries {
        let to = staging.path().join(&entry.path);
        match &entry.kind {
            EntryKind::Directory => fs::create_dir(&to).map_err(|e| Error::io("create", &to, e))?,
            EntryKind::Symlink { target } => symlink(target, &to).map_err(|e| Error::io("create", &to, e))?,
            EntryKind::File { executable, .. } => {
                let file = open(&package.root, &entry.path)?;
                let from = fs::canonicalize(package.root.join(&entry.path))
                    .map_err(|e| changed(&entry.path, "vanished").with_source(e))?;
                cloner.file(&from, file, &to, if *executable { 0o755 } else { 0o644 })?;
            }
        }
    }
    staging.publish(0o755)?;
    Ok(cloner.method())
}

/// Turns a failure to read `path` into an error that names it.
fn read(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error::io("read", path, cause)
}

/// Clones files one by one and remembers what worked.
struct Cloner {
    mode: CloneMode,
    reflinks: bool,
    copied: bool,
}

impl Cloner {
    fn new(mode: CloneMode) -> Self {
        Self {
            mode,
            reflinks: mode == CloneMode::Auto,
            copied: false,
        }
    }

    fn method(&self) -> CloneMethod {
        match self.mode {
            CloneMode::HardLink => CloneMethod::HardLink,
            CloneMode::Auto if self.reflinks && !self.copied => CloneMethod::Reflink,
            CloneMode::Auto | CloneMode::Copy => CloneMethod::Copy,
        }
    }

    fn file(&mut self, from: &Path, mut source: File, to: &Path, mode: u32) -> Result<()> {
        let fail = |e| Error::io("create", to, e);
        if self.mode == CloneMode::HardLink {
            return fs::hard_link(from, to).map_err(fail);
        }
        let mut target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to)
            .map_err(fail)?;
        // One refusal is enough to know that this file system does not share blocks.
        self.reflinks = self.reflinks && ioctl_ficlone(&target, &source).is_ok();
        if !self.reflinks {
            self.copied = true;
            io::copy(&mut source, &mut target).map_err(|e| Error::io("copy to", to, e))?;
        }
        target.set_permissions(Permissions::from_mode(mode)).map_err(fail)
    }
}
