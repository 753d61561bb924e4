//! Reads the log of one pod into the mirror until all of it is here: over cut streams, rotated logs and restarts of the server.
//!
//! When a pod has a log, and what its end means, is the observer's business.

use super::{Batch, Exit, Mirror, Parser, Position, Said, Source};
use crate::{core::Core, error, object::WORK_DIR, rest};
use futures_util::AsyncBufReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use ts_core::{Error, ErrorKind, Result, RetryPolicy, TrialId};

/// Wait before a stream that ended while its pod runs is opened again.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a stream may be silent once its container has ended, which ends it on the node. After that something on the way has
/// dropped the connection without a word.
const SILENCE: Duration = Duration::from_secs(20);

/// What a pod is at present, as far as its log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its container runs.
    Running,
    /// Its container has ended.
    Ended,
    /// It is gone.
    Gone,
    /// Nobody waits for its log any longer.
    GivenUp,
}

/// Whose log to read.
#[derive(Debug)]
pub(crate) struct PodLog {
    pub(crate) trial: TrialId,
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) source: Source,
    /// Where it is kept.
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) token: String,
    /// Put in front of each line of output.
    pub(crate) prefix: Option<String>,
    /// Whether the trial has other pods.
    pub(crate) has_others: bool,
    pub(crate) phase: watch::Receiver<Phase>,
}

/// How far reading came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// To the record of the end; nothing is missing.
    Ended(Exit),
    /// To the record of the end; the journal is here only up to lines that the node has thrown away. The storage has them.
    Holed(Exit),
    /// To the log's end; the container was ended before it could say all.
    All,
    /// Until the log was gone; what came last is missing.
    Cut,
}

/// Reads until there is nothing more to read.
pub(crate) async fn follow(core: &Core, log: &PodLog) -> Spoken {
    let policy = RetryPolicy::new();
    let mut phases = log.phase.clone();
    let (mut failures, mut is_holed) = (0, false);
    let mut reached = None;
    loop {
        let phase = *phases.borrow_and_update();
        if phase == Phase::GivenUp {
            return Spoken::Cut;
        }
        let wait = match read(core, log, phase == Phase::Running, &mut is_holed).await {
            Ok(Some(exit)) if is_holed => return Spoken::Holed(exit),
            Ok(Some(exit)) => return Spoken::Ended(exit),
            Ok(None) if phase != Phase::Running => return Spoken::All,
            Ok(None) => {
                failures = 0;
                PAUSE
            }
            Err(error) if error.kind() == ErrorKind::NotFound && phase != Phase::Running => return Spoken::Cut,
            Err(error) if phase == Phase::Gone && !error.is_retryable() => return Spoken::Cut,
            Err(error) => {
                // A stream that was cut after it brought something is no failure like one that cannot be opened.
                let here = log.mirror.position(&log.trial, &log.source).ok();
                failures = if here == reached { failures + 1 } else { 1 };
                reached = here;
                tracing::debug!(trial = %log.trial, pod = log.pod, %error, "the log cannot be read now");
                policy.wait(failures, 0.0)
            }
        };
        tokio::select! {
            changed = phases.changed() => if changed.is_err() { return Spoken::Cut },
            () = core.ctx.clock.sleep(wait) => {}
        }
    }
}

/// Reads one stream to its end; gives the record of the end if it was there.
async fn read(core: &Core, log: &PodLog, is_live: bool, is_holed: &mut bool) -> Result<Option<Exit>> {
    let ready = core.ready().await;
    let mut cuts = core.cuts();
    let mut phases = log.phase.clone();
    let pods: Api<Pod> = Api::namespaced(ready.cluster.streams.clone(), &ready.cluster.namespace);
    let mut reader = Reader::new(core, log, is_holed)?;
    let parameters = LogParams {
        container: Some(log.container.clone()),
        follow: is_live,
        timestamps: true,
        since_time: whole_second(&reader.position.mark.time).parse().ok(),
        ..LogParams::default()
    };
    let opened = tokio::select! {
        opened = pods.log_stream(&log.pod, &parameters) => opened,
        _ = cuts.changed() => return Err(cut_off()),
        () = given_up(&mut phases) => return Err(cut_off()),
    };
    let stream = opened.map_err(|e| error::of_api(&format!("read the log of pod `{}`", log.pod), e))?;
    let mut stream = std::pin::pin!(stream);
    let mut ends = log.phase.clone();
    loop {
        let chunk = tokio::select! {
            chunk = stream.fill_buf() => chunk,
            _ = cuts.changed() => return Err(cut_off()),
            () = given_up(&mut phases) => return Err(cut_off()),
            () = silence(core, &mut ends) => return Err(cut_off()),
        };
        let chunk = chunk.map_err(|e| cut_off().with_source(e))?;
        let n_bytes = chunk.len();
        if n_bytes == 0 {
            return Ok(None);
        }
        let exit = reader.take(chunk).await?;
        stream.consume_unpin(n_bytes);
        if exit.is_some() {
            return Ok(exit);
        }
    }
}

/// Until nobody waits for the log any longer.
async fn given_up(phases: &mut watch::Receiver<Phase>) {
    // Nor does anybody without a sender.
    let _ = phases.wait_for(|phase| *phase == Phase::GivenUp).await;
}

/// Until the container has ended, and long enough for the stream to end, too.
async fn silence(core: &Core, phases: &mut watch::Receiver<Phase>) {
    // Nor does anybody without a sender.
    let _ = phases.wait_for(|phase| *phase != Phase::Running).await;
    core.ctx.clock.sleep(SILENCE).await;
}

