//! `Connection`: a handle on the thread that owns a session; connecting, through other hosts if need be.

use super::{
    dial::{self, Line},
    handshake,
    outers::Outers,
    owner::{Command, Owner, lost},
    process::{ExecError, Process, Waker},
    target::Target,
};
use futures_util::future::{BoxFuture, FutureExt as _};
use std::{
    os::unix::net::UnixStream,
    sync::{Arc, Weak},
    thread,
};
use tokio::sync::{mpsc, oneshot, watch};
use ts_core::{Error, ErrorKind, FindingState, Result, Retry};

/// A step of a connection, for `doctor`.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) subject: String,
    pub(crate) state: FindingState,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// The steps of one connection so far.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    name: String,
    steps: Vec<Hop>,
}

impl Hops {
    pub(crate) fn add(&mut self, step: &str, state: FindingState, message: impl Into<String>) {
        self.steps.push(Hop {
            subject: format!("{}: {step}", self.name),
            state,
            message: message.into(),
            help: None,
        });
    }

    /// Notes the step that failed, and gives its error back.
    pub(crate) fn failed(&mut self, step: &str, error: Error) -> Error {
        self.steps.push(Hop {
            subject: format!("{}: {step}", self.name),
            state: FindingState::Bad,
            message: error.to_string(),
            help: error.help().map(str::to_owned),
        });
        error
    }
}

/// A connection to a machine. The last handle and the last process dropped, it ends.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    name: String,
    handle: Arc<Handle>,
    lost: watch::Receiver<Option<String>>,
}

#[derive(Debug)]
struct Handle {
    /// Taken away before the thread is woken, so that it sees that nobody asks any more.
    commands: Option<mpsc::UnboundedSender<Command>>,
    waker: Waker,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.commands.take();
        self.waker.wake();
    }
}

/// A connection that does not keep itself.
#[derive(Debug)]
pub(super) struct WeakConnection {
    name: String,
    handle: Weak<Handle>,
    lost: watch::Receiver<Option<String>>,
}

impl WeakConnection {
    /// The connection, while somebody keeps it.
    pub(super) fn upgrade(&self) -> Option<Connection> {
        Some(Connection {
            name: self.name.clone(),
            handle: self.handle.upgrade()?,
            lost: self.lost.clone(),
        })
    }
}

/// Connects to `target` and logs in, through those of `outers` if it is behind others; the steps are added to `hops` whatever
/// comes.
///
/// # Errors
/// `Unreachable` (retryable), `Auth`, or `Denied` for the host key; the message names machine and step.
///
/// # Cancel safety
/// Dropped, the connection is closed after the step that is being done.
pub(crate) fn connect<'a>(
    target: &'a Target,
    outers: &'a Outers,
    hops: &'a mut Vec<Hop>,
) -> BoxFuture<'a, Result<Connection>> {
    async move {
        let outer = match &target.jump {
            Some(jump) => Some(outers.connection(jump, hops).await?),
            None => None,
        };
        let line = match &outer {
            Some(outer) => Some(outer.forward(&target.host, target.port).await.map_err(|e| {
                let error = through(target, e);
                let mut failed = Hops {
                    name: target.label(),
                    steps: Vec::new(),
                };
                let error = failed.failed("TCP", error);
                hops.append(&mut failed.steps);
                error
            })?),
            None => None,
        };
        let (reply, answer) = oneshot::channel();
        let owned = target.clone();
        thread::Builder::new()
            .name("ssh".to_owned())
            .spawn(move || serve(&owned, line, outer, reply))
            .map_err(|e| Error::new(ErrorKind::Io, "cannot start a thread for an SSH connection").with_source(e))?;
        let gone = || Error::new(ErrorKind::Internal, "the thread of an SSH connection has died");
        let (mut steps, connection) = answer.await.map_err(|_| gone())?;
        hops.append(&mut steps);
        connection
    }
    .boxed()
}

type Connected = (Vec<Hop>, Result<Connection>);

