//! The channel between manager and dispatcher: frames over a socket, or a WebSocket on the loopback.
//!
//! What the messages mean is not known here.

use crate::{
    frame::{FrameDecoder, encode_frame},
    message::{Message, TERMINATE},
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        self,
        handshake::server::{ErrorResponse, Request, Response},
        http::StatusCode,
        protocol::WebSocketConfig,
    },
};
use ts_core::{Clock, Error, ErrorKind, Result};

/// Largest message: 1 GiB, as for frames.
const LARGEST: usize = 1 << 30;
/// Longest handshake of a connection, which need not be the dispatcher's.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// An open channel.
#[derive(Debug)]
pub(crate) enum Link {
    /// nni v1.9 to v2.7.
    Frames {
        socket: UnixStream,
        decoder: FrameDecoder,
        /// What was read last; room for one look.
        bytes: Vec<u8>,
    },
    /// nni v2.8 to v2.10.
    Text(Box<WebSocketStream<TcpStream>>),
    /// nni v3.0.
    Json(Box<WebSocketStream<TcpStream>>),
}

impl Link {
    pub(crate) fn frames(socket: std::os::unix::net::UnixStream) -> Result<Self> {
        socket.set_nonblocking(true).map_err(lost)?;
        Ok(Self::Frames {
            socket: UnixStream::from_std(socket).map_err(lost)?,
            decoder: FrameDecoder::default(),
            bytes: vec![0; 16 << 10],
        })
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: &Message) -> Result<()> {
        match self {
            Self::Frames { socket, .. } => socket.write_all(&encode_frame(message)).await.map_err(lost),
            Self::Text(socket) => {
                let text = format!("{}{}", String::from_utf8_lossy(&message.code), message.content);
                socket.send(tungstenite::Message::text(text)).await.map_err(lost)
            }
            Self::Json(socket) => {
                let code = String::from_utf8_lossy(&message.code);
                let text = json!({ "type": code, "content": message.content }).to_string();
                socket.send(tungstenite::Message::text(text)).await.map_err(lost)?;
                if message.code == TERMINATE {
                    let bye = tungstenite::Message::text(json!({ "type": "_bye_" }).to_string());
                    socket.send(bye).await.map_err(lost)?;
                }
                Ok(())
            }
        }
    }

    /// The next message; `None` when the other side has closed the channel.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn receive(&mut self) -> Result<Option<Message>> {
        match self {
            Self::Frames { socket, decoder, bytes } => loop {
                if let Some(message) = decoder.next_message()? {
                    return Ok(Some(message));
                }
                match socket.read(bytes).await {
                    Ok(0) => return Ok(None),
                    Ok(n) => decoder.push(&bytes[..n]),
                    Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
                    Err(e) => return Err(lost(e)),
                }
            },
            Self::Text(socket) => Ok(match next_text(socket).await? {
                Some(text) => Some(from_text(&text)?),
                None => None,
            }),
            Self::Json(socket) => loop {
                let Some(text) = next_text(socket).await? else {
                    return Ok(None);
                };
                let parsed: Value = serde_json::from_str(&text).map_err(|e| nonsense(&text).with_source(e))?;
                match parsed["type"].as_str() {
                    // After a goodbye it closes the socket, and waits for an answer to that.
                    Some("_nop_" | "_bye_") => {}
                    Some(code) => {
                        let code = code.as_bytes().try_into().map_err(|_| nonsense(&text))?;
                        return Ok(Some(Message::new(code, parsed["content"].as_str().unwrap_or_default())));
                    }
                    None => return Err(nonsense(&text)),
                }
            },
        }
    }
}

/// Where a dispatcher connects to.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    path: String,
}

impl Listener {
    /// Listens on the loopback, on a path that nobody can guess.
    pub(crate) async fn open() -> Result<Self> {
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.map_err(lost)?;
        Ok(Self {
            socket,
            path: format!("/{:032x}/tuner", rand::random::<u128>()),
        })
    }

    pub(crate) fn url(&self) -> Result<String> {
        Ok(format!("ws://{}{}", self.socket.local_addr().map_err(lost)?, self.path))
    }

    /// The connection of whoever knows the path; others are turned away.
    pub(crate) async fn accept(&self, clock: &dyn Clock) -> Result<Box<WebSocketStream<TcpStream>>> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LARGEST))
            .max_frame_size(Some(LARGEST));
        loop {
            let (stream, _) = self.socket.accept().await.map_err(lost)?;
            // Small messages go back and forth.
            stream.set_nodelay(true).map_err(lost)?;
            #[expect(clippy::result_large_err, reason = "the library's signature")]
            let knows_path = |request: &Request, response: Response| {
                if request.uri().path() == self.path {
                    return Ok(response);
                }
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = StatusCode::NOT_FOUND;
                Err(refusal)
            };
            tokio::select! {
                accepted = accept_hdr_async_with_config(stream, knows_path, Some(config)) => if let Ok(socket) = accepted {
                    return Ok(Box::new(socket));
                },
                () = clock.sleep(HANDSHAKE) => {}
            }
        }
    }
}

async fn next_text(socket: &mut WebSocketStream<TcpStream>) -> Result<Option<String>> {
    use tungstenite::{
        Error as Failure,
        Message::{Binary, Text},
        error::ProtocolError::ResetWithoutClosingHandshake,
    };
    loop {
        return match socket.next().await {
            Some(Ok(Text(text))) => Ok(Some(text.as_str().to_owned())),
            Some(Ok(Binary(bytes))) => String::from_utf8(bytes.into())
                .map(Some)
                .map_err(|_| nonsense("binary data")),
            Some(Err(Failure::ConnectionClosed | Failure::Protocol(ResetWithoutClosingHandshake))) | None => Ok(None),
            // The answer to a `Close`, as that to a `Ping`, goes out with the next look.
            Some(Ok(_)) => continue,
            Some(Err(error)) => Err(lost(error)),
        };
    }
}

fn from_text(text: &str) -> Result<Message> {
    let (code, content) = text.split_at_checked(2).ok_or_else(|| nonsense(text))?;
    let code = code.as_bytes().try_into().map_err(|_| nonsense(text))?;
    Ok(Message::new(code, content))
}

fn nonsense(text: &str) -> Error {
    let excerpt: String = text.chars().take(500).collect();
    Error::new(
        ErrorKind::Protocol,
        format!("NNI's dispatcher sent what is no message: `{}`", excerpt.escape_debug()),
    )
}

fn lost(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unreachable, "the channel to NNI's dispatcher is broken").with_source(error)
}
