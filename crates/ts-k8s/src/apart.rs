//! Where a service that only looks on keeps what trials say: apart from the files of the one that has them, for as long as it lives.

use crate::relay::Mirror;
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use ts_core::{Error, IdSource as _, RandomIds, Result};

/// Folder of all that look on.
pub(crate) const LOOKS: &str = "looks";
/// File that is locked while somebody uses what is beside it.
const LOCK: &str = "lock";

/// A mirror that goes when this is dropped. What a process that was killed has left goes with the next one.
#[derive(Debug)]
pub(crate) struct Apart {
    dir: PathBuf,
    mirror: Arc<Mirror>,
    _lock: File,
}

impl Apart {
    /// Makes a place of its own below `work_dir`.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn make(work_dir: &Path) -> Result<Self> {
        let looks = work_dir.join(LOOKS);
        sweep(&looks);
        let dir = looks.join(RandomIds.experiment().as_str());
        let lock = fs::create_dir_all(&dir)
            .and_then(|()| File::create(dir.join("lock.new")))
            .and_then(|lock| lock.lock().map(|()| lock))
            .and_then(|lock| fs::rename(dir.join("lock.new"), dir.join(LOCK)).map(|()| lock));
        let lock = lock.map_err(|e| Error::io("make", &dir, e))?;
        Ok(Self {
            mirror: Arc::new(Mirror::new(&dir)),
            dir,
            _lock: lock,
        })
    }

    pub(crate) const fn mirror(&self) -> &Arc<Mirror> {
        &self.mirror
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        remove(&self.dir);
        // Others may look on still.
        let _ = self.dir.parent().map(fs::remove_dir);
    }
}

/// Removes what nobody uses any more.
fn sweep(looks: &Path) {
    for entry in fs::read_dir(looks).into_iter().flatten().flatten() {
        let dir = entry.path();
        match File::open(dir.join(LOCK)).map(|lock| lock.try_lock()) {
            Ok(Ok(())) => remove(&dir),
            // One that is being made has no lock yet.
            Ok(Err(TryLockError::WouldBlock)) | Err(_) => {}
            Ok(Err(TryLockError::Error(error))) => tracing::debug!(dir = %dir.display(), %error, "not locked"),
        }
    }
}

fn remove(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(dir = %dir.display(), %error, "not removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_what_was_left_goes() {
        let work = tempfile::tempdir().expect("a directory");
        let used = Apart::make(work.path()).expect("room");
        let left = work.path().join(LOOKS).join("left");
        fs::create_dir(&left).expect("room");
        fs::write(left.join(LOCK), "").expect("room");
        let other = Apart::make(work.path()).expect("room");
        assert!(used.dir.exists() && other.dir.exists() && !left.exists());
        drop((used, other));
        assert!(!work.path().join(LOOKS).exists());
    }
}
