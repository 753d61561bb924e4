//! Where the code of a trial is: the user's own directory, or with `isolate` the trial's clone of one snapshot of it.
//!
//! Scanning, limits and cloning are `ts-codedir`'s.

use crate::LocalConfig;
use std::path::{Path, PathBuf};
use ts_codedir::{CloneMode, clone_package, clone_tree};
use ts_core::{CodeDirectory, Error, ErrorKind, Prepared, Result, launch::TrialPaths};

/// Folder of the snapshots in the experiment's directory, and of the clone in a trial's.
pub(crate) const CODE: &str = "code";

/// Delivers nothing without `isolate`: trials run where the code is. With it, what of the directory travels is cloned once
/// to a folder named by its digest, so that a change of the directory reaches no trial of this experiment.
pub(crate) fn prepare(config: &LocalConfig, work_dir: &Path, code: &CodeDirectory) -> Result<Prepared> {
    exists(&code.path)?;
    if !config.isolate {
        return Ok(Prepared::new(None, code.path.display().to_string()));
    }
    let package = ts_codedir::scan(code)?;
    let digest = ts_codedir::digest(&package)?.to_string();
    let snapshots = work_dir.join(CODE);
    std::fs::create_dir_all(&snapshots).map_err(|e| Error::io("make", &snapshots, e))?;
    let snapshot = snapshots.join(digest.replace(':', "-"));
    if !snapshot.is_dir() {
        clone_package(&package, &snapshot, CloneMode::Auto)?;
    }
    Ok(Prepared::new(Some(digest), snapshot.display().to_string()))
}

/// Where the command of a trial runs. Pure.
pub(crate) fn working_dir(config: &LocalConfig, code: &Prepared, paths: &TrialPaths) -> PathBuf {
    if config.isolate {
        paths.dir().join(CODE)
    } else {
        PathBuf::from(&code.location)
    }
}

/// Makes sure that the working directory of a trial is there.
pub(crate) fn deliver(config: &LocalConfig, code: &Prepared, paths: &TrialPaths) -> Result<()> {
    let origin = Path::new(&code.location);
    exists(origin)?;
    let clone = paths.dir().join(CODE);
    // A clone appears when it is complete, so one that is there is a whole one.
    if config.isolate && !clone.is_dir() {
        clone_tree(origin, &clone, CloneMode::Auto)?;
    }
    Ok(())
}

pub(crate) fn exists(path: &Path) -> Result<()> {
    let shown = path.display();
    let error = match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return Ok(()),
        Ok(_) => Error::new(ErrorKind::CodeDir, format!("code directory `{shown}` is no directory")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Error::new(ErrorKind::CodeDir, format!("code directory `{shown}` does not exist")).with_source(e)
        }
        Err(e) => Error::io("look at the code directory", path, e),
    };
    Err(error
        .with_key("trialCodeDirectory")
        .with_help("name an existing directory; relative paths count from the configuration file"))
}
