//! The control shell: short requests as shell text, their output as replies, many on their way at once.
//!
//! The command on the wire is plain `sh`, which every login shell can run; what a login shell prints before it is skipped.
//! Slow work is not done here but detached, because requests are carried out one after another.

use crate::ssh::{Output, OutputReader, Process, Stdin};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use ts_core::{Clock, Error, ErrorKind, IdSource as _, RandomIds, Result, Retry, TaskScope};

/// How long a machine may take until its shell answers.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Bytes of what a machine says before its shell answers that are kept for messages.
const NOISE: usize = 4096;

/// A shell on a machine. The last handle dropped ends it.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    requests: mpsc::Sender<Request>,
    marker: Arc<str>,
}

/// What a request printed, and its exit status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: i32,
    pub(crate) output: Vec<u8>,
}

#[derive(Debug)]
struct Request {
    text: Bytes,
    reply: oneshot::Sender<Result<Reply>>,
}

type Pending = Mutex<VecDeque<oneshot::Sender<Result<Reply>>>>;

impl Shell {
    /// Begins to speak with the `sh` behind `process`.
    ///
    /// # Errors
    /// `Unsupported` if what answers is no POSIX shell; `TimedOut` and `Unreachable` are retryable.
    pub(crate) async fn start(mut process: Process, tasks: &TaskScope, clock: &dyn Clock) -> Result<Self> {
        let marker: Arc<str> = format!("ts-{}{}", RandomIds.experiment(), RandomIds.experiment()).into();
        let hello = format!("printf '\\n%s 0\\n' {marker}\n");
        if process.stdin.write(hello.into()).await.is_err() {
            return Err(no_shell(&[]));
        }
        let rest = tokio::select! {
            rest = skip_noise(&mut process, &marker) => rest?,
            () = clock.sleep(START_LIMIT) => {
                return Err(Error::new(ErrorKind::TimedOut, format!("its shell did not answer within {} s", START_LIMIT.as_secs()))
                    .with_help("run `ssh HOST sh` by hand; a profile that waits for input would explain it")
                    .with_retry(Retry::NotApplied { after: None }));
            }
        };
        let (requests, receiver) = mpsc::channel(64);
        let pending = Arc::new(Pending::default());
        let Process { stdin, output } = process;
        let (writer, reader) = (Arc::clone(&pending), Arc::clone(&marker));
        tasks.spawn(async move {
            tokio::select! {
                () = write(stdin, receiver, &writer) => {}
                () = read(output, rest, &reader, &pending) => {}
            }
            for reply in lock(&pending).drain(..) {
                let _ = reply.send(Err(ended()));
            }
        });
        Ok(Self { requests, marker })
    }

    /// Whether it takes no more requests.
    pub(crate) fn is_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// Waits until it takes no more requests, and says so.
    pub(crate) async fn ended(&self) -> Error {
        self.requests.closed().await;
        ended()
    }

