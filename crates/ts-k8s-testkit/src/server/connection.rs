//! Connections that a test can break: a listener that stops and comes back on its port, and streams that end with a reset.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Turns listening on and off, and breaks all connections.
#[derive(Debug)]
pub(crate) struct Switch {
    wanted: watch::Sender<bool>,
    listening: watch::Sender<bool>,
    connections: Mutex<CancellationToken>,
}

impl Switch {
    fn token(&self) -> CancellationToken {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .child_token()
    }

    /// Resets all connections.
    pub(crate) fn reset_all(&self) {
        let mut token = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *token).cancel();
    }

    /// Listens or not; returns once it is so.
    pub(crate) async fn set(&self, wanted: bool) {
        let mut listening = self.listening.subscribe();
        self.wanted.send_replace(wanted);
        // The listener lives as long as the server, so the sender cannot be gone.
        let reached = listening.wait_for(|now| *now == wanted).await.is_ok();
        debug_assert!(reached, "the listener outlives its server");
        if !wanted {
            self.reset_all();
        }
    }
}

/// The port of a server. While it does not listen, a socket that only holds the port keeps others from taking it.
pub(crate) struct Port {
    listener: Option<TcpListener>,
    _holder: TcpSocket,
    address: SocketAddr,
    wanted: watch::Receiver<bool>,
    switch: Arc<Switch>,
}

impl Port {
    /// Takes a free port of the loopback interface and listens.
    pub(crate) fn open() -> io::Result<(Self, Arc<Switch>)> {
        let holder = socket(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = holder.local_addr()?;
        let switch = Arc::new(Switch {
            wanted: watch::Sender::new(true),
            listening: watch::Sender::new(true),
            connections: Mutex::default(),
        });
        let port = Self {
            listener: Some(listen(address)?),
            _holder: holder,
            address,
            wanted: switch.wanted.subscribe(),
            switch: Arc::clone(&switch),
        };
        Ok((port, switch))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    socket(address)?.listen(1024)
}

impl Listener for Port {
    type Io = Stream;
    type Addr = Peer;

    async fn accept(&mut self) -> (Stream, Peer) {
        loop {
            let wanted = *self.wanted.borrow_and_update();
            match (&self.listener, wanted) {
                (Some(listener), true) => {
                    tokio::select! {
                        _ = self.wanted.changed() => {}
                        accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                            let reset = self.switch.token();
                            let peer = Peer { reset: reset.clone() };
                            return (Stream { stream, cancelled: Box::pin(reset.cancelled_owned()) }, peer);
                        },
                    }
                }
                (None, true) => {
                    self.listener = listen(self.address).ok();
                    if self.listener.is_some() {
                        self.switch.listening.send_replace(true);
                    } else {
                        tokio::task::yield_now().await;
                    }
                }
                (_, false) => {
                    self.listener = None;
                    self.switch.listening.send_replace(false);
                    if self.wanted.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer {
            reset: CancellationToken::new(),
        })
    }
}

/// The other end of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Resets the connection.
    pub(crate) reset: CancellationToken,
}

impl Connected<IncomingStream<'_, Port>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        stream.remote_addr().clone()
    }
}

/// One connection.
pub(crate) struct Stream {
    stream: TcpStream,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stream {
    /// An error once the connection is to be reset.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.cancelled.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        // Closing without lingering is what sends a reset.
        self.stream.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
