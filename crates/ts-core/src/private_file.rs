//! Files that only their user may read: what they hold opens something.

use crate::{Error, Result};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Writes a file that only its user may read, and its folder if there is none. A reader sees all of it or none, also after a crash.
///
/// # Errors
/// `Io`, `Denied`.
pub fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    let draft = private_draft(file);
    let written = (|| {
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir)?;
        }
        // Never one that somebody else has made, or has open.
        match fs::remove_file(&draft) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&draft, file)
    })();
    written.map_err(|e| Error::io("write", file, e))
}

/// What a write that was cut leaves beside the file.
pub(crate) fn private_draft(file: &Path) -> PathBuf {
    file.with_extension("new")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_its_user_may_read_it_whatever_was_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("deep/token");
        write_private(&file, b"one").expect("room");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("ours");
        fs::write(file.with_extension("new"), "a write that was cut").expect("room");
        write_private(&file, b"two").expect("room");
        assert_eq!(fs::read(&file).expect("a file"), b"two");
        let mode = fs::metadata(&file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!file.with_extension("new").exists());
    }
}
