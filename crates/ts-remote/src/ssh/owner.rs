//! The thread that owns a session: an event loop over its channels. Nobody else touches the session.

use super::{
    authenticate::{is_lost, number},
    connection::Connection,
    port::{Act, Port, Step, again, stuck_or},
    process::{ExecError, Process, Waker, process},
    pulse::Pulse,
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
    /// The step that must come first.
    stuck: Option<Todo>,
    is_abandoned: bool,
    /// Whether the last turn read from the machine; a channel whose reader holds it up does not.
    reads: bool,
    pulse: Pulse,
    /// Bytes of the machine that wait for us while a step is stuck.
    unread: u64,
}

/// A step of the session.
#[derive(Debug, Clone, Copy)]
enum Todo {
    /// Of the port with this index.
    Act(usize, Act),
    /// Of opening the channel that waits longest.
    Open,
}

/// The steps of one turn, in their order.
#[derive(Debug, Default)]
struct Sweep {
    index: usize,
    act: usize,
    has_opened: bool,
}

impl Sweep {
    /// The next step. Ports that are done go when their last step was made.
    fn next(&mut self, state: &mut State) -> Option<Todo> {
        if self.act == Act::ALL.len() {
            self.act = 0;
            if state.ports[self.index].is_done() {
                state.ports.swap_remove(self.index);
            } else {
                self.index += 1;
            }
        }
        if self.index < state.ports.len() {
            let act = Act::ALL[self.act];
            self.act += 1;
            return Some(Todo::Act(self.index, act));
        }
        let opens = !self.has_opened && !state.waiting.is_empty();
        self.has_opened = true;
        opens.then_some(Todo::Open)
    }
}

impl Owner {
    /// Serves the session until nobody needs it or it is lost.
    pub(crate) fn run(mut self) {
        self.session.set_blocking(false);
        let seconds = u32::try_from(self.keepalive.as_secs()).unwrap_or(u32::MAX).max(1);
        self.session.set_keepalive(true, seconds);
        let mut state = State {
            ports: Vec::new(),
            waiting: VecDeque::new(),
            opened: None,
            stuck: None,
            is_abandoned: false,
            reads: true,
            pulse: Pulse::new(self.keepalive, now()),
            unread: 0,
        };
        let why = loop {
            let unread = ioctl_fionread(&self.line).unwrap_or(0);
            match self.turn(&mut state) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(why) => break why,
            }
            if state.is_abandoned && state.ports.is_empty() && state.waiting.is_empty() {
                let _ = self.session.disconnect(None, "done", None);
                break "the connection was closed".to_owned();
            }
            // A later step may have taken a packet off the line that an earlier one had looked for; nothing would wake us for it.
            let was_read = state.reads && unread > 0;
            if state.stuck.is_none() && (was_read || state.ports.iter().any(Port::has_unread)) {
                continue;
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
    #[inline(never)] // as `step`
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
        // What is stuck comes first; all else begins after it.
        let mut resumed = state.stuck.take();
        let mut sweep = Sweep::default();
        state.reads = !state.waiting.is_empty();
        loop {
            let was_stuck = resumed.is_some();
            let Some(todo) = resumed.take().or_else(|| sweep.next(state)) else {
                return Ok(has_moved);
            };
            let step = self.step(state, todo)?;
            let is_read = matches!(todo, Todo::Act(_, Act::ReadStdout | Act::ReadStderr));
            state.reads |= is_read && step != Step::HeldUp;
            if step == Step::Stuck {
                state.stuck = Some(todo);
                return Ok(has_moved);
            }
            has_moved |= was_stuck || step == Step::Moved;
            // The machine has sent something, or made room for what was stuck. That a write moved says nothing of it.
            if was_stuck || is_read && step == Step::Moved {
                state.pulse.heard(now());
            }
        }
    }

    /// Does one step; called from one place only, and never made a part of its caller.
    ///
    /// libssh2 tells a packet that it is to send on from a new one by the address of its bytes (`transport.c`,
    /// `transport_send_existing`), and some packets, such as the end of the input, lie on its stack. So a step that was stuck
    /// must be repeated at the same depth of the stack, or the connection waits for ever.
    #[inline(never)]
    fn step(&mut self, state: &mut State, todo: Todo) -> Result<Step, String> {
        match todo {
            Todo::Act(index, act) => state.ports[index].act(&self.session, act).map_err(|e| e.to_string()),
            Todo::Open => self.open(state),
        }
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
                Err(error) => {
                    // Dropped here, the channel would be closed out of turn; a port closes it step by step.
                    state.ports.push(Port::of_process(channel, process(&self.waker).1));
                    drop(reply.send(Err(ExecError::Refused(error.message().to_owned()))));
                }
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
            state.pulse.heard(time);
        }
    }

    /// Waits until something can be done, and sees whether the machine still answers.
    fn wait(&mut self, state: &mut State) -> Result<(), String> {
        let time = now();
        self.listen(state, time);
        let is_stuck = state.stuck.is_some();
        // Bytes that nobody would take are left where they are; a channel that is held up is woken by its reader.
        let reads = !is_stuck && state.reads;
        if state.pulse.is_silent(time, reads || is_stuck) {
            return Err(format!("it has not answered for {} s", state.pulse.limit().as_secs()));
        }
        let mut asks = state.pulse.is_due(time) && !is_stuck;
        if asks && self.can_send()? {
            // Asked right before the wait: a fast answer would else be read by a channel in between, and not be noticed.
            asks = false;
            state.pulse.asked(time);
            match self.session.keepalive_send() {
                Err(error) if is_lost(number(&error)) => return Err(error.message().to_owned()),
                _ => {}
            }
        }
        let mut line = PollFlags::RDHUP;
        line.set(PollFlags::IN, reads);
        line.set(PollFlags::OUT, is_stuck || asks);
        let due = state.pulse.until_due(time).max(Duration::from_millis(10));
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
        state.pulse.waited(now());
        if socket_ready {
            let mut bytes = [0; 256];
            while matches!((&self.woken).read(&mut bytes), Ok(n) if n == bytes.len()) {}
        }
        if line_is.contains(PollFlags::IN) {
            state.pulse.heard(now());
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
