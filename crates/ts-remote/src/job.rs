//! `Job`: what we must know of a trial to start it, to find it again and to go on holding its GPUs; kept on our own disk.
//!
//! It is stored before the machine hears of the trial. What the trial itself leaves is the mirror's.

use serde::{Deserialize, Serialize};
use std::{fs, io, path::PathBuf};
use ts_core::{Error, ErrorKind, Result, TrialSpec, follow::write_whole, launch::TrialPaths};

/// Name of the file beside the mirrored files of a trial.
const FILE: &str = "job";

/// A trial's request and where it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) spec: TrialSpec,
    /// Digest of its code.
    pub(crate) package: String,
    /// Key of the machine that it was given to. Once set, no other machine may start it unless this one said that it did not.
    pub(crate) machine: Option<String>,
    /// GPUs of that machine that it holds.
    pub(crate) devices: Vec<u32>,
    /// `CUDA_VISIBLE_DEVICES`, if it is to be set.
    pub(crate) visible_devices: Option<String>,
    /// Whether the machine has confirmed the start.
    pub(crate) is_started: bool,
}

impl Job {
    /// A trial that no machine was given yet.
    pub(crate) fn new(spec: TrialSpec, package: String) -> Self {
        Self {
            spec,
            package,
            machine: None,
            devices: Vec::new(),
            visible_devices: None,
            is_started: false,
        }
    }

    pub(crate) fn save(&self, paths: &TrialPaths) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::new(ErrorKind::Internal, "cannot write a trial's request as JSON").with_source(e))?;
        write_whole(&file(paths), &text)
    }

    /// The stored request; `None` if there is none.
    pub(crate) fn load(paths: &TrialPaths) -> Result<Option<Self>> {
        let path = file(paths);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|e| Error::io("understand", &path, e.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }
}

fn file(paths: &TrialPaths) -> PathBuf {
    paths.exchange().join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ts_core::{CodeDirectory, ExperimentSpec, IdSource as _, Parameters, RandomIds};

    #[test]
    fn a_job_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let paths = TrialPaths::new(dir.path().join("t"));
        fs::create_dir_all(paths.exchange()).expect("a directory");
        assert_eq!(Job::load(&paths).expect("no error"), None);
        let experiment = ExperimentSpec::new(RandomIds.experiment(), CodeDirectory::new("/c"), "true");
        let spec = TrialSpec::new(&experiment, RandomIds.trial(), 3, Parameters::new("{\"a\": \"'\"}"));
        let mut job = Job::new(spec, "d".to_owned());
        job.devices = vec![1, 2];
        job.save(&paths).expect("room");
        assert_eq!(Job::load(&paths).expect("readable"), Some(job));
    }
}
