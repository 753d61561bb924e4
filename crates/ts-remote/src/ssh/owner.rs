//! The thread that owns a session: an event loop over its channels. Nobody else touches the session.

use super::{
    authenticate::{is_lost, number},
    connection::Connection,
    port::{Act, Port, Step, again, stuck_or},
    process::{ExecError, Process, Waker, process},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::ioctl_fionread,
    time::{ClockId, clock_gettime},
};
use ssh2::{Channel, Session};
use std::{
    collections::VecDeque,
    io::Read as _,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot, watch,
};
use ts_core::{Error, ErrorKind, Retry};

/// Signs of life that may be missing before the connection counts as lost.
const MISSED: u32 = 3;
/// Bytes that the machine may send before we have taken them.
const WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes of a packet that we take.
const PACKET: u32 = 32 * 1024;

/// What is asked of the thread.
pub(crate) enum Command {
    Exec {
        command: String,
        reply: oneshot::Sender<Result<Process, ExecError>>,
    },
    Forward {
        host: String,
        port: u16,
        socket: UnixStream,
        reply: oneshot::Sender<Result<(), ExecError>>,
    },
}

/// A session with all that it serves.
pub(crate) struct Owner {
    pub(crate) session: Session,
    pub(crate) name: String,
    /// The socket below the session, to wait for.
    pub(crate) line: OwnedFd,
    pub(crate) woken: UnixStream,
    pub(crate) waker: Waker,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) keepalive: Duration,
    /// Said once, when the connection ends.
    pub(crate) lost: watch::Sender<Option<String>>,
    /// The connection to the host through which this one goes.
    pub(crate) outer: Option<Connection>,
}

struct State {
    ports: Vec<Port>,
    waiting: VecDeque<Command>,
    /// A channel that is open and whose command is not started yet.
    opened: Option<Channel>,
    /// The step that must come first: a port's, or the opening of a channel.
    stuck: Option<(Option<usize>, Act)>,
    is_abandoned: bool,
    /// Whether the last turn read from the machine; a channel whose reader holds it up does not.
    reads: bool,
    heard: Duration,
    asked: Duration,
    /// Bytes of the machine that wait for us while a step is stuck.
    unread: u64,
}

