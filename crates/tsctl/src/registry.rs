//! The list of this user's experiments: one small file for each, which holds the path of its directory.
//!
//! A hint, not a truth: a vanished directory is noticed by whoever looks, and experiments below the default working directory
//! are found without it. Files are written by rename, so two processes never disturb each other.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use ts_core::{Error, ExperimentId, Result};

/// The list, in the state directory.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    directory: PathBuf,
}

impl Registry {
    /// The list below the program's state directory. Nothing is created.
    pub(crate) fn new(state: &Path) -> Self {
        Self {
            directory: state.join("experiments"),
        }
    }

    /// Notes where an experiment lives.
    pub(crate) fn add(&self, id: &ExperimentId, path: &Path) -> Result<()> {
        let failed = |e| Error::io("note the experiment in", &self.directory, e);
        std::fs::create_dir_all(&self.directory).map_err(failed)?;
        let unfinished = self.directory.join(format!(".{id}.{}", std::process::id()));
        std::fs::write(&unfinished, path.as_os_str().as_encoded_bytes()).map_err(failed)?;
        std::fs::rename(&unfinished, self.directory.join(id.as_str())).map_err(failed)
    }

    /// Forgets an experiment; fine if it is not listed.
    pub(crate) fn remove(&self, id: &ExperimentId) -> Result<()> {
        let path = self.directory.join(id.as_str());
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, e)),
            _ => Ok(()),
        }
    }

    /// Every listed experiment with its directory, which may have vanished.
    pub(crate) fn list(&self) -> Result<BTreeMap<ExperimentId, PathBuf>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(e) => return Err(Error::io("read", &self.directory, e)),
        };
        let mut found = BTreeMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| ExperimentId::new(name).ok()) else {
                continue;
            };
            // A file that vanished since or cannot be read names no experiment.
            if let Ok(text) = std::fs::read(entry.path()) {
                use std::os::unix::ffi::OsStringExt;
                found.insert(id, PathBuf::from(std::ffi::OsString::from_vec(text)));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experiments_are_noted_listed_and_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let registry = Registry::new(&state.path().join("not/yet"));
        assert!(registry.list().unwrap().is_empty());
        let id = ExperimentId::new("ab12cd34").unwrap();
        registry.add(&id, Path::new("/data/first")).unwrap();
        registry.add(&id, Path::new("/data/second")).unwrap();
        assert_eq!(
            registry.list().unwrap().into_iter().collect::<Vec<_>>(),
            [(id.clone(), PathBuf::from("/data/second"))]
        );
        registry.remove(&id).unwrap();
        registry.remove(&id).unwrap();
        assert!(registry.list().unwrap().is_empty());
    }
}
