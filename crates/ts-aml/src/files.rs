//! What lies here: for each trial the stored request and our copy of what it has written, at the same offsets.
//!
//! Who copies when is `pull`'s business.

use serde::{Deserialize, Serialize};
use std::{fs, io, os::unix::fs::FileExt as _, path::Path};
use ts_core::{
    Ctx, Error, LogKind, Result, Timestamp, TrialId, TrialSpec,
    follow::{
        STDERR_TAIL, TrialDirs,
        mounted::{load_request, save_request},
        tail,
    },
    launch::{TrialExit, TrialPaths, parse_state},
};

/// Files in `.nni`, beside those that every trial has.
pub(crate) const AGAIN: &str = "again";
pub(crate) const FAILURE: &str = "failure";

/// A trial's request, stored before the service hears of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) spec: TrialSpec,
    /// Version of the code.
    pub(crate) code: String,
    /// Whether the service took it.
    pub(crate) is_created: bool,
}

/// The trials' folders on this machine.
pub(crate) fn folders(ctx: &Ctx) -> TrialDirs {
    TrialDirs::new(ctx.work_dir.join("trials"))
}

/// Stores the request in the trial's folder, which is made.
pub(crate) fn save(folders: &TrialDirs, job: &Job) -> Result<()> {
    let trial = &job.spec.id;
    folders.claim(trial)?;
    save_request(&folders.paths(trial), job)
}

/// The stored request; `None` if there is none.
pub(crate) fn load(folders: &TrialDirs, trial: &TrialId) -> Result<Option<Job>> {
    load_request(&folders.paths(trial))
}

/// How many bytes of a file are here.
pub(crate) fn length(path: &Path) -> Result<u64> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(Error::io("look at", path, e)),
    }
}

/// Adds bytes at their offset, so that what is written twice is there once.
pub(crate) fn add(path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
    let wrong = |e| Error::io("write", path, e);
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(wrong)?;
    file.write_all_at(bytes, offset).map_err(wrong)
}

/// What a trial has left about its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Traces {
    /// How its command ended.
    pub(crate) exit: Option<(TrialExit, Timestamp)>,
    /// The end of its standard error, unless it succeeded.
    pub(crate) tail: String,
    /// Whether the platform started it a second time.
    pub(crate) was_repeated: bool,
    /// Why its container could not begin it.
    pub(crate) failure: Option<String>,
}

impl Traces {
    /// A time at which it had begun, if there is any trace of that.
    pub(crate) fn begun_at(&self, now: Timestamp) -> Option<Timestamp> {
        let has_begun = self.was_repeated || self.failure.is_some();
        self.exit.map(|(_, at)| at).or(has_begun.then_some(now))
    }
}

/// Looks at what a trial has left here.
pub(crate) fn traces(paths: &TrialPaths, now: Timestamp) -> Traces {
    let exchange = paths.exchange();
    let exit = fs::read_to_string(paths.state())
        .ok()
        .and_then(|text| parse_state(&text));
    let exit = exit.map(|exit| (exit, exit.at.unwrap_or(now)));
    let tail = match exit {
        Some((TrialExit { code: 0, .. }, _)) => String::new(),
        _ => tail(&paths.log(LogKind::Stderr), STDERR_TAIL).unwrap_or_default(),
    };
    let failure = fs::read_to_string(exchange.join(FAILURE)).ok();
    Traces {
        exit,
        tail,
        was_repeated: exchange.join(AGAIN).exists(),
        failure: failure.map(|text| text.trim().to_owned()),
    }
}
