//! What the listener does with the folder that it serves. Blocks.

use crate::{
    TrialId,
    follow::mounted::{AGAIN, READY, STARTED},
    launch::TrialPaths,
};
use std::{
    fs,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Files that a worker may write, below the trial's folder.
const WRITABLE: [&str; 7] = [
    "stdout",
    "stderr",
    "trial.log",
    ".nni/metrics",
    ".nni/state",
    ".nni/failure",
    ".nni/ended",
];
/// Files are written by one at a time; so many locks for all.
const LOCKS: usize = 64;

/// The folder of an experiment.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    locks: [Mutex<()>; LOCKS],
}

/// What a worker is told of its trial.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inbox {
    pub(super) is_canceled: bool,
    pub(super) parameters: Vec<String>,
}

impl Store {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            locks: std::array::from_fn(|_| Mutex::default()),
        }
    }

    fn paths(&self, trial: &TrialId) -> TrialPaths {
        TrialPaths::new(self.root.join(trial.as_str()))
    }

    /// The file that a worker may read by this name; `None`: there is no such name.
    pub(super) fn readable(&self, name: &str) -> Option<PathBuf> {
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = name.split('/').collect();
        (parts.len() == 2 && parts.iter().all(|part| is_plain(part))).then(|| self.root.join(name))
    }

    /// Adds what is new of a piece that begins at `offset`, and gives the length that is stored for good. `None`: the trial is gone.
    pub(super) fn append(&self, trial: &TrialId, name: &str, offset: u64, piece: &[u8]) -> io::Result<Option<u64>> {
        let paths = self.paths(trial);
        if !paths.exchange().is_dir() {
            return Ok(None);
        }
        let path = paths.dir().join(name);
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&path);
        let lock = &self.locks[usize::try_from(hash % LOCKS as u64).unwrap_or_default()];
        let _turn = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = match fs::OpenOptions::new().append(true).create(true).open(&path) {
            Ok(file) => file,
            // Removed just now.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let stored = file.metadata()?.len();
        let known = stored.checked_sub(offset).and_then(|known| usize::try_from(known).ok());
        // A gap, or nothing new: the worker goes on where we are.
        let Some(new) = known.and_then(|known| piece.get(known..)).filter(|new| !new.is_empty()) else {
            file.sync_data()?;
            return Ok(Some(stored));
        };
        file.write_all(new)?;
        file.sync_data()?;
        Ok(Some(stored + new.len() as u64))
    }

    /// Gives the right to run a trial to one of those that come, as often as it asks. `None`: the trial is gone.
    pub(super) fn claim(&self, trial: &TrialId, by: &str) -> io::Result<Option<bool>> {
        let exchange = self.paths(trial).exchange();
        let own = exchange.join(format!("{STARTED}{by}"));
        if !exchange.is_dir() {
            return Ok(None);
        }
        if own.exists() {
            return Ok(Some(true));
        }
        match fs::rename(exchange.join(READY), &own) {
            Ok(()) => {
                fs::File::open(&exchange)?.sync_all()?;
                Ok(Some(true))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if was_started(&exchange)? {
                    fs::write(exchange.join(AGAIN), "")?;
                }
                Ok(Some(false))
            }
            Err(e) => Err(e),
        }
    }

    /// What there is for a trial. `None`: the trial is gone.
    pub(super) fn inbox(&self, trial: &TrialId) -> io::Result<Option<Inbox>> {
        let paths = self.paths(trial);
        let entries = match fs::read_dir(paths.dir()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut parameters = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let is_one = |name: &&str| {
                name.strip_suffix(".cfg")
                    .is_some_and(|stem| stem.starts_with("parameter"))
            };
            parameters.extend(name.to_str().filter(is_one).map(str::to_owned));
        }
        parameters.sort();
        Ok(Some(Inbox {
            is_canceled: paths.cancel().exists(),
            parameters,
        }))
    }
}

fn was_started(exchange: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(exchange)? {
        if entry?.file_name().to_string_lossy().starts_with(STARTED) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a worker may write a file of this name.
pub(super) fn is_writable(name: &str) -> bool {
    WRITABLE.contains(&name)
}
