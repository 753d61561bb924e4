//! Brings code to where `pod/receive.sh` takes it: into the volume of a pod, or through one onto storage that all share.
//!
//! The stream goes through the API server, so neither side opens a port; a cut one leaves nothing behind that counts.

use crate::{
    access::Cluster,
    core::Core,
    error, exec,
    object::{CODE_CONTAINER, RECEIVE, WORK_DIR},
    relay::PodLog,
};
use kube::api::AttachedProcess;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use ts_codedir::{Piece, Spool, Written};
use ts_core::{Clock, Error, ErrorKind, PROGRESS, Result, Retry, RetryPolicy, TaskScope, retry};

/// How long nothing may move before a stream is given up.
const STALL: Duration = Duration::from_mins(1);
/// Time between two words on how far a delivery is.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Fewer bytes are no news.
const WORTH_TELLING: u64 = 4_000_000;

/// Where in a cluster a stream goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) pod: &'a str,
    pub(crate) container: &'a str,
    /// Folder that is to hold the code.
    pub(crate) folder: &'a str,
    /// File that says that it does.
    pub(crate) mark: &'a str,
}

/// Brings the code into a pod whose init container waits for it.
pub(crate) async fn into_pod(core: &Core, pod: &str, digest: &str) -> Result<()> {
    let Some(spool) = core.spool(digest) else {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("the code `{digest}` is not prepared here"),
        ));
    };
    let ready = core.ready().await;
    let _turn = core.deliveries.acquire().await;
    let target = Target {
        cluster: &ready.cluster,
        pod,
        container: CODE_CONTAINER,
        folder: &format!("{WORK_DIR}/trial/code"),
        mark: &format!("{WORK_DIR}/ready"),
    };
    deliver(core, target, &spool).await
}

/// Brings the code to a target, over several streams if the first ones are cut.
pub(crate) async fn deliver(core: &Core, target: Target<'_>, spool: &Arc<Spool>) -> Result<()> {
    retry(&*core.ctx.clock, RetryPolicy::new(), true, |_| {
        deliver_once(core, target, spool)
    })
    .await
}

async fn deliver_once(core: &Core, target: Target<'_>, spool: &Arc<Spool>) -> Result<()> {
    let parent = target.folder.rsplit_once('/').map_or("/", |(parent, _)| parent);
    let script = format!("mkdir -p '{parent}' || exit 1\n{RECEIVE}");
    let command = ["/bin/sh", "-c", &script, "tsctl", target.folder, target.mark];
    let process = exec::start(target.cluster, target.pod, target.container, &command, true).await?;
    let mut stream = Stream::new(process, &*core.ctx.clock)?;
    let word = stream.hear().await?;
    let is_plain = match word.as_str() {
        "there" => return Ok(()),
        "send plain" => true,
        "send zstd" => false,
        other => return Err(failed(other)),
    };
    let length = length_of(spool, is_plain, &core.ctx.tasks).await?;
    let form = if is_plain { "plain" } else { "zstd" };
    stream.say(format!("{form} {length}\n").as_bytes()).await?;
    let mut pieces = spool.read(is_plain, &core.ctx.tasks);
    let (mut sent, mut told) = (0_u64, core.ctx.clock.monotonic());
    loop {
        match pieces.recv().await {
            Some(Ok(Piece::Bytes(bytes))) => {
                stream.say(&bytes).await?;
                sent += bytes.len() as u64;
                let now = core.ctx.clock.monotonic();
                if sent >= WORTH_TELLING && now.saturating_sub(told) >= TELL_EVERY {
                    told = now;
                    let (sent, length) = (sent as f64 / 1e6, length as f64 / 1e6);
                    tracing::info!(target: PROGRESS, "sending the code to pod `{}`: {sent:.1} of {length:.1} MB", target.pod);
                }
            }
            Some(Ok(Piece::End)) => break,
            Some(Err(error)) => return Err(error),
            None => return Err(failed("the package was cut off")),
        }
    }
    if sent != length {
        return Err(failed("the package has not the length that was said"));
    }
    match stream.hear().await?.as_str() {
        "unpacked" => stream.say(b"ok\n").await?,
        other => return Err(failed(other)),
    }
    match stream.hear().await?.as_str() {
        "placed" => Ok(()),
        other => Err(failed(other)),
    }
}

