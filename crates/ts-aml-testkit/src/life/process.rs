//! Processes of jobs: starting a command, and ending all that came from it.
//!
//! What a container does on the real platform is done by a mark in the environment and by the session: an end reaches every process
//! that has one of them. Only one that has thrown off both, with `env -i setsid`, escapes.

use crate::clock;
use jiff::SignedDuration;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    thread,
};
use tokio::process::{Child, Command};

/// The variable that marks the processes of a job.
const MARK: &str = "TS_AML_JOB";

/// How long killing may take.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// Starts a command by `bash`, in a session of its own; both its outputs go to one file.
///
/// Source: run definition of a command job: the service runs it by `/bin/bash -c`.
pub(crate) fn start(
    command: &str,
    environment: &[(String, String)],
    directory: &Path,
    log: &Path,
    mark: &str,
) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    Command::new("setsid")
        .args(["/bin/bash", "-c", command])
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env(MARK, mark)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// The exit code: 128 and the signal for a process that one has ended.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Kills all processes whose mark begins so, and looks again until there are none: one may be making another at this moment.
pub(crate) fn kill_all(mark: &str) {
    kill_job(mark, None);
}

/// Kills all processes of a job: those with its mark, and those of its first process' session.
pub(crate) fn kill_job(mark: &str, session: Option<u32>) {
    let begun = clock::now();
    let mut quiet = 0;
    while quiet < 2 && clock::now().duration_since(begun) < PATIENCE {
        let found = processes(mark, session);
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        for pid in found {
            if let Ok(pid) = i32::try_from(pid) {
                // One that is gone is no error.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        thread::yield_now();
    }
}

/// All processes of a job that live.
fn processes(mark: &str, session: Option<u32>) -> Vec<u32> {
    let mark = format!("{MARK}={mark}").into_bytes();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let Some(own) = live_session(*pid) else { return false };
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        session == Some(own) || environment.split(|byte| *byte == 0).any(|one| one.starts_with(&mark))
    })
    .collect()
}

/// The session of a process that has not ended. Source: `proc(5)`, fields 3 and 6 of `stat`.
fn live_session(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(2)?.parse().ok())?
}
