//! Trials on storage that this machine and the platform's containers mount: `{root}/{trial}`, and beside the trials the packages of
//! code.
//!
//! A container takes the right to begin with a rename, so that a trial begins once, however often the platform starts its container;
//! `start.sh` is that container's side. What else lies in a trial's folder, and when it is read and written, is each platform's own.

mod folders;
mod hints;
mod request;
mod script;
mod traces;

pub use folders::{CODE, Folders};
pub use hints::Hints;
pub use request::{load_request, save_request};
pub use script::{output_dir, run_script};
pub use traces::{Begin, Traces, exit, settled_traces, traces, was_begun};

use crate::{Error, Result, launch::TrialPaths};
use std::{fs, path::Path};

/// In `.nni`: the right to begin, for who takes it away.
pub(crate) const READY: &str = "ready";
/// In `.nni`, before the name of the container that took the right.
pub(crate) const STARTED: &str = "started.";
/// In `.nni`: somebody came to begin a second time.
pub(crate) const AGAIN: &str = "again";
/// Files in `.nni`: the right that was taken back, and what `start.sh` leaves.
const WITHDRAWN: &str = "withdrawn";
const FAILURE: &str = "failure";
const ENDED: &str = "ended";

/// The script that a container runs to begin a trial; `settings` are lines of shell that set what it says it needs.
pub fn start_script(settings: &str) -> String {
    format!("#!/bin/sh\n{settings}\n{}", include_str!("mounted/start.sh"))
}

/// Makes the folder of a trial, or of an instance of it, and offers the right to begin.
///
/// # Errors
/// `Io`.
pub fn offer(dir: &Path) -> Result<()> {
    let exchange = dir.join(TrialPaths::EXCHANGE);
    fs::create_dir_all(&exchange).map_err(|e| Error::io("make", &exchange, e))?;
    let ready = exchange.join(READY);
    fs::write(&ready, "").map_err(|e| Error::io("write", &ready, e))
}

/// Takes the right to begin from a trial that is not wanted any more. Who has it already is asked to end.
pub fn withdraw(paths: &TrialPaths) {
    let exchange = paths.exchange();
    let _ = fs::rename(exchange.join(READY), exchange.join(WITHDRAWN));
}

#[cfg(test)]
#[path = "mounted/tests.rs"]
mod tests;