/// How many bytes will be sent.
async fn length_of(spool: &Spool, is_plain: bool, tasks: &TaskScope) -> Result<u64> {
    if is_plain {
        let (mut pieces, mut length) = (spool.read(true, tasks), 0);
        loop {
            match pieces.recv().await {
                Some(Ok(Piece::Bytes(bytes))) => length += bytes.len() as u64,
                Some(Ok(Piece::End)) => return Ok(length),
                Some(Err(error)) => return Err(error),
                None => return Err(failed("the package was cut off")),
            }
        }
    }
    let mut written = spool.pack(tasks);
    let end = written.wait_for(|written| !matches!(written, Written::UpTo(_))).await;
    let end = end.map_err(|_| failed("packing was broken off"))?.clone();
    match end {
        Written::Failed(why) => Err(Error::new(ErrorKind::CodeDir, why)),
        _ => spool.packed_bytes().ok_or_else(|| failed("the package is gone")),
    }
}

/// A command that is talked with, line by line.
struct Stream<'a> {
    clock: &'a dyn Clock,
    stdin: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
    lines: tokio::io::Lines<BufReader<Box<dyn tokio::io::AsyncRead + Send + Unpin>>>,
    /// Ends the command when it is dropped.
    _process: AttachedProcess,
}

impl<'a> Stream<'a> {
    fn new(mut process: AttachedProcess, clock: &'a dyn Clock) -> Result<Self> {
        let (Some(stdin), Some(stdout)) = (process.stdin(), process.stdout()) else {
            return Err(failed("the command has no streams"));
        };
        let stdout: Box<dyn tokio::io::AsyncRead + Send + Unpin> = Box::new(stdout);
        Ok(Self {
            clock,
            stdin: Box::new(stdin),
            lines: BufReader::new(stdout).lines(),
            _process: process,
        })
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        let written = tokio::select! {
            written = self.stdin.write_all(bytes) => written,
            // It speaks too early only to say that something is wrong.
            line = self.lines.next_line() => {
                return Err(failed(&line.ok().flatten().unwrap_or_default()));
            }
            () = self.clock.sleep(STALL) => return Err(failed("nothing moves")),
        };
        written.map_err(|e| failed("the stream was cut off").with_source(e))
    }

    async fn hear(&mut self) -> Result<String> {
        let line = tokio::select! {
            line = self.lines.next_line() => line,
            () = self.clock.sleep(STALL * 5) => return Err(failed("no answer comes")),
        };
        let line = line.map_err(|e| failed("the stream was cut off").with_source(e))?;
        line.ok_or_else(|| failed("the stream was cut off"))
    }
}

fn failed(said: &str) -> Error {
    let said = said.strip_prefix("failed ").unwrap_or(said).trim();
    let said = if said.is_empty() {
        "the stream was cut off"
    } else {
        said
    };
    let error = Error::new(ErrorKind::Io, format!("the code could not be delivered: {said}"))
        .with_retry(Retry::NotApplied { after: None });
    if said.contains("not found") {
        error
            .with_retry(Retry::Never)
            .with_help("the image must hold `sh`, `tar` and `head`")
    } else if said.contains("No space left") || said.contains("quota") {
        error.with_help("free space on the volume")
    } else if said.contains("Permission denied") || said.contains("cannot write") {
        error.with_retry(Retry::Never).with_help(
            "the volume must be writable for the user of the container; see `securityContext` in `podTemplate`",
        )
    } else {
        error
    }
}

/// Tells a pod whose log goes with it that all was heard; others end without being told.
pub(crate) async fn acknowledge(core: &Core, log: &PodLog) {
    if !core.kind().removes_pods() {
        return;
    }
    let mark = format!("true >{WORK_DIR}/heard");
    let told = retry(&*core.ctx.clock, RetryPolicy::new(), true, |_| async {
        let ready = core.ready().await;
        let command = ["/bin/sh", "-c", &mark];
        let done = exec::run(&*core.ctx.clock, &ready.cluster, &log.pod, &log.container, &command).await?;
        done.into_stdout("end the wait").map(drop)
    })
    .await;
    if let Err(error) = told {
        tracing::debug!(
            pod = log.pod,
            error = error::chain(&error),
            "the pod is not told; it ends by itself"
        );
    }
}
