//! The wish to end a trial, kept on our own disk until its end is known, so that a later manager completes it.
//!
//! Carrying it out is each platform's own.

use crate::{CancelReason, Error, Result, launch::TrialPaths};
use std::{fs, path::Path};

/// Stores the wish to end a trial, so that a later manager completes it.
pub fn save_cancel(paths: &TrialPaths, why: CancelReason) -> Result<()> {
    write_whole(&paths.cancel(), why.as_str().as_bytes())
}

/// The stored wish to end a trial. One that cannot be read counts as the user's.
pub fn load_cancel(paths: &TrialPaths) -> Option<CancelReason> {
    let text = fs::read_to_string(paths.cancel()).ok()?;
    Some(CancelReason::parse(text.trim()).unwrap_or(CancelReason::User))
}

/// Writes a file so that a reader sees all of it or none.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, bytes).map_err(|e| Error::io("write", &draft, e))?;
    fs::rename(&draft, path).map_err(|e| Error::io("write", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let paths = TrialPaths::new(dir.path());
        fs::create_dir_all(paths.exchange()).expect("room");
        assert_eq!(load_cancel(&paths), None);
        save_cancel(&paths, CancelReason::EarlyStop).expect("room");
        assert_eq!(load_cancel(&paths), Some(CancelReason::EarlyStop));
        fs::write(paths.cancel(), "?").expect("room");
        assert_eq!(load_cancel(&paths), Some(CancelReason::User));
    }
}
