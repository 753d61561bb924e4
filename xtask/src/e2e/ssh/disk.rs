//! Small file systems of their own: for a disk that is full, or one that machines share.

use crate::shell;
use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory that everybody can write to; unmounted when it is dropped.
#[derive(Debug)]
pub(super) struct Disk(PathBuf);

impl Disk {
    /// Makes and mounts it; `size` as `mount` takes it, such as `2m`.
    pub(super) fn new(path: PathBuf, size: &str) -> Result<Self> {
        fs::create_dir(&path)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=777"), "tmpfs"]);
        shell::output(mount.arg(&path))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = shell::output(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}
