//! Where each trial is: a line in a file before the trial is submitted there, so that a later manager asks the right platform.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};
use ts_core::{Error, Result, TrialId};

/// The file, read when it is first needed.
#[derive(Debug)]
pub(super) struct Places {
    path: PathBuf,
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    of: HashMap<TrialId, String>,
    /// Open for appending once something was written.
    file: Option<File>,
}

impl Places {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            state: Mutex::new(None),
        }
    }

    /// The platform of a trial, by its name in this experiment.
    pub(super) fn of(&self, trial: &TrialId) -> Result<Option<String>> {
        self.with(|state| Ok(state.of.get(trial).cloned()))
    }

    /// Writes down that the trial goes to this platform, whatever was written before.
    pub(super) fn put(&self, trial: &TrialId, name: &str) -> Result<()> {
        self.append(trial, name)?;
        self.with(|state| {
            state.of.insert(trial.clone(), name.to_owned());
            Ok(())
        })
    }

    /// Writes down that no platform has the trial.
    pub(super) fn clear(&self, trial: &TrialId) -> Result<()> {
        self.append(trial, "")?;
        self.with(|state| {
            state.of.remove(trial);
            Ok(())
        })
    }

    /// Forgets everything.
    pub(super) fn remove(&self) -> Result<()> {
        *self.lock() = None;
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &self.path, e)),
            _ => Ok(()),
        }
    }

    fn append(&self, trial: &TrialId, name: &str) -> Result<()> {
        self.with(|state| {
            let failed = |e| Error::io("write", &self.path, e);
            let file = match &mut state.file {
                Some(file) => file,
                none => {
                    if let Some(folder) = self.path.parent() {
                        fs::create_dir_all(folder).map_err(|e| Error::io("make", folder, e))?;
                    }
                    let file = OpenOptions::new().create(true).append(true).open(&self.path);
                    none.insert(file.map_err(failed)?)
                }
            };
            // A line that a full disk cut off is ended here; without its point it is none.
            file.write_all(format!("\n{trial} {name} .\n").as_bytes())
                .map_err(failed)?;
            file.sync_data().map_err(failed)
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.lock();
        let state = match &mut *state {
            Some(state) => state,
            none => none.insert(State {
                of: self.read()?,
                file: None,
            }),
        };
        look(state)
    }

    fn read(&self) -> Result<HashMap<TrialId, String>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
            Err(e) => return Err(Error::io("read", &self.path, e)),
        };
        let mut of = HashMap::new();
        let text = String::from_utf8_lossy(&text);
        let whole = text.lines().filter_map(|line| line.strip_suffix(" ."));
        for (trial, name) in whole.filter_map(|line| line.split_once(' ')) {
            let Ok(trial) = TrialId::new(trial) else { continue };
            if name.is_empty() {
                of.remove(&trial);
            } else {
                of.insert(trial, name.to_owned());
            }
        }
        Ok(of)
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_of_a_trial_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/places");
        let id = |name: &str| TrialId::new(name).expect("legal");
        let places = Places::new(path.clone());
        places.put(&id("t1"), "local").expect("room");
        places.put(&id("t2"), "local").expect("room");
        places.put(&id("t1"), "remote").expect("room");
        places.clear(&id("t2")).expect("room");
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"t1 loc").expect("room");
        let again = Places::new(path.clone());
        assert_eq!(again.of(&id("t1")).expect("readable").as_deref(), Some("remote"));
        assert_eq!(again.of(&id("t2")).expect("readable"), None);
        again.put(&id("t3"), "local").expect("room");
        let third = Places::new(path);
        assert_eq!(third.of(&id("t3")).expect("readable").as_deref(), Some("local"));
        assert_eq!(third.of(&id("t1")).expect("readable").as_deref(), Some("remote"));
        third.remove().expect("there");
        assert_eq!(third.of(&id("t1")).expect("readable"), None);
    }
}
