//! The port: bound at an address that the configuration names, and served until the task is dropped.

use super::{
    answer,
    store::Store,
    token::{self, Stored},
};
use crate::{Ctx, Error, ErrorKind, Result, Secret};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};

/// Connections at a time; more wait in the system's queue. A trial has two.
const CONNECTIONS: usize = 1024;
/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How often a port that was ours is tried again: what an earlier manager had just started may hold it until it is another program.
const AGAIN: usize = 20;
/// Wait before that.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long a connection may take at all: the package of code over a slow line.
const CONNECTION_TIME: Duration = Duration::from_hours(1);

/// What a listener is like.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing else to say")]
pub struct Settings {
    /// Address and port on this machine. Port 0: any that is free, and the same again for this experiment.
    pub listen: SocketAddr,
    /// The folder that is served.
    pub root: PathBuf,
    /// Where token and port are kept; its mode is 600.
    pub token_file: PathBuf,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ctx: Ctx,
    pub(super) store: Arc<Store>,
    pub(super) token: Secret,
}

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Listener {
    /// Binds the port, with the token of an earlier time if there is one.
    ///
    /// # Errors
    /// `Conflict` with a busy port, `Config` with an address that is not this machine's; those of the file.
    pub async fn bind(ctx: &Ctx, settings: Settings) -> Result<Self> {
        let Settings {
            listen,
            root,
            token_file,
        } = settings;
        let file = token_file.clone();
        let Stored { token, port } = ctx.tasks.blocking(move || token::load(&file)).await?;
        let mut wanted = listen;
        if let (0, Some(port)) = (listen.port(), port) {
            wanted.set_port(port);
        }
        let mut socket = bind(wanted).await;
        let mut tries_left = if port == Some(wanted.port()) { AGAIN } else { 0 };
        while tries_left > 0 && socket.as_ref().is_err_and(|e| e.kind() == ErrorKind::Conflict) {
            tries_left -= 1;
            ctx.clock.sleep(AGAIN_AFTER).await;
            socket = bind(wanted).await;
        }
        let socket = socket?;
        let address = socket.local_addr().map_err(|e| Error::listen(wanted, e))?;
        if port != Some(address.port()) {
            let own = token.clone();
            ctx.tasks
                .blocking(move || token::save(&token_file, &own, address.port()))
                .await?;
        }
        tracing::debug!(%address, "trials may push");
        Ok(Self {
            socket,
            address,
            shared: Arc::new(Shared {
                ctx: ctx.clone(),
                store: Arc::new(Store::new(root)),
                token,
            }),
        })
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What workers must know.
    pub fn token(&self) -> &Secret {
        &self.shared.token
    }

    /// Answers until it is dropped, with all connections.
    pub async fn serve(self) {
        let mut connections = FuturesUnordered::new();
        loop {
            let has_room = connections.len() < CONNECTIONS;
            tokio::select! {
                Some(()) = connections.next() => {}
                accepted = self.socket.accept(), if has_room => match accepted {
                    Ok((stream, _)) => connections.push(connection(Arc::clone(&self.shared), stream)),
                    Err(error) => {
                        tracing::warn!(%error, "a connection of a trial could not be taken");
                        // Most often there are no more file descriptors.
                        self.shared.ctx.clock.sleep(Duration::from_millis(200)).await;
                    }
                },
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let own = Arc::clone(&shared);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&own);
        async move { Ok::<_, Infallible>(answer::answer(&shared, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(64 * 1024)
        // A worker's program makes one request.
        .keep_alive(false)
        // Some shut their side once they have sent it.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%error, "a connection of a trial broke");
        },
        () = shared.ctx.clock.sleep(CONNECTION_TIME) => {}
    }
}

/// Whether a listener could be bound there now. Port 0 always is free.
///
/// # Errors
/// As [`Listener::bind`].
pub async fn is_free(listen: SocketAddr) -> Result<()> {
    bind(listen).await.map(drop)
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| Error::listen(address, e))
}
