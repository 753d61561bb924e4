//! A command in a container that is talked with: bytes go to it, and it answers line by line.
//!
//! The messages of the stream are made here: `kube` cuts what it sends into pieces of 4 KiB, and every piece costs a round of
//! work in each server on the way.

use crate::{access::Cluster, exec};
use bytes::Bytes;
use futures_util::{
    Sink, SinkExt as _, StreamExt as _, future,
    stream::{self, BoxStream},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource as _, api::Request, client::Connection};
use std::{io, pin::Pin, time::Duration};
use ts_core::{Clock, Error, ErrorKind, Result, Retry};

// Source: kubernetes v1.20, `pkg/kubelet/cri/streaming/remotecommand/websocket.go`.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;

/// Bytes of a message: as many as a container runtime passes on at a time, so that it reads the next one meanwhile.
///
/// Source: Go's `io.Copy`, between kubernetes' `wsstream` and the command.
const MESSAGE: usize = 32 * 1024;
/// How long nothing may move before a stream is given up.
const STALL: Duration = Duration::from_mins(1);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_mins(5);
/// Time after which an idle stream carries an empty message, so that no proxy on the way takes it for dead.
const PULSE: Duration = Duration::from_secs(30);
/// Bytes after which a line is none, and most that are kept of what the command says of errors.
const LONGEST_LINE: usize = 64 * 1024;
const LONGEST_COMPLAINT: usize = 1024;

/// Such a command. Dropped, its streams are cut.
pub(crate) struct Talk<'a> {
    clock: &'a dyn Clock,
    to: Pin<Box<dyn Sink<Vec<u8>, Error = io::Error> + Send>>,
    from: BoxStream<'static, io::Result<Bytes>>,
    said: Vec<u8>,
    complaint: Vec<u8>,
}

impl<'a> Talk<'a> {
    /// Starts a command.
    pub(crate) async fn start(
        clock: &'a dyn Clock,
        cluster: &Cluster,
        (pod, container): (&str, &str),
        command: &[&str],
    ) -> Result<Self> {
        let refused = |e| exec::not_started(pod, e);
        // Protocol 4, which all servers speak, has no way to close the input.
        let parameters = exec::parameters(container).stdin(true);
        let request = Request::new(Pod::url_path(&(), Some(&cluster.namespace)))
            .exec(pod, command.iter().copied(), &parameters)
            .map_err(|e| refused(kube::Error::BuildRequest(e)))?;
        let connection = cluster.streams.connect(request).await.map_err(refused)?;
        Ok(Self::over(clock, connection))
    }

    fn over(clock: &'a dyn Clock, connection: Connection) -> Self {
        let (to, from) = connection.into_stream().split();
        Self {
            clock,
            to: Box::pin(
                to.sink_map_err(io::Error::other)
                    .with(|bytes: Vec<u8>| future::ok(bytes.into())),
            ),
            from: from
                .filter_map(|message| {
                    future::ready(match message {
                        Ok(message) => message.is_binary().then(|| Ok(message.into_data())),
                        Err(e) => Some(Err(io::Error::other(e))),
                    })
                })
                .boxed(),
            said: Vec::new(),
            complaint: Vec::new(),
        }
    }

    /// Sends bytes. A word of the command meanwhile is an error, since it speaks too early only to say that something is wrong.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        let Self {
            clock,
            to,
            from,
            said,
            complaint,
        } = self;
        let sent = async {
            for part in bytes.chunks(MESSAGE) {
                let mut message = Vec::with_capacity(part.len() + 1);
                message.push(STDIN);
                message.extend_from_slice(part);
                to.feed(message).await?;
            }
            to.flush().await
        };
        let spoke = tokio::select! {
            written = sent => return written.map_err(|e| failed("the stream was cut off").with_source(e)),
            line = line(from, said, complaint) => line,
            () = clock.sleep(STALL) => return Err(failed("nothing moves")),
        };
        Err(failed(&spoke.unwrap_or_default()))
    }

    /// The next line that the command says.
    pub(crate) async fn hear(&mut self) -> Result<String> {
        let Self {
            clock,
            to,
            from,
            said,
            complaint,
        } = self;
        let pulse = stream::unfold(*clock, |clock| async move {
            clock.sleep(PULSE).await;
            Some(((), clock))
        });
        let mut pulse = std::pin::pin!(pulse);
        let mut patience = std::pin::pin!(clock.sleep(PATIENCE));
        loop {
            tokio::select! {
                line = line(from, said, complaint) => {
                    let why = String::from_utf8_lossy(complaint);
                    return line.ok_or_else(|| failed(why.trim()));
                }
                _ = pulse.next() => {
                    to.send(vec![STDIN]).await.map_err(|e| failed("the stream was cut off").with_source(e))?;
                }
                () = &mut patience => return Err(failed("no answer comes")),
            }
        }
    }
}

/// The next line; `None` if the command ended or its streams were cut. Cancel safe: what came is kept.
async fn line(
    from: &mut BoxStream<'static, io::Result<Bytes>>,
    said: &mut Vec<u8>,
    complaint: &mut Vec<u8>,
) -> Option<String> {
    loop {
        if let Some(end) = said.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = said.drain(..=end).collect();
            return Some(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        let bytes = from.next().await?.ok()?;
        match bytes.first() {
            Some(&STDOUT) if said.len() > LONGEST_LINE => return None,
            Some(&STDOUT) => said.extend_from_slice(&bytes[1..]),
            Some(&STDERR) => {
                let room = LONGEST_COMPLAINT.saturating_sub(complaint.len());
                complaint.extend(bytes[1..].iter().take(room));
            }
            // The status, which comes when the command has ended; the server's first messages are empty.
            Some(_) if bytes.len() > 1 => return None,
            _ => {}
        }
    }
}

/// That something did not arrive, with what the command or the stream says of it.
pub(crate) fn failed(said: &str) -> Error {
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

#[cfg(test)]
#[path = "talk_tests.rs"]
mod tests;
