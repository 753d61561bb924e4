//! The directories of trials on this machine, one for each below a common one, and the end of a file in them.
//!
//! What is in them is each platform's own.

use crate::{Error, Result, TrialId, launch::TrialPaths};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// How often a directory is tried anew that is not empty, after all in it was removed.
const MOST_TRIES: u32 = 3;

/// Directories of trials, each named as its trial.
#[derive(Debug, Clone)]
pub struct TrialDirs {
    dir: PathBuf,
}

impl TrialDirs {
    /// Those below `dir`, which need not exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where they all are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files of `trial`, whether they exist or not.
    pub fn paths(&self, trial: &TrialId) -> TrialPaths {
        TrialPaths::new(self.dir.join(trial.as_str()))
    }

    /// Makes the trial's directory; `false` if it was there.
    ///
    /// # Errors
    /// `Io`.
    pub fn claim(&self, trial: &TrialId) -> Result<bool> {
        let exchange = self.paths(trial).exchange();
        if exchange.is_dir() {
            return Ok(false);
        }
        fs::create_dir_all(&exchange)
            .map(|()| true)
            .map_err(|e| Error::io("make the trial's directory", &exchange, e))
    }

    /// Removes the trial's directory with everything in it; `false` if there was none.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove(&self, trial: &TrialId) -> Result<bool> {
        remove_dir(self.paths(trial).dir())
    }

    /// Trials that have a directory. What is named like no trial is passed over.
    ///
    /// # Errors
    /// `Io`.
    pub fn trials(&self) -> Result<HashSet<TrialId>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
            Err(e) => return Err(Error::io("list", &self.dir, e)),
        };
        let mut found = HashSet::new();
        for entry in entries {
            let name = entry.map_err(|e| Error::io("list", &self.dir, e))?.file_name();
            found.extend(name.to_str().and_then(|name| TrialId::new(name).ok()));
        }
        Ok(found)
    }
}

/// Removes a directory with everything in it; `false` if there was none.
///
/// On NFS a file that somebody still holds open may keep it for a moment; it is tried a few times.
///
/// # Errors
/// `Io`.
pub fn remove_dir(dir: &Path) -> Result<bool> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(dir) {
            Ok(()) => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(tries > 0),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty && tries < MOST_TRIES => tries += 1,
            Err(e) => return Err(Error::io("remove", dir, e)),
        }
    }
}

/// At most the last `n_bytes` of a file as text; bytes that are none become U+FFFD.
///
/// # Errors
/// As reading the file has it.
pub fn tail(path: &Path, n_bytes: u32) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(u64::from(n_bytes))))?;
    let mut bytes = Vec::new();
    file.take(u64::from(n_bytes)).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_claimed_once_listed_and_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let dirs = TrialDirs::new(dir.path().join("trials"));
        let trial = TrialId::new("a-1").expect("legal");
        assert!(dirs.trials().expect("none yet").is_empty());
        assert!(dirs.claim(&trial).expect("room"));
        assert!(!dirs.claim(&trial).expect("room"), "claimed twice");
        fs::create_dir(dirs.dir().join("no trial")).expect("room");
        assert_eq!(dirs.trials().expect("readable"), HashSet::from([trial.clone()]));
        assert!(dirs.remove(&trial).expect("removed"));
        assert!(!dirs.remove(&trial).expect("absent"));
    }

    #[test]
    fn the_tail_of_a_file_is_at_most_so_long() {
        let file = tempfile::NamedTempFile::new().expect("room");
        fs::write(file.path(), "abcdef").expect("room");
        for (n_bytes, expected) in [(0, ""), (2, "ef"), (6, "abcdef"), (7, "abcdef")] {
            assert_eq!(tail(file.path(), n_bytes).expect("readable"), expected);
        }
    }
}