impl Owner {
    /// Serves the session until nobody needs it or it is lost.
    pub(crate) fn run(mut self) {
        self.session.set_blocking(false);
        let seconds = u32::try_from(self.keepalive.as_secs()).unwrap_or(u32::MAX).max(1);
        self.session.set_keepalive(true, seconds);
        let now = now();
        let mut state = State {
            ports: Vec::new(),
            waiting: VecDeque::new(),
            opened: None,
            stuck: None,
            is_abandoned: false,
            reads: true,
            heard: now,
            asked: now,
            unread: 0,
        };
        let why = loop {
            match self.turn(&mut state) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(why) => break why,
            }
            if state.is_abandoned && state.ports.is_empty() && state.waiting.is_empty() {
                let _ = self.session.disconnect(None, "done", None);
                break "the connection was closed".to_owned();
            }
            if let Err(why) = self.wait(&mut state) {
                break why;
            }
        };
        for command in state.waiting {
            refuse(command, ExecError::Lost(lost(&self.name, &why)));
        }
        self.lost.send_replace(Some(why));
        // Readers of its processes see the end by the ends that go with the ports.
        drop(state.ports);
        drop(self.outer);
    }

    /// Does what can be done now; `true` if anything was.
    fn turn(&mut self, state: &mut State) -> Result<bool, String> {
        let mut has_moved = false;
        loop {
            match self.commands.try_recv() {
                Ok(command) => state.waiting.push_back(command),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    state.is_abandoned = true;
                    break;
                }
            }
        }
        if let Some((port, act)) = state.stuck.take() {
            let step = match port {
                Some(index) => self.act(state, index, act)?,
                None => self.open(state)?,
            };
            if step == Step::Stuck {
                state.stuck = Some((port, act));
                return Ok(false);
            }
            state.heard = now();
            has_moved = true;
        }
        let mut index = 0;
        state.reads = !state.waiting.is_empty();
        while index < state.ports.len() {
            for act in Act::ALL {
                let step = self.act(state, index, act)?;
                let is_read = matches!(act, Act::ReadStdout | Act::ReadStderr);
                state.reads |= is_read && step != Step::HeldUp;
                if is_read && step == Step::Moved {
                    state.heard = now();
                }
                match step {
                    Step::Stuck => {
                        state.stuck = Some((Some(index), act));
                        return Ok(has_moved);
                    }
                    Step::Moved => has_moved = true,
                    Step::Idle | Step::HeldUp => {}
                }
            }
            if state.ports[index].is_done() {
                state.ports.swap_remove(index);
            } else {
                index += 1;
            }
        }
        if !state.waiting.is_empty() {
            match self.open(state)? {
                Step::Stuck => state.stuck = Some((None, Act::Send)),
                Step::Moved => has_moved = true,
                Step::Idle | Step::HeldUp => {}
            }
        }
        Ok(has_moved)
    }

    fn act(&self, state: &mut State, index: usize, act: Act) -> Result<Step, String> {
        state.ports[index].act(&self.session, act).map_err(|e| e.to_string())
    }

    /// Opens the channel of the oldest command, step by step.
    fn open(&mut self, state: &mut State) -> Result<Step, String> {
        let Some(command) = state.waiting.front() else {
            return Ok(Step::Idle);
        };
        if let (Some(channel), Command::Exec { command, .. }) = (&mut state.opened, command) {
            let started = channel.exec(command);
            if let Err(error) = &started
                && again(error)
            {
                return Ok(stuck_or(&self.session, Step::Idle));
            }
            let channel = state.opened.take();
            let (Some(channel), Some(Command::Exec { reply, .. })) = (channel, state.waiting.pop_front()) else {
                return Ok(Step::Idle);
            };
            match started {
                Ok(()) => {
                    let (process, ends) = process(&self.waker);
                    state.ports.push(Port::of_process(channel, ends));
                    // Nobody waits any more: the process is dropped, and its channel closed.
                    drop(reply.send(Ok(process)));
                }
                Err(error) if is_lost(number(&error)) => return Err(error.message().to_owned()),
                Err(error) => drop(reply.send(Err(ExecError::Refused(error.message().to_owned())))),
            }
            return Ok(Step::Moved);
        }
        let opened = match command {
            Command::Exec { .. } => self.session.channel_open("session", WINDOW, PACKET, None),
            Command::Forward { host, port, .. } => self.session.channel_direct_tcpip(host, *port, None),
        };
        match opened {
            Err(error) if again(&error) => return Ok(stuck_or(&self.session, Step::Idle)),
            Err(error) if is_lost(number(&error)) => return Err(error.message().to_owned()),
            Err(error) => {
                if let Some(command) = state.waiting.pop_front() {
                    refuse(command, ExecError::Refused(error.message().to_owned()));
                }
            }
            Ok(channel) => match state.waiting.pop_front() {
                Some(Command::Forward { socket, reply, .. }) => {
                    state.ports.push(Port::of_socket(channel, socket));
                    drop(reply.send(Ok(())));
                }
                Some(command) => {
                    state.waiting.push_front(command);
                    state.opened = Some(channel);
                }
                None => {}
            },
        }
        Ok(Step::Moved)
    }

    /// Sees a sign of life in bytes that cannot be read yet: on a slow link a packet may be stuck for longer than the machine
    /// may be silent, and all the while the machine says how much it has taken.
    fn listen(&self, state: &mut State, time: Duration) {
        if state.stuck.is_none() {
            state.unread = 0;
        } else if let Ok(unread) = ioctl_fionread(&self.line)
            && unread != state.unread
        {
            state.unread = unread;
            state.heard = time;
        }
    }

    /// Waits until something can be done, and sees whether the machine still answers.
    fn wait(&mut self, state: &mut State) -> Result<(), String> {
        let time = now();
        self.listen(state, time);
        let limit = self.keepalive * (MISSED + 1);
        if time.saturating_sub(state.heard) > limit {
            return Err(format!("it has not answered for {} s", limit.as_secs()));
        }
        let is_stuck = state.stuck.is_some();
        // Bytes that nobody would take are left where they are; a channel that is held up is woken by its reader.
        let reads = !is_stuck && state.reads;
        if !reads && !is_stuck {
            state.heard = time; // nobody listens
        }
        let mut asks = time.saturating_sub(state.asked) >= self.keepalive && !is_stuck;
        if asks && self.can_send()? {
            // Asked right before the wait: a fast answer would else be read by a channel in between, and not be noticed.
            asks = false;
            state.asked = time;
            match self.session.keepalive_send() {
                Err(error) if is_lost(number(&error)) => return Err(error.message().to_owned()),
                _ => {}
            }
        }
        let mut line = PollFlags::RDHUP;
        line.set(PollFlags::IN, reads);
        line.set(PollFlags::OUT, is_stuck || asks);
        let due = (state.asked + self.keepalive)
            .saturating_sub(time)
            .max(Duration::from_millis(10));
        let (line_is, socket_ready) = {
            let sockets = state.ports.iter().filter_map(Port::awaited);
            let mut fds = vec![PollFd::new(&self.line, line), PollFd::new(&self.woken, PollFlags::IN)];
            fds.extend(sockets.map(|(socket, flags)| PollFd::new(socket, flags)));
            let timeout = Timespec::try_from(due).map_err(|e| e.to_string())?;
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.to_string()),
            }
            (fds[0].revents(), fds[1].revents().contains(PollFlags::IN))
        };
        if socket_ready {
            let mut bytes = [0; 256];
            while matches!((&self.woken).read(&mut bytes), Ok(n) if n == bytes.len()) {}
        }
        if line_is.contains(PollFlags::IN) {
            state.heard = now();
        }
        if line_is.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::RDHUP) && !reads {
            return Err("the machine closed it".to_owned());
        }
        Ok(())
    }

    /// Whether a small packet goes out whole.
    fn can_send(&self) -> Result<bool, String> {
        let mut fds = [PollFd::new(&self.line, PollFlags::OUT)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(fds[0].revents().contains(PollFlags::OUT)),
            Err(e) => Err(e.to_string()),
        }
    }
}

fn refuse(command: Command, error: ExecError) {
    match command {
        Command::Exec { reply, .. } => drop(reply.send(Err(error))),
        Command::Forward { reply, .. } => drop(reply.send(Err(error))),
    }
}

/// That a connection is gone.
pub(crate) fn lost(name: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!("the connection to {name} is lost: {why}"),
    )
    .with_retry(Retry::NotApplied { after: None })
}

/// Time that never goes backwards. The thread waits for sockets, not on `Ctx::clock`.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
