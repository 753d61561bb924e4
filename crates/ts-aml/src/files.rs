//! What lies here: for each trial the stored request and our copy of what it has written, at the same offsets.
//!
//! Who copies when is `pull`'s business.

use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};
use ts_core::{
    Ctx, Error, ErrorKind, LogKind, Result, Timestamp, TrialId, TrialSpec,
    follow::{STDERR_TAIL, write_whole},
    launch::{TrialExit, TrialPaths, parse_state},
};

/// Files in `.nni`, beside those that every trial has.
const JOB: &str = "job";
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
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    root: PathBuf,
}

impl Folders {
    pub(crate) fn new(ctx: &Ctx) -> Self {
        Self {
            root: ctx.work_dir.join("trials"),
        }
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    pub(crate) fn paths(&self, trial: &TrialId) -> TrialPaths {
        TrialPaths::new(self.root.join(trial.as_str()))
    }
    /// Trials that have a folder.
    pub(crate) fn trials(&self) -> Result<Vec<TrialId>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("list", &self.root, e)),
        };
        let mut trials = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| Error::io("list", &self.root, e))?.file_name();
            trials.extend(name.to_str().and_then(|name| TrialId::new(name).ok()));
        }
        Ok(trials)
    }
}

/// Stores the request.
pub(crate) fn save(paths: &TrialPaths, job: &Job) -> Result<()> {
    let exchange = paths.exchange();
    fs::create_dir_all(&exchange).map_err(|e| Error::io("make", &exchange, e))?;
    let path = exchange.join(JOB);
    let text = serde_json::to_vec(job).map_err(|e| {
        let message = format!("cannot write `{}` as JSON", path.display());
        Error::new(ErrorKind::Internal, message).with_source(e)
    })?;
    write_whole(&path, &text)
}

/// The stored request; `None` if there is none.
pub(crate) fn load(paths: &TrialPaths) -> Result<Option<Job>> {
    let path = paths.exchange().join(JOB);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::io("understand", &path, e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", &path, e)),
    }
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
        _ => tail_of(&paths.log(LogKind::Stderr)).unwrap_or_default(),
    };
    let failure = fs::read_to_string(exchange.join(FAILURE)).ok();
    Traces {
        exit,
        tail,
        was_repeated: exchange.join(AGAIN).exists(),
        failure: failure.map(|text| text.trim().to_owned()),
    }
}

fn tail_of(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    if file.seek(SeekFrom::End(-i64::from(STDERR_TAIL))).is_err() {
        file.rewind()?; // shorter than that
    }
    let mut tail = Vec::new();
    file.take(u64::from(STDERR_TAIL)).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}
