//! Serves the API on a bound port until the task scope ends.

use super::{
    Address, Assets, Commands, Port, assets, channel, events, guard, keeper, prometheus,
    readers::Readers,
    state::{Shared, State},
    stored::{self, Token},
    v1, v2,
};
use crate::{ExperimentDirectory, store::Optimize};
use axum::{Router, middleware, routing::get};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
};
use ts_core::{Ctx, Error, Result, offer_trial_channel, withdraw_trial_channel};

/// Connections at a time; more wait in the system's queue. A browser has six.
const CONNECTIONS: usize = 256;
/// How long the head of a request may take; also how long a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long the end of the experiment is told.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Longest head in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// What is served.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "built by whoever serves, who has to name all of it"
)]
pub struct Api {
    /// Clock and tasks.
    pub ctx: Ctx,
    /// The experiment; its store is there already.
    pub directory: ExperimentDirectory,
    /// Which result counts as best.
    pub optimize: Optimize,
    /// Who carries out what is asked for.
    pub commands: Arc<dyn Commands>,
    /// Files of a portal.
    pub assets: Option<Arc<dyn Assets>>,
    /// Whether trials on this machine get NNI 3.0's HTTP channel.
    pub trial_channel: bool,
}

/// A served API. Dropping it takes the address out of the experiment's directory; the tasks end with their scope.
#[derive(Debug)]
pub struct Served {
    address: Address,
    state: State,
}

impl Served {
    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits until those who listen to events have heard of the end of the experiment, half a second at most.
    pub async fn tell_the_end(&self) {
        tokio::select! {
            _ = self.state.listeners.acquire_many(events::LISTENERS) => {}
            () = self.state.ctx.clock.sleep(LAST_WORDS) => {}
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        stored::forget(&self.state.directory, &self.address);
        if self.state.channel.is_some()
            && let Err(error) = withdraw_trial_channel(self.state.directory.path())
        {
            tracing::debug!(%error, "the address of the trials' channels is left behind");
        }
    }
}

/// Serves the API of an experiment, within a runtime.
///
/// # Errors
/// Those of the files that hold token and address.
pub fn serve(port: Port, api: Api) -> Result<Served> {
    let Port {
        socket,
        bound,
        prefix,
        token_file,
    } = port;
    let token = match token_file {
        Some(file) => Some(Token::of_file(&file)?),
        None if bound.ip().is_loopback() => None,
        None => Some(Token::of_experiment(&api.directory)?),
    };
    let address = Address {
        url: url(bound, &prefix),
        token_file: token.as_ref().map(|token| token.file.clone()),
        pid: std::process::id(),
    };
    let channel = if api.trial_channel {
        Some(Token::of_channels(&api.directory)?)
    } else {
        None
    };
    let socket = TcpListener::from_std(socket)
        .map_err(|e| Error::new(ts_core::ErrorKind::Io, "the port cannot be served").with_source(e))?;
    let state = State::new(Shared {
        readers: Readers::new(api.directory.store(), api.ctx.tasks.clone()),
        directory: api.directory.clone(),
        commands: api.commands,
        optimize: api.optimize,
        assets: api.assets,
        ctx: api.ctx,
        token,
        channel,
        bound,
        prefix,
        listeners: Arc::new(Semaphore::new(events::LISTENERS as usize)),
        limits: Mutex::default(),
    });
    stored::store(&api.directory, &address)?;
    let served = Served { address, state };
    let state = &served.state;
    if let Some(channel) = &state.channel {
        let here = SocketAddr::new(on_this_machine(bound.ip()), bound.port());
        offer_trial_channel(
            state.directory.path(),
            &channel::base(&url(here, &state.prefix), channel),
        )?;
    }
    state.ctx.tasks.spawn(accept(socket, state.clone()));
    Ok(served)
}

fn url(at: SocketAddr, prefix: &str) -> String {
    match prefix {
        "" => format!("http://{at}"),
        prefix => format!("http://{at}/{prefix}"),
    }
}

/// An address that a socket bound to `ip` has for processes of this machine.
fn on_this_machine(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// All routes: at the root, and behind the prefix if there is one.
pub(super) fn router(state: &State) -> Router {
    let routes = || {
        v2::routes()
            .merge(v1::routes())
            .merge(keeper::routes())
            .merge(channel::routes())
            .route("/metrics", get(prometheus::metrics))
            .fallback(assets::file)
    };
    let all = match state.prefix.as_str() {
        "" => routes(),
        prefix => Router::new().nest(&format!("/{prefix}"), routes()).merge(routes()),
    };
    all.layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .with_state(state.clone())
}

async fn accept(socket: TcpListener, state: State) {
    let router = router(&state);
    let mut connections = FuturesUnordered::new();
    loop {
        let has_room = connections.len() < CONNECTIONS;
        tokio::select! {
            Some(()) = connections.next() => {}
            accepted = socket.accept(), if has_room => match accepted {
                Ok((stream, _)) => connections.push(connection(router.clone(), stream)),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the API could not be taken");
                    // Most often there are no more file descriptors.
                    state.ctx.clock.sleep(Duration::from_millis(200)).await;
                }
            },
        }
    }
}

async fn connection(router: Router, stream: TcpStream) {
    // Events are short and must not wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is slower than it could be");
    }
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the API broke");
    }
}
