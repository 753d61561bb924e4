//! Lists that are written while they are read: memory does not grow with the answer, and a client that stalls is left.

use super::{answer::JSON, state::State};
use crate::store::StoreReader;
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Handle, sync::mpsc};
use ts_core::{Clock, Error, ErrorKind, Result};

/// Bytes that go out at a time.
const PIECE: usize = 64 * 1024;
/// Room for a piece and the document that fills it, mostly.
const ROOM: usize = PIECE + 4 * 1024;
/// Longest time that a client takes nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a list is written to.
pub(super) struct Pieces {
    buffer: Vec<u8>,
    out: mpsc::Sender<Result<Bytes>>,
    runtime: Handle,
    clock: Arc<dyn Clock>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(ROOM)).into();
        let (out, clock) = (&self.out, &self.clock);
        self.runtime.block_on(async {
            tokio::select! {
                sent = out.send(Ok(piece)) => sent.map_err(|_| io::ErrorKind::BrokenPipe.into()),
                () = clock.sleep(PATIENCE) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    }

    /// Writes text as it is.
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        self.write_all(text.as_bytes()).map_err(gone)
    }

    /// Writes a document, straight behind what is there: it comes in many small parts.
    pub(super) fn json(&mut self, document: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.buffer, document).map_err(|e| gone(e.into()))?;
        self.send_if_full().map_err(gone)
    }

    fn send_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= PIECE {
            self.send()
        } else {
            Ok(())
        }
    }

    /// Writes an item of a list, with a comma before it unless it is the first.
    pub(super) fn item(&mut self, is_first: &mut bool, item: &impl Serialize) -> Result<()> {
        if !std::mem::replace(is_first, false) {
            self.text(",")?;
        }
        self.json(item)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        self.send_if_full()?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A JSON document that `write` makes from one state of the store.
///
/// # Errors
/// Whatever happens before the first piece is out; later errors break the connection, so that nobody takes a part for the whole.
pub(super) async fn json(
    state: &State,
    write: impl FnOnce(&StoreReader, &mut Pieces) -> Result<()> + Send + 'static,
) -> Result<Response> {
    reply(state, JSON, write).await
}

/// The same of any type.
///
/// # Errors
/// As [`json`].
pub(super) async fn reply(
    state: &State,
    content_type: &'static str,
    write: impl FnOnce(&StoreReader, &mut Pieces) -> Result<()> + Send + 'static,
) -> Result<Response> {
    let (out, mut pieces) = mpsc::channel(2);
    let mut to = Pieces {
        buffer: Vec::with_capacity(ROOM),
        out,
        runtime: Handle::current(),
        clock: Arc::clone(&state.ctx.clock),
    };
    let begin = move |reader: &StoreReader| {
        let written = reader.snapshot(|reader| write(reader, &mut to));
        match written {
            Ok(()) => to.send().map_err(gone),
            Err(error) => {
                let told = Error::new(error.kind(), error.message().to_owned());
                // A client that has gone is told nothing.
                let _ = to.out.try_send(Err(error));
                Err(told)
            }
        }
    };
    state.readers.stream(begin).await?;
    let ended = || Error::new(ErrorKind::Internal, "the reply could not be begun");
    let first = pieces.recv().await.ok_or_else(ended)??;
    let rest = stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece, pieces))
    });
    let body = stream::StreamExt::chain(stream::iter([Ok(first)]), rest);
    let mut response = Response::new(Body::from_stream(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

fn gone(error: io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "the client has gone").with_source(error)
}