/// The whole life of the thread.
fn serve(target: &Target, line: Option<UnixStream>, outer: Option<Connection>, reply: oneshot::Sender<Connected>) {
    let mut hops = Hops {
        name: target.label(),
        steps: Vec::new(),
    };
    let owner = begin(target, line, outer, &mut hops);
    match owner {
        Ok((owner, connection)) => {
            if reply.send((hops.steps, Ok(connection))).is_ok() {
                owner.run();
            }
        }
        Err(error) => drop(reply.send((hops.steps, Err(error)))),
    }
}

fn begin(
    target: &Target,
    line: Option<UnixStream>,
    outer: Option<Connection>,
    hops: &mut Hops,
) -> Result<(Owner, Connection)> {
    let line = match line {
        Some(socket) => Line::Channel(socket),
        None => dial::dial(target, hops)?,
    };
    let local = |what: &str, e: std::io::Error| Error::new(ErrorKind::Io, format!("cannot {what}: {e}")).with_source(e);
    let handle = line.handle().map_err(|e| local("watch a connection", e))?;
    let (waker, woken) = Waker::new().map_err(|e| local("make a pair of sockets", e))?;
    let session = handshake::handshake(target, line, hops)?;
    let (commands, receiver) = mpsc::unbounded_channel();
    let (lost, lost_of) = watch::channel(None);
    let connection = Connection {
        name: target.address(),
        handle: Arc::new(Handle {
            commands: Some(commands),
            waker: waker.clone(),
        }),
        lost: lost_of,
    };
    let owner = Owner {
        session,
        name: target.address(),
        line: handle,
        woken,
        waker,
        commands: receiver,
        keepalive: target.keepalive,
        lost,
        outer,
    };
    Ok((owner, connection))
}

impl Connection {
    /// Starts a command on the machine, by the user's login shell.
    ///
    /// # Cancel safety
    /// Dropped, the command may be started; its channel is closed at once.
    pub(crate) async fn exec(&self, command: &str) -> Result<Process, ExecError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Exec {
            command: command.to_owned(),
            reply,
        };
        self.send(command)?;
        answer.await.unwrap_or_else(|_| Err(ExecError::Lost(self.gone())))
    }

    /// A socket that is joined to an address as the machine sees it.
    async fn forward(&self, host: &str, port: u16) -> Result<UnixStream, ExecError> {
        let pair = UnixStream::pair().and_then(|(ours, theirs)| theirs.set_nonblocking(true).map(|()| (ours, theirs)));
        let (ours, socket) = pair
            .map_err(|e| ExecError::Lost(Error::new(ErrorKind::Io, "cannot make a pair of sockets").with_source(e)))?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Forward {
            host: host.to_owned(),
            port,
            socket,
            reply,
        })?;
        answer.await.unwrap_or_else(|_| Err(ExecError::Lost(self.gone())))?;
        Ok(ours)
    }

    fn send(&self, command: Command) -> Result<(), ExecError> {
        let sent = self
            .handle
            .commands
            .as_ref()
            .is_some_and(|commands| commands.send(command).is_ok());
        if !sent {
            return Err(ExecError::Lost(self.gone()));
        }
        self.handle.waker.wake();
        Ok(())
    }

    fn gone(&self) -> Error {
        let why = self.lost.borrow().clone();
        lost(&self.name, why.as_deref().unwrap_or("it was closed"))
    }

    pub(super) fn downgrade(&self) -> WeakConnection {
        WeakConnection {
            name: self.name.clone(),
            handle: Arc::downgrade(&self.handle),
            lost: self.lost.clone(),
        }
    }

    /// Whether it has ended, as far as is known.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.borrow().is_some() || self.lost.has_changed().is_err()
    }

    /// Waits until the connection has ended, and says why.
    pub(crate) async fn lost(&self) -> Error {
        let mut receiver = self.lost.clone();
        // An error means that the thread is gone, which says the same.
        let _ = receiver.wait_for(Option::is_some).await;
        self.gone()
    }
}

/// That the host in between could not reach the target.
fn through(target: &Target, error: ExecError) -> Error {
    match error {
        ExecError::Lost(error) => error,
        ExecError::Refused(said) => Error::new(
            ErrorKind::Unreachable,
            format!(
                "{} cannot be reached: the host in between says: {said}",
                target.address()
            ),
        )
        .with_retry(Retry::NotApplied { after: None })
        .with_help("look whether the host in between reaches it, and whether its `AllowTcpForwarding` is on"),
    }
}
