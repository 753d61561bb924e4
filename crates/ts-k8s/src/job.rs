//! `Job`: what we must know of a trial to create its object and to find it again; kept on our own disk.
//!
//! It is stored before the cluster hears of the trial. What the trial says is the mirror's.

use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};
use ts_core::{
    Error, ErrorKind, Reason, Result, Timestamp, TrialSpec, TrialStatus,
    follow::{End, write_whole},
    launch::TrialPaths,
};

/// Names of the files beside the mirrored ones of a trial.
const JOB: &str = "job";
const END: &str = "end";

/// A trial's request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) spec: TrialSpec,
    /// Digest of its code.
    pub(crate) digest: String,
    /// Whether its object was created.
    pub(crate) is_created: bool,
}

impl Job {
    pub(crate) fn save(&self, paths: &TrialPaths) -> Result<()> {
        save(&paths.exchange().join(JOB), self)
    }

    /// The stored request; `None` if there is none.
    pub(crate) fn load(paths: &TrialPaths) -> Result<Option<Self>> {
        load(&paths.exchange().join(JOB))
    }
}

#[derive(Serialize, Deserialize)]
struct StoredEnd {
    status: TrialStatus,
    at: Timestamp,
    why: Option<Reason>,
}

/// Stores the end of a trial, so that it is known when its object is gone.
pub(crate) fn save_end(paths: &TrialPaths, end: &End) -> Result<()> {
    let stored = StoredEnd {
        status: end.status,
        at: end.at,
        why: end.why.clone(),
    };
    save(&paths.exchange().join(END), &stored)
}

/// The stored end of a trial; `None` if there is none.
pub(crate) fn load_end(paths: &TrialPaths) -> Result<Option<End>> {
    let stored: Option<StoredEnd> = load(&paths.exchange().join(END))?;
    Ok(stored.map(|end| End {
        status: end.status,
        at: end.at,
        why: end.why,
    }))
}

fn save(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(|e| {
        Error::new(
            ErrorKind::Internal,
            format!("cannot write `{}` as JSON", path.display()),
        )
        .with_source(e)
    })?;
    write_whole(path, &text)
}

fn load<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::io("understand", path, e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, e)),
    }
}
