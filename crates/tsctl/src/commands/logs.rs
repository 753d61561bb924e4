//! `logs`: what a trial wrote, from its files where this machine has them, else through its platform.

use crate::{
    cli::{Experiment, Logs},
    environment::Environment,
    exit::Exit,
    follow::INTERVAL,
    load::{Assembly, Failure, Loaded},
    locate::{self, FoundTrial},
    output::Output,
    session,
};
use futures_util::StreamExt;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};
use tokio::runtime::Runtime;
use ts_core::{
    Clock, Error, ErrorKind, Event, LogKind, Reason, ReasonCode, Result, SystemClock, TrialStatus, WatchRequest,
};
use ts_manager::view;

/// How long the platform may take to find a trial; it may have to log in first.
const LONGEST_SEARCH: std::time::Duration = std::time::Duration::from_mins(1);
/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;

/// Prints a log of a trial, byte for byte.
pub(crate) fn logs(environment: &Environment, output: &Output, args: &Logs) -> Result<Exit, Failure> {
    let found = locate::trial(environment, output, args.of.experiment.as_deref(), &args.of.trial)?;
    let kind = match (args.stderr, args.trial_log) {
        (true, _) => LogKind::Stderr,
        (_, true) => LogKind::Trial,
        _ => LogKind::Stdout,
    };
    match view::directory(found.row.url.as_deref()) {
        Some(directory) => from_file(output, &found, &directory.join(kind.file_name()), args.follow)?,
        None => from_platform(output, &found, kind, args.follow)?,
    }
    Ok(Exit::Success)
}

fn from_file(output: &Output, found: &FoundTrial, path: &Path, follow: bool) -> Result<()> {
    let clock = SystemClock::new();
    let runtime = session::runtime()?;
    let mut offset = 0;
    loop {
        // Asked before the file is read, so that the last lines are not missed.
        let row = found.reader.trial(&found.row.spec.id)?;
        let has_ended = row.is_none_or(|row| row.status.is_terminal());
        offset = copy(output, path, offset)?;
        if has_ended || !follow || output.is_closed() {
            return Ok(());
        }
        runtime.block_on(clock.sleep(INTERVAL));
    }
}

/// Writes what is behind `offset`, and gives the new offset. A file that does not exist yet is empty.
fn copy(output: &Output, path: &Path, offset: u64) -> Result<u64> {
    let failed = |e| Error::io("read", path, e);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(offset),
        Err(e) => return Err(failed(e)),
    };
    let mut at = file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut piece = vec![0; PIECE];
    loop {
        let n = file.read(&mut piece).map_err(failed)?;
        if n == 0 || output.is_closed() {
            return Ok(at);
        }
        output.raw(&piece[..n])?;
        at += n as u64;
    }
}

/// Asks the platform, which sends what it has; ends with the trial, or without `follow` when nothing more comes for now.
fn from_platform(output: &Output, found: &FoundTrial, kind: LogKind, follow: bool) -> Result<(), Failure> {
    let mut loaded = Loaded::of_past(&found.experiment)?;
    let assembly = Assembly::build(&mut loaded, &found.experiment.id, &found.place.directory)?;
    assembly.service.capabilities().logs.require()?;
    let id = found.row.spec.id.clone();
    let runtime = session::runtime()?;
    if !has_begun(output, found, &runtime, follow)? {
        return Ok(());
    }
    let request = WatchRequest::new()
        .resuming(id.clone(), found.row.cursor)
        .with_log(id.clone(), kind);
    let clock = SystemClock::new();
    runtime.block_on(async {
        let mut events = assembly.service.watch(request);
        // Whether the platform has found the trial; until then there is nothing to wait for but it.
        let mut is_found = false;
        loop {
            let patience = if is_found { INTERVAL * 5 } else { LONGEST_SEARCH };
            let event = tokio::select! {
                event = events.next() => event,
                () = clock.sleep(patience), if !follow || !is_found => None,
            };
            match event {
                Some(Ok(Event::Log { bytes, gap, .. })) => {
                    is_found = true;
                    if gap {
                        output.say("… a part of the log is missing here");
                    }
                    output.raw(&bytes)?;
                }
                Some(Ok(Event::Status { trial, status, why, .. })) if trial == id => match why {
                    _ if status.is_terminal() => return Ok(()),
                    _ if status == TrialStatus::Running => is_found = true,
                    Some(why) if why.code == ReasonCode::Starting => {}
                    Some(why) if follow => output.say(&why.message),
                    Some(why) => return Err(out_of_reach(&why)),
                    None => {}
                },
                Some(Err(error)) if !error.is_retryable() => return Err(error),
                Some(_) => {}
                None if is_found => return Ok(()),
                None => {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        format!("the platform knows nothing of the log of trial `{id}`"),
                    )
                    .with_help("`tsctl explain` says what became of the trial; `tsctl doctor` looks at the platform"));
                }
            }
            if output.is_closed() {
                return Ok(());
            }
        }
    })?;
    Ok(())
}

/// Whether the trial has begun, by the store; waits for it with `follow`.
fn has_begun(output: &Output, found: &FoundTrial, runtime: &Runtime, follow: bool) -> Result<bool> {
    let clock = SystemClock::new();
    let mut row = found.row.clone();
    let mut is_told = false;
    while row.status == TrialStatus::Waiting {
        if !std::mem::replace(&mut is_told, true) {
            output.say("the trial has not begun");
        }
        if !follow || output.is_closed() {
            return Ok(false);
        }
        runtime.block_on(clock.sleep(INTERVAL));
        row = match found.reader.trial(&row.spec.id)? {
            Some(row) => row,
            None => return Ok(false),
        };
    }
    Ok(true)
}

fn out_of_reach(why: &Reason) -> Error {
    let error = Error::new(ErrorKind::Unreachable, why.message.clone());
    why.unblock.iter().cloned().fold(error, Error::with_help)
}

/// Prints the log of the experiment's manager.
pub(crate) fn manager_log(environment: &Environment, output: &Output, of: &Experiment) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, of.experiment.as_deref())?;
    let path = place.directory.log().join("manager.log");
    if !path.exists() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("experiment {} has no log: its manager never ran apart", place.id),
        )
        .with_help("a manager of `run --detach` writes one; others write to their terminal")
        .into());
    }
    copy(output, &path, 0)?;
    Ok(Exit::Success)
}
