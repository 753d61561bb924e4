//! What a command has made so far: removed again, newest first, unless the command came to its end.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};
use ts_core::{Error, Result};

/// Files and directories that go when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    made: Vec<Made>,
}

#[derive(Debug)]
enum Made {
    File(PathBuf),
    /// Stays if somebody else has put something into it.
    Directory(PathBuf),
    /// With everything in it.
    Tree(PathBuf),
}

impl Undo {
    /// Makes a directory and those above it that are missing; fine if it is there.
    pub(crate) fn directory(&mut self, path: &Path) -> Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
        for path in missing.into_iter().rev() {
            match std::fs::create_dir(path) {
                Ok(()) => self.made.push(Made::Directory(path.to_owned())),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(e) => return Err(Error::io("create", path, e)),
            }
        }
        if path.is_dir() {
            return Ok(());
        }
        Err(Error::io("create", path, io::ErrorKind::NotADirectory.into()))
    }

    /// Makes a file that must not exist, with this mode.
    pub(crate) fn file(&mut self, path: &Path, mode: u32) -> Result<File> {
        let mut options = File::options();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        let file = options.open(path).map_err(|e| Error::io("write", path, e))?;
        self.made.push(Made::File(path.to_owned()));
        Ok(file)
    }

    /// Takes charge of a directory, whatever comes into it.
    pub(crate) fn tree(&mut self, path: &Path) {
        self.made.push(Made::Tree(path.to_owned()));
    }

    /// How many files were made.
    #[cfg(test)]
    pub(crate) fn n_files(&self) -> usize {
        self.made.iter().filter(|made| matches!(made, Made::File(_))).count()
    }

    /// All is well: everything stays.
    pub(crate) fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for made in self.made.drain(..).rev() {
            let removed = match &made {
                Made::File(path) => std::fs::remove_file(path),
                Made::Directory(path) => std::fs::remove_dir(path),
                Made::Tree(path) => std::fs::remove_dir_all(path),
            };
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(?made, %error, "cannot be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_and_what_was_there_stays() {
        let lab = tempfile::tempdir().unwrap();
        let there = lab.path().join("there");
        std::fs::create_dir(&there).unwrap();
        let make = |undo: &mut Undo| {
            undo.directory(&there.join("a/b")).unwrap();
            undo.directory(&there.join("a/b")).unwrap();
            undo.file(&there.join("a/b/c"), 0o600).unwrap();
            undo.file(&there.join("a/b/c"), 0o600).unwrap_err();
            undo.directory(&there.join("a/b/c")).unwrap_err();
            undo.directory(&there.join("a/b/c/d")).unwrap_err();
        };
        let mut undo = Undo::default();
        make(&mut undo);
        drop(undo);
        assert_eq!(std::fs::read_dir(&there).unwrap().count(), 0);
        let mut undo = Undo::default();
        make(&mut undo);
        undo.keep();
        assert!(there.join("a/b/c").is_file());
    }
}
