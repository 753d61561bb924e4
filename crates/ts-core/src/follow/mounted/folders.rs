//! The folders of an experiment as this machine sees them.

use crate::{Result, TrialId, follow::TrialDirs, launch::TrialPaths};
use std::path::{Path, PathBuf};

/// Folder of the packages of code.
pub const CODE: &str = "code";

/// The trials' folders, and beside them those that no trial may be called like.
#[derive(Debug, Clone)]
pub struct Folders {
    dirs: TrialDirs,
    reserved: &'static [&'static str],
}

impl Folders {
    /// Those below `root`, which need not exist. `reserved`: names beside [`CODE`] that are no trial's.
    pub fn new(root: impl Into<PathBuf>, reserved: &'static [&'static str]) -> Self {
        Self {
            dirs: TrialDirs::new(root),
            reserved,
        }
    }
    /// Where they all are.
    pub fn root(&self) -> &Path {
        self.dirs.dir()
    }
    /// Where the packages of code are.
    pub fn code(&self) -> PathBuf {
        self.root().join(CODE)
    }
    /// The files of `trial`, whether they exist or not.
    pub fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.dirs.paths(trial)
    }
    /// Whether a trial cannot be called so.
    pub fn is_reserved(&self, name: &str) -> bool {
        name == CODE || self.reserved.contains(&name)
    }
    /// Trials that have a folder, in no order.
    ///
    /// # Errors
    /// `Io`.
    pub fn trials(&self) -> Result<Vec<TrialId>> {
        let found = self.dirs.trials()?.into_iter();
        Ok(found.filter(|trial| !self.is_reserved(trial.as_str())).collect())
    }
}
