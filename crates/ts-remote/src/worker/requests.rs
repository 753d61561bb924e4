//! The requests about trials as shell text for the control shell, and what its answers mean.
//!
//! The functions that they call are in `library.sh`.

use super::{Facts, Reply};
use crate::config::CancelSignal;
use std::{collections::HashMap, fmt::Write as _, time::Duration};
use ts_core::{CancelReason, Error, ErrorKind, ExperimentId, Parameters, Result, Retry, TrialId, launch::quote};

/// What `launch.sh` says where the code was removed from the machine.
pub(crate) const CODE_IS_GONE: &str = "the code is not there";

/// A trial that is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) id: TrialId,
    pub(crate) experiment: ExperimentId,
    pub(crate) parameters: Parameters,
    /// Text of its launch script.
    pub(crate) script: String,
    /// Digest of its code, which the machine has.
    pub(crate) package: Option<String>,
}

/// How a start went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    Now,
    /// By an earlier request.
    Before,
}

/// Starts trials and has them watched.
pub(crate) fn start_snippet(facts: &Facts, starts: &[Start]) -> String {
    let n_bytes = starts
        .iter()
        .map(|s| s.script.len() + s.parameters.text.len() + 512)
        .sum();
    let mut text = String::with_capacity(n_bytes);
    if starts.len() > 1 {
        // One process makes all folders; a start whose folder is missing makes it itself and says why it cannot.
        text.push_str("mkdir -p --");
        for start in starts {
            let _ = write!(text, " {}", quote(&format!("{}/.nni", facts.trial_dir(&start.id))));
        }
        text.push_str(" 2>/dev/null\n");
    }
    for start in starts {
        let package = start
            .package
            .as_deref()
            .map(|digest| facts.package_dir(digest))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "ts_p={}\nts_s={}\nts_start {} {} {} {}",
            quote(&start.parameters.text),
            quote(&start.script),
            quote(start.id.as_str()),
            quote(start.experiment.as_str()),
            quote(&package),
            quote(&start.parameters.file_name()),
        );
    }
    text
}

/// How each start went, in the machine's words where it did not.
///
/// # Errors
/// `Protocol`, perhaps applied, if a start has no answer.
pub(crate) fn parse_started(reply: &Reply, starts: &[Start]) -> Result<Vec<(TrialId, Result<Started>)>> {
    let text = reply.text();
    let mut answers: HashMap<&str, Result<Started>> = HashMap::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ' ');
        let (Some(answer), Some(id)) = (fields.next(), fields.next()) else {
            continue;
        };
        let started = match answer {
            "now" => Ok(Started::Now),
            "before" => Ok(Started::Before),
            "failed" => Err(not_started(fields.next().unwrap_or("no reason was given"))),
            _ => continue,
        };
        answers.insert(id, started);
    }
    let answer = |start: &Start| match answers.remove(start.id.as_str()) {
        Some(started) => Ok((start.id.clone(), started)),
        None => Err(Error::new(
            ErrorKind::Protocol,
            format!(
                "no answer to the start of trial `{}`; the machine says: {}",
                start.id,
                text.trim()
            ),
        )
        .with_retry(Retry::MaybeApplied { after: None })),
    };
    starts.iter().map(answer).collect()
}

fn not_started(said: &str) -> Error {
    let error = Error::new(ErrorKind::Io, format!("the trial could not be started: {said}"))
        .with_retry(Retry::NotApplied { after: None });
    if said.contains("No space left") {
        error.with_help("free space on the machine and the trial goes on")
    } else {
        error.with_help("look at owner and mode of the experiment's directory on the machine")
    }
}

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelAnswer {
    /// The tree is being ended; the end is reported.
    Taken,
    /// It had ended before.
    HadEnded,
    /// The machine knows no such trial.
    Absent,
}

/// Has the tree of a trial ended.
pub(crate) fn cancel_snippet(trial: &TrialId, why: CancelReason, signal: CancelSignal, grace: Duration) -> String {
    let (signal, tenths) = ending(signal, grace);
    format!(
        "ts_cancel {} {} {signal} {tenths}\n",
        quote(trial.as_str()),
        why.as_str()
    )
}

pub(crate) fn parse_canceled(reply: &Reply) -> Result<CancelAnswer> {
    let text = reply.text();
    let answers = text.lines().filter_map(|line| line.split_once(' '));
    let mut answer = answers.filter_map(|(answer, _)| match answer {
        "taken" => Some(CancelAnswer::Taken),
        "ended" => Some(CancelAnswer::HadEnded),
        "absent" => Some(CancelAnswer::Absent),
        _ => None,
    });
    answer.next_back().ok_or_else(|| {
        Error::new(
            ErrorKind::Protocol,
            format!("no answer to a request to cancel; the machine says: {}", text.trim()),
        )
        .with_retry(Retry::MaybeApplied { after: None })
    })
}

/// Names of signals as `kill` takes them, and the grace period in tenths of seconds.
pub(crate) fn ending(signal: CancelSignal, grace: Duration) -> (&'static str, u128) {
    let signal = match signal {
        CancelSignal::Terminate => "TERM",
        CancelSignal::Interrupt => "INT",
    };
    (signal, grace.as_millis().div_ceil(100))
}

/// Ends what ended trials have left behind; answers when it is gone.
pub(crate) fn settle_snippet(signal: CancelSignal, grace: Duration) -> String {
    let (signal, tenths) = ending(signal, grace);
    format!("ts_settle {signal} {tenths}\n")
}

/// A trial that a machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: TrialId,
    pub(crate) is_alive: bool,
}

/// Lists the trials that were started on this machine.
pub(crate) fn list_snippet() -> String {
    "ts_list\n".to_owned()
}

pub(crate) fn parse_list(reply: &Reply) -> Vec<Found> {
    let text = reply.text();
    let found = text.lines().filter_map(|line| {
        let (id, state) = line.split_once(' ')?;
        Some(Found {
            id: TrialId::new(id).ok()?,
            is_alive: state == "alive",
        })
    });
    found.collect()
}

/// Gives a trial its next parameters: all of the file or none of it.
pub(crate) fn send_parameters_snippet(facts: &Facts, trial: &TrialId, next: &Parameters) -> String {
    let file = quote(&format!("{}/{}", facts.trial_dir(trial), next.file_name()));
    let text = quote(&next.text);
    format!("printf '%s' {text} >{file}.new && mv -f -- {file}.new {file}\n")
}

/// Removes the directories of trials that have ended.
pub(crate) fn remove_snippet(facts: &Facts, trials: &[TrialId]) -> String {
    let mut text = "ts_remove".to_owned();
    for trial in trials {
        let _ = write!(text, " {}", quote(&facts.trial_dir(trial)));
    }
    text.push('\n');
    text
}

/// Removes all that the experiment has on the machine.
pub(crate) fn remove_all_snippet(facts: &Facts) -> String {
    let [root, run] = [&facts.root, &facts.run].map(|path| quote(path));
    let parent = facts.run.rsplit_once('/').map_or("/", |(parent, _)| parent);
    // Other machines may share the folder: it goes with the last of them. The fifos are those of sessions that still watch.
    format!(
        "ts_await_login; ts_forget_code; ts_remove {root}/trials {root}/code && ts_remove {run} && {{ rmdir -- {root} {} 2>/dev/null
         [ -n \"$ts_dir\" ] || rmdir -- \"$ts_base\" 2>/dev/null; true; }}\n",
        quote(parent)
    )
}
