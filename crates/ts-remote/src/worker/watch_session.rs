//! One session of reports: its fifo on the machine, the script that serves it, and the requests that go into it.

use super::{Facts, requests::ending};
use crate::config::CancelSignal;
use std::time::Duration;
use ts_core::{LogKind, TrialId, launch::quote};

/// A session, as the control shell addresses it.
#[derive(Debug)]
pub(crate) struct WatchSession {
    fifo: String,
}

impl WatchSession {
    /// The `n`th session of the service with this name; it ends those before it.
    pub(crate) fn new(facts: &Facts, service: &str, n: u64) -> Self {
        Self {
            fifo: format!("{}/fifo.{service}.{n}", facts.run),
        }
    }

    /// Opens the session's fifo in the control shell, so that nothing written to it is lost before the script reads.
    pub(crate) fn open_snippet(&self) -> String {
        let fifo = quote(&self.fifo);
        format!("[ -p {fifo} ] || mkfifo {fifo} && exec 8<>{fifo}\n")
    }

    /// What the session's own `sh` is told to become.
    pub(crate) fn script(&self, facts: &Facts, signal: CancelSignal, grace: Duration) -> String {
        let (signal, tenths) = ending(signal, grace);
        let [script, root, run, fifo] =
            [&format!("{}/watch.sh", facts.run), &facts.root, &facts.run, &self.fifo].map(|text| quote(text));
        format!("exec sh {script} {root} {run} {fifo} {signal} {tenths}\n")
    }
}

/// Has a trial watched whose journal is here up to `offset`.
pub(crate) fn add(trial: &TrialId, offset: u64) -> String {
    format!("printf 'a %s %s\\n' {trial} {offset} >&8\n")
}

/// Has a log followed that is here up to `offset`.
pub(crate) fn follow_log(trial: &TrialId, log: LogKind, offset: u64) -> String {
    let kind = kind_name(log);
    format!("printf 'l %s {kind} {} %s\\n' {trial} {offset} >&8\n", log.file_name())
}

/// Name of a log in reports.
fn kind_name(log: LogKind) -> &'static str {
    match log {
        LogKind::Stdout => "stdout",
        LogKind::Stderr => "stderr",
        _ => "trial",
    }
}
