//! What a trial has left about its end.

use super::{AGAIN, ENDED, FAILURE, READY, STARTED};
use crate::{
    Ctx, LogKind, Timestamp,
    follow::{STDERR_TAIL, tail},
    launch::{TrialExit, TrialPaths, parse_state},
};
use std::{fs, path::Path, time::Duration};

/// How often an exit code is looked for that is not seen yet, and how many times.
const SETTLING: (Duration, u32) = (Duration::from_millis(250), 12);

/// Who has the right to begin a trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a right is free, taken or withdrawn; platforms look at each"
)]
pub enum Begin {
    /// No container has come to take it.
    #[default]
    Free,
    /// Nobody: the trial is not wanted any more.
    Withdrawn,
    /// A container.
    Taken,
}

/// What a trial has left.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "facts of an end; platforms and their tests take it apart"
)]
pub struct Traces {
    /// How its command ended.
    pub exit: Option<(TrialExit, Timestamp)>,
    /// The end of its standard error, unless it succeeded.
    pub tail: String,
    /// Who has the right to begin.
    pub begin: Begin,
    /// Whether the platform started it a second time.
    pub was_repeated: bool,
    /// Why its container could not begin it.
    pub failure: Option<String>,
    /// Whether its container ended it on our request.
    pub was_ended: bool,
}

/// Looks at what a trial has left. An exit that tells no time was when its file was written, or `now`.
pub fn traces(paths: &TrialPaths, now: Timestamp) -> Traces {
    let exchange = paths.exchange();
    // Reading the folder makes NFS ask its server what is in it.
    let names = fs::read_dir(&exchange)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    let was_taken = names.filter(|name| name.to_string_lossy().starts_with(STARTED)).count() > 0;
    let begin = match (was_taken, was_begun(paths)) {
        (true, _) => Begin::Taken,
        (false, true) => Begin::Withdrawn,
        (false, false) => Begin::Free,
    };
    let exit = exit(paths).map(|exit| (exit, exit.at.or_else(|| modified(&paths.state())).unwrap_or(now)));
    let tail = match exit {
        Some((TrialExit { code: 0, .. }, _)) => String::new(),
        _ => tail(&paths.log(LogKind::Stderr), STDERR_TAIL).unwrap_or_default(),
    };
    Traces {
        exit,
        tail,
        begin,
        was_repeated: exchange.join(AGAIN).exists(),
        failure: fs::read_to_string(exchange.join(FAILURE))
            .ok()
            .map(|text| text.trim().to_owned()),
        was_ended: exchange.join(ENDED).exists(),
    }
}

/// As [`traces`], with the time of the look. Where an exit code `is_awaited`, for the trial's container has ended by itself, it looks
/// again for 3 s: on NFS a file may be seen a little later than the news of its writer.
pub async fn settled_traces(ctx: &Ctx, paths: &TrialPaths, is_awaited: bool) -> (Traces, Timestamp) {
    let (pace, looks) = SETTLING;
    for n in 1.. {
        let now = ctx.clock.now();
        let own = paths.clone();
        // Storage may hang with its server.
        let left = ctx.tasks.blocking(move || traces(&own, now)).await;
        let is_told = left.exit.is_some() || left.was_repeated || left.failure.is_some();
        if is_told || !is_awaited || left.begin == Begin::Free || n >= looks {
            return (left, now);
        }
        ctx.clock.sleep(pace).await;
    }
    unreachable!("the loop returns after so many looks")
}

/// Whether a container has taken the right to begin, or nobody may any more.
pub fn was_begun(paths: &TrialPaths) -> bool {
    !paths.exchange().join(READY).exists()
}

/// How the command of a trial ended, if it has.
pub fn exit(paths: &TrialPaths) -> Option<TrialExit> {
    parse_state(&fs::read_to_string(paths.state()).ok()?)
}

fn modified(path: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp)
}
