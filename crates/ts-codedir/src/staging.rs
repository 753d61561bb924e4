//! A folder that appears at its destination whole or not at all.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use ts_core::{Error, ErrorKind, Result};

/// A temporary folder beside the destination; dropped unpublished, it is removed with all its content.
#[derive(Debug)]
pub(crate) struct Staging {
    temporary: TempDir,
    destination: PathBuf,
}

impl Staging {
    /// # Errors
    /// `Conflict` if something other than an empty folder is at `destination`.
    pub(crate) fn beside(destination: &Path) -> Result<Self> {
        let occupied = match fs::read_dir(destination) {
            Ok(mut items) => items.next().is_some(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if occupied {
            return Err(conflict(destination));
        }
        let parent = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        let temporary = tempfile::Builder::new()
            .prefix(".unpublished-")
            .tempdir_in(parent)
            .map_err(|e| Error::io("create a folder in", parent, e))?;
        Ok(Self {
            temporary,
            destination: destination.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Moves the folder to its destination in one step, with this mode.
    pub(crate) fn publish(self, mode: u32) -> Result<()> {
        let io = |e| Error::io("create", &self.destination, e);
        fs::set_permissions(self.path(), fs::Permissions::from_mode(mode)).map_err(io)?;
        fs::rename(self.path(), &self.destination).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                conflict(&self.destination)
            }
            _ => io(error),
        })?;
        // Published: nothing is left under the temporary name.
        let _renamed = self.temporary.keep();
        Ok(())
    }
}

fn conflict(destination: &Path) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("`{}` exists already", destination.display()),
    )
    .with_help("name a folder that does not exist yet, or an empty one")
}
