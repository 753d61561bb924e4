//! The mirror: what trials have written on their machines, byte for byte at the same offsets, on our own disk.
//!
//! Watchers read only the mirror, so a trial's journal is the same for all of them, whatever the link does. How far the
//! mirror is decides from where a machine is asked to go on.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};
use ts_core::{Error, ErrorKind, LogKind, Result, TrialId, follow::TrialDirs, launch::TrialPaths};

/// Mirrored files of all trials of an experiment.
#[derive(Debug)]
pub(crate) struct Mirror {
    dirs: TrialDirs,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that are here, for journals that grow; what is absent is looked up on disk.
    journals: HashMap<TrialId, u64>,
    logs: HashMap<TrialId, HashMap<LogKind, Log>>,
}

/// How far a wanted log is.
#[derive(Debug, Clone, Copy, Default)]
struct Log {
    len: u64,
    is_complete: bool,
}

impl Mirror {
    pub(crate) fn new(work_dir: &Path) -> Self {
        Self {
            dirs: TrialDirs::new(work_dir.join("trials")),
            state: Mutex::default(),
        }
    }

    /// Where the mirrored files are.
    pub(crate) fn dirs(&self) -> &TrialDirs {
        &self.dirs
    }

    pub(crate) fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.dirs.paths(trial)
    }

    /// How many bytes of the journal are here.
    pub(crate) fn journal_len(&self, trial: &TrialId) -> u64 {
        let known = self.state().journals.get(trial).copied();
        known.unwrap_or_else(|| len_of(&self.paths(trial).metrics()))
    }

    /// Adds a piece of a journal. What is here already is left as it is.
    ///
    /// # Errors
    /// `Protocol` if bytes before it are missing; `Io` if it cannot be written, and then nothing of it counts as here.
    pub(crate) fn add_journal(&self, trial: &TrialId, offset: u64, bytes: &[u8]) -> Result<()> {
        let len = self.journal_len(trial);
        let new = add(&self.paths(trial).metrics(), len, offset, bytes)?;
        self.state().journals.insert(trial.clone(), new);
        Ok(())
    }

    /// Notes that somebody follows a log, and says from which byte it is missing; `None` if that was known already.
    pub(crate) fn want_log(&self, trial: &TrialId, log: LogKind) -> Option<u64> {
        let path = self.paths(trial).log(log);
        let mut state = self.state();
        let logs = state.logs.entry(trial.clone()).or_default();
        if logs.contains_key(&log) {
            return None;
        }
        let len = len_of(&path);
        logs.insert(
            log,
            Log {
                len,
                is_complete: false,
            },
        );
        Some(len)
    }

    /// The followed logs of a trial that are not complete, and from which byte they are missing.
    pub(crate) fn wanted_logs(&self, trial: &TrialId) -> Vec<(LogKind, u64)> {
        let state = self.state();
        let logs = state.logs.get(trial).into_iter().flatten();
        logs.filter(|(_, log)| !log.is_complete)
            .map(|(kind, log)| (*kind, log.len))
            .collect()
    }

    /// Adds a piece of a log.
    ///
    /// # Errors
    /// As [`Self::add_journal`].
    pub(crate) fn add_log(
        &self,
        trial: &TrialId,
        log: LogKind,
        offset: u64,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<()> {
        let path = self.paths(trial).log(log);
        let known = self.state().logs.get(trial).and_then(|logs| logs.get(&log)).copied();
        let Some(known) = known else { return Ok(()) };
        // A log that was cut short on the machine begins anew; so does its copy.
        let start = if offset < known.len && offset == 0 {
            0
        } else {
            known.len
        };
        if start == 0 && known.len > 0 {
            fs::write(&path, b"").map_err(|e| Error::io("empty", &path, e))?;
        }
        let len = add(&path, start, offset, bytes)?;
        if let Some(log) = self.state().logs.get_mut(trial).and_then(|logs| logs.get_mut(&log)) {
            *log = Log {
                len,
                is_complete: is_last,
            };
        }
        Ok(())
    }

    /// Whether no byte of a log of an ended trial is missing here.
    pub(crate) fn log_is_complete(&self, trial: &TrialId, log: LogKind) -> bool {
        let state = self.state();
        state
            .logs
            .get(trial)
            .and_then(|logs| logs.get(&log))
            .is_some_and(|log| log.is_complete)
    }

    /// Forgets how far an ended trial is; its files stay.
    pub(crate) fn forget_journal(&self, trial: &TrialId) {
        self.state().journals.remove(trial);
    }

    /// Removes everything of a trial.
    pub(crate) fn remove(&self, trial: &TrialId) -> Result<()> {
        {
            let mut state = self.state();
            state.journals.remove(trial);
            state.logs.remove(trial);
        }
        self.dirs.remove(trial).map(drop)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn len_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// Adds what of `bytes`, which begin at `offset`, is beyond `len`, the present length of the file; gives the new length.
fn add(path: &Path, len: u64, offset: u64, bytes: &[u8]) -> Result<u64> {
    let Some(known) = len.checked_sub(offset) else {
        return Err(Error::new(
            ErrorKind::Protocol,
            format!(
                "`{}` ends at byte {len}, and the machine went on at byte {offset}",
                path.display()
            ),
        ));
    };
    let known = usize::try_from(known).unwrap_or(usize::MAX);
    let Some(fresh) = bytes.get(known..).filter(|fresh| !fresh.is_empty()) else {
        return Ok(len);
    };
    // At its place rather than at the end: two that look on at the same log write the same bytes to the same places.
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|e| Error::io("open", path, e))?;
    if let Err(error) = file.write_all_at(fresh, len) {
        // Part of it may be there: what counts is what was there before.
        if let Err(error) = file.set_len(len) {
            tracing::warn!(path = %path.display(), %error, "a mirrored file cannot be cut back");
        }
        return Err(Error::io("write", path, error));
    }
    Ok(len + fresh.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> (tempfile::TempDir, Mirror, TrialId) {
        let dir = tempfile::tempdir().expect("a directory");
        let mirror = Mirror::new(dir.path());
        let trial = TrialId::new("a-1").expect("legal");
        mirror.dirs().claim(&trial).expect("room");
        (dir, mirror, trial)
    }

    #[test]
    fn repeated_and_overlapping_pieces_are_written_once_and_a_gap_is_refused() {
        let (_dir, mirror, trial) = mirror();
        for (offset, bytes) in [(0, "abc"), (0, "abc"), (1, "bcde"), (5, ""), (5, "f")] {
            mirror.add_journal(&trial, offset, bytes.as_bytes()).expect("fits");
        }
        let error = mirror.add_journal(&trial, 7, b"h").expect_err("a byte is missing");
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert_eq!(fs::read(mirror.paths(&trial).metrics()).expect("there"), b"abcdef");
        mirror.forget_journal(&trial);
        assert_eq!(mirror.journal_len(&trial), 6, "found again on disk");
    }

    #[test]
    fn a_log_is_mirrored_once_wanted_and_anew_when_it_was_cut_short() {
        let (_dir, mirror, trial) = mirror();
        mirror
            .add_log(&trial, LogKind::Stdout, 0, b"x", false)
            .expect("ignored");
        assert!(!mirror.paths(&trial).log(LogKind::Stdout).exists(), "nobody wanted it");
        assert_eq!(mirror.want_log(&trial, LogKind::Stdout), Some(0));
        assert_eq!(mirror.want_log(&trial, LogKind::Stdout), None);
        mirror.add_log(&trial, LogKind::Stdout, 0, b"abc", false).expect("fits");
        assert_eq!(mirror.wanted_logs(&trial), [(LogKind::Stdout, 3)]);
        mirror.add_log(&trial, LogKind::Stdout, 0, b"z", true).expect("fits");
        assert!(mirror.log_is_complete(&trial, LogKind::Stdout));
        let text = fs::read(mirror.paths(&trial).log(LogKind::Stdout)).expect("there");
        assert_eq!(text, b"z");
        assert!(mirror.wanted_logs(&trial).is_empty());
    }
}