    /// Runs a piece of shell text after all that were asked before, and gives what it printed.
    ///
    /// # Errors
    /// `Unreachable`, perhaps applied, if the shell ends before it answers.
    ///
    /// # Cancel safety
    /// Dropped, the text is run all the same if it was sent, and its reply is thrown away.
    pub(crate) async fn run(&self, snippet: impl AsRef<str>) -> Result<Reply> {
        let mut text = String::with_capacity(snippet.as_ref().len() + 96);
        let _ = write!(
            text,
            "{{\n{}\n}} </dev/null 2>&1\nprintf '\\n%s %s\\n' {} \"$?\"\n",
            snippet.as_ref(),
            self.marker
        );
        let (reply, answer) = oneshot::channel();
        let request = Request {
            text: text.into(),
            reply,
        };
        self.requests.send(request).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl Reply {
    /// The output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// `Ok` if the request succeeded.
    ///
    /// # Errors
    /// `Io` with the machine's own words.
    pub(crate) fn into_result(self, what: &str) -> Result<()> {
        match self.status {
            0 => Ok(()),
            status => {
                let text = self.text();
                let text = text.trim();
                let said = if text.is_empty() {
                    format!("exit code {status}")
                } else {
                    text.to_owned()
                };
                Err(Error::new(ErrorKind::Io, format!("cannot {what}: {said}")))
            }
        }
    }
}

async fn write(stdin: Stdin, mut requests: mpsc::Receiver<Request>, pending: &Pending) {
    while let Some(request) = requests.recv().await {
        lock(pending).push_back(request.reply);
        if stdin.write(request.text).await.is_err() {
            return;
        }
    }
    // The last handle is gone: end of input ends the shell. What was asked is still answered.
    drop(stdin);
    std::future::pending::<()>().await;
}

async fn read(mut output: OutputReader, rest: Vec<u8>, marker: &str, pending: &Pending) {
    let mut frames = Frames::new(marker, rest);
    loop {
        while let Some(reply) = frames.next() {
            let Some(waiting) = lock(pending).pop_front() else {
                return;
            };
            let _ = waiting.send(Ok(reply));
        }
        match output.recv().await {
            Some(Output::Stdout(bytes)) => frames.push(&bytes),
            Some(Output::Stderr(bytes)) => {
                tracing::debug!(text = %String::from_utf8_lossy(&bytes), "the shell complains");
            }
            Some(Output::Exited { .. }) | None => return,
        }
    }
}

/// Cuts the shell's output at the lines that end replies.
struct Frames {
    end: Vec<u8>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold no beginning of an end.
    searched: usize,
}

impl Frames {
    fn new(marker: &str, buffer: Vec<u8>) -> Self {
        Self {
            end: format!("\n{marker} ").into_bytes(),
            buffer,
            searched: 0,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Reply> {
        let Some(at) = find(&self.buffer[self.searched..], &self.end) else {
            self.searched = self.buffer.len().saturating_sub(self.end.len());
            return None;
        };
        let at = at + self.searched;
        let status = at + self.end.len();
        let Some(newline) = self.buffer[status..].iter().position(|b| *b == b'\n') else {
            self.searched = at;
            return None;
        };
        let text = std::str::from_utf8(&self.buffer[status..status + newline]).ok();
        let status = text.and_then(|text| text.trim().parse().ok()).unwrap_or(-1);
        let rest = self.buffer.split_off(at + self.end.len() + newline + 1);
        let mut output = std::mem::replace(&mut self.buffer, rest);
        output.truncate(at);
        self.searched = 0;
        Some(Reply { status, output })
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = hay.get(from..)?.iter().position(|b| *b == first) {
        let at = from + at;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// Reads until the shell has answered the first request; gives what it said after that.
async fn skip_noise(process: &mut Process, marker: &str) -> Result<Vec<u8>> {
    let mut frames = Frames::new(marker, b"\n".to_vec());
    let mut noise = Vec::new();
    loop {
        if frames.next().is_some() {
            return Ok(frames.buffer);
        }
        match process.output.recv().await {
            Some(Output::Stdout(bytes)) => {
                keep(&mut noise, &bytes);
                frames.push(&bytes);
            }
            Some(Output::Stderr(bytes)) => keep(&mut noise, &bytes),
            Some(Output::Exited { .. }) => return Err(no_shell(&noise)),
            None => return Err(ended()),
        }
    }
}

fn keep(noise: &mut Vec<u8>, bytes: &[u8]) {
    let room = NOISE.saturating_sub(noise.len());
    noise.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// What answered is no shell that we can use.
fn no_shell(noise: &[u8]) -> Error {
    let text = String::from_utf8_lossy(noise);
    let text = text.trim();
    let lower = text.to_lowercase();
    if [
        "is not recognized",
        "powershell",
        "microsoft windows",
        "commandnotfoundexception",
    ]
    .iter()
    .any(|sign| lower.contains(sign))
    {
        return Error::new(
            ErrorKind::Unsupported,
            format!("this is a Windows machine, which cannot run trials: they need a POSIX `sh`; it says: {text}"),
        )
        .with_help("use a Linux machine, or the SSH server of WSL");
    }
    if lower.contains("password")
        && ["expired", "change required", "must change"]
            .iter()
            .any(|sign| lower.contains(sign))
    {
        return Error::new(
            ErrorKind::Auth,
            format!("the password has expired; the machine says: {text}"),
        )
        .with_key("machineList[].password")
        .with_help("log in once by hand, set a new password, and write it here");
    }
    let said = if text.is_empty() { "nothing" } else { text };
    Error::new(
        ErrorKind::Unsupported,
        format!("the account gives no shell: `sh` ended at once; it says: {said}"),
    )
    .with_help("use an account that may run commands: no `ForceCommand`, no sftp-only group, no `nologin` shell; try `ssh HOST sh -c true`")
}

fn ended() -> Error {
    Error::new(ErrorKind::Unreachable, "the shell on the machine has ended")
        .with_retry(Retry::MaybeApplied { after: None })
}

fn lock(pending: &Pending) -> MutexGuard<'_, VecDeque<oneshot::Sender<Result<Reply>>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
