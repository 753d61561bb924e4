//! The directory of an experiment on this machine, and the lock that keeps a second manager away.
//!
//! Finding experiments by id, and where experiments live by default, belong to the command line.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};
use ts_core::{Error, ErrorKind, ExperimentId, Result};

/// `<working directory>/<experiment id>`: everything that the experiment keeps on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentDirectory {
    path: PathBuf,
}

impl ExperimentDirectory {
    /// The directory of an experiment below `working_dir`, NNI's layout. Nothing is created.
    pub fn new(working_dir: &Path, id: &ExperimentId) -> Self {
        Self {
            path: working_dir.join(id.as_str()),
        }
    }

    /// A directory that is known by its path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Creates the directory and its `log` folder; fine if they exist.
    ///
    /// # Errors
    /// `Denied`, `Io`: with the path and what to do.
    pub fn create(&self) -> Result<()> {
        std::fs::create_dir_all(self.log()).map_err(|e| {
            let error =
                Error::io("create the experiment directory", &self.path, e).with_key("experimentWorkingDirectory");
            match error.help() {
                Some(_) => error,
                None => error.with_help(
                    "set `experimentWorkingDirectory` (schema 1: `logDir`) to a directory that you can write",
                ),
            }
        })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path.join("experiment.db")
    }
    /// Logs of the manager.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }
    /// Locked while a manager runs; holds its process id.
    pub fn lock_file(&self) -> PathBuf {
        self.path.join("manager.lock")
    }
    /// Where the running manager listens; see [`crate::control`].
    pub fn control_address(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Takes the manager's lock. The operating system releases it when the process ends, however it ends; what a killed
    /// manager was about to start may hold it for a moment longer, which is waited for, a second at most.
    ///
    /// # Errors
    /// `Conflict` if another manager holds it; `Io` if the file cannot be opened.
    pub fn lock(&self) -> Result<ManagerLock> {
        let path = self.lock_file();
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        let mut tries = 0;
        let locked = loop {
            let locked = file.try_lock();
            tries += 1;
            if !matches!(locked, Err(TryLockError::WouldBlock)) || tries > LOCK_TRIES || !is_left_behind(&mut file) {
                break locked;
            }
            pause();
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "experiment in `{}` is run by another manager (process {})",
                        self.path.display(),
                        holder
                    ),
                )
                .with_help("watch it with `tsctl status`, or end it with `tsctl stop`, before starting another"));
            }
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
        }
        let pid = std::process::id();
        // The pid is for people; a full disk must not keep the manager from running.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{pid}"));
        Ok(ManagerLock { _file: file })
    }

    /// Whether a manager runs this experiment now, and its process id as far as it is known.
    pub fn manager(&self) -> Option<ManagerProcess> {
        let mut file = File::open(self.lock_file()).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                Some(ManagerProcess {
                    pid: pid.trim().parse().ok(),
                })
            }
            _ => None,
        }
    }
}

/// How often a lock is tried whose holder is dead.
const LOCK_TRIES: u32 = 100;

/// What the lock file says of the process that holds it.
fn holder(file: &mut File) -> String {
    let mut holder = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut holder));
    holder.trim().to_owned()
}

/// Whether the manager that took the lock is dead. A process that it was about to start has the lock for a moment longer: from
/// the fork to the start of its program.
fn is_left_behind(file: &mut File) -> bool {
    holder(file)
        .parse::<u32>()
        .is_ok_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the other process has no other clock than the machine's"
)]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(10));
}

/// The right to run an experiment; dropping it gives it up.
#[derive(Debug)]
pub struct ManagerLock {
    _file: File,
}

/// A manager that runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagerProcess {
    /// Its process id, unless it could not be written.
    pub pid: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_manager_was_about_to_start_is_waited_for() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = ExperimentDirectory::at(tmp.path().join("exp"));
        dir.create().unwrap();
        let held = dir.lock().unwrap();
        // No process has such a number (proc(5), `pid_max`).
        std::fs::write(dir.lock_file(), "4294967295").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pause();
                drop(held);
            });
            dir.lock().unwrap();
        });
    }

    #[test]
    fn one_manager_at_a_time_and_the_lock_ends_with_its_holder() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = ExperimentDirectory::at(tmp.path().join("exp"));
        dir.create().unwrap();
        assert_eq!(dir.manager(), None);
        let lock = dir.lock().unwrap();
        let refused = dir.lock().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(
            refused.to_string().contains(&std::process::id().to_string()),
            "{refused}"
        );
        assert_eq!(dir.manager().and_then(|m| m.pid), Some(std::process::id()));
        drop(lock);
        assert_eq!(dir.manager(), None);
        dir.lock().unwrap();
    }
}