/// The second that a time is in. The API counts in whole seconds, and kube would round half of them up, past lines not read yet.
///
/// Source: kube-core 5.0, `src/subresource.rs`, `Request::logs`.
fn whole_second(time: &str) -> String {
    let Some((second, rest)) = time.split_once('.') else {
        return time.to_owned();
    };
    format!("{second}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn cut_off() -> Error {
    Error::new(ErrorKind::Unreachable, "the stream of a log was cut off")
        .with_retry(ts_core::Retry::NotApplied { after: None })
}

struct Reader<'a> {
    core: &'a Core,
    log: &'a PodLog,
    parser: Parser,
    position: Position,
    /// Whether lines of the journal are missing; then it is not gone on with.
    is_holed: &'a mut bool,
    /// Whether standard output and standard error are at the beginning of a line.
    fresh: [bool; 2],
}

impl<'a> Reader<'a> {
    fn new(core: &'a Core, log: &'a PodLog, is_holed: &'a mut bool) -> Result<Self> {
        let position = log.mirror.position(&log.trial, &log.source)?;
        Ok(Self {
            core,
            log,
            parser: Parser::resumed(&log.token, position.mark.clone()),
            fresh: position.mark.open.map(|is_open| !is_open),
            position,
            is_holed,
        })
    }

    async fn take(&mut self, chunk: &[u8]) -> Result<Option<Exit>> {
        let mut said = Vec::new();
        self.parser.push(chunk, &mut said);
        let mut batch = Batch::default();
        let mut end = None;
        let from = self.log.mirror.position(&self.log.trial, &self.log.source)?.n;
        self.position.n = from;
        for item in said {
            match item {
                Said::Stdout(bytes) => print(
                    &mut batch.stdout,
                    &bytes,
                    self.log.prefix.as_deref(),
                    &mut self.fresh[0],
                ),
                Said::Stderr(bytes) => print(
                    &mut batch.stderr,
                    &bytes,
                    self.log.prefix.as_deref(),
                    &mut self.fresh[1],
                ),
                Said::Began(n) => drop(self.reaches(n, &mut batch.journal).await?),
                Said::Line { n, text } => self.line(n, &text, &mut batch.journal).await?,
                Said::Rest(bytes) => {
                    batch.journal.extend_from_slice(&bytes);
                    if self.log.has_others {
                        batch.journal.push(b'\n'); // the lines of other pods follow
                    }
                }
                Said::Ended(exit) => end = Some(exit),
            }
        }
        self.position.mark = self.parser.position();
        let (trial, source) = (&self.log.trial, &self.log.source);
        self.log
            .mirror
            .add(trial, source, &batch, from, self.position.clone())?;
        self.core.registry.tell(&self.log.trial);
        Ok(end)
    }

    async fn line(&mut self, n: u64, text: &[u8], journal: &mut Vec<u8>) -> Result<()> {
        if n <= self.position.n || !self.reaches(n - 1, journal).await? {
            return Ok(());
        }
        journal.extend_from_slice(text);
        journal.push(b'\n');
        self.position.n = n;
        Ok(())
    }

    /// Whether the journal is here up to line `last`, or lost for good. What no log told, because it was rotated or went with an
    /// earlier pod, is still in the container.
    async fn reaches(&mut self, last: u64, journal: &mut Vec<u8>) -> Result<bool> {
        if *self.is_holed || last <= self.position.n {
            return Ok(!*self.is_holed);
        }
        let first = self.position.n + 1;
        let (trial, pod) = (&self.log.trial, &self.log.pod);
        match missing(self.core, self.log, first, last).await {
            Ok(lines) => journal.extend_from_slice(&lines),
            // All of this is read again.
            Err(error) if error.is_retryable() && *self.log.phase.borrow() == Phase::Running => return Err(error),
            Err(error) if self.core.config.storage.is_some() => {
                tracing::debug!(%trial, pod, %error, "lines {first} to {last} of the journal are read from the storage");
                *self.is_holed = true;
                return Ok(false);
            }
            Err(error) => tracing::warn!(
                %trial, pod, %error,
                "lines {first} to {last} of the journal are lost: the node has thrown away the log they were in"
            ),
        }
        self.position.n = last;
        Ok(true)
    }
}

/// Lines of the journal, read in the container.
async fn missing(core: &Core, log: &PodLog, first: u64, last: u64) -> Result<Vec<u8>> {
    let ready = core.ready().await;
    let dir = format!("{WORK_DIR}/trial/.nni");
    let piece = rest::journal(core, &ready.cluster, (&log.pod, &log.container), &dir, first, last).await?;
    Ok(piece.map(|piece| piece.lines).unwrap_or_default())
}

/// Appends output of a pod, with `prefix` before each line; `fresh` says whether a line begins.
pub(crate) fn print(out: &mut Vec<u8>, bytes: &[u8], prefix: Option<&str>, fresh: &mut bool) {
    let Some(prefix) = prefix else {
        out.extend_from_slice(bytes);
        return;
    };
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if *fresh {
            out.extend_from_slice(prefix.as_bytes());
        }
        out.extend_from_slice(line);
        *fresh = line.ends_with(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_asked_for_from_the_second_on_that_was_read_last() {
        for (time, second) in [
            ("2026-11-25T07:08:40.619981288Z", "2026-11-25T07:08:40Z"),
            ("2026-11-25T07:08:40.999+08:00", "2026-11-25T07:08:40+08:00"),
            ("2026-11-25T07:08:40Z", "2026-11-25T07:08:40Z"),
            ("", ""),
        ] {
            assert_eq!(whole_second(time), second);
        }
    }
}
