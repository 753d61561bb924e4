//! One channel and what it is joined to: the ends of a process, or a socket that is forwarded. Never blocks.
//!
//! libssh2 keeps one packet that was sent in part, and demands that the same call is made again before any other one sends.
//! So a step that is stuck is told apart from one that merely has nothing to do.

use super::process::{Ends, Output};
use bytes::{Buf as _, Bytes};
use rustix::event::PollFlags;
use ssh2::{BlockDirections, Channel, Session};
use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::atomic::Ordering,
};
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

/// Bytes that one read takes.
const PIECE: usize = 64 * 1024;
/// Reads or writes of one channel before another has its turn.
const FAIR: usize = 16;
/// libssh2's `LIBSSH2_ERROR_EAGAIN`.
pub(crate) const AGAIN: i32 = -37;

/// A channel with its ends.
pub(crate) struct Port {
    channel: Channel,
    joined: Joined,
    /// Bytes on their way to the machine.
    outgoing: Bytes,
    /// Whether the end of the input is still to be told.
    input: Input,
    /// Whether the wait for the exit status is stuck.
    is_stuck: bool,
    is_done: bool,
}

enum Joined {
    Process {
        ends: Ends,
        held: Option<Output>,
        has_exited: bool,
    },
    Socket {
        socket: UnixStream,
        incoming: Bytes,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    Ending,
    Ended,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing to do until something happens.
    Idle,
    /// Something was moved.
    Moved,
    /// Only the reader of this channel's output can let it go on.
    HeldUp,
    /// A packet was sent in part: this step comes first, before any other.
    Stuck,
}

/// The steps of a port, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Send,
    ReadStdout,
    ReadStderr,
    Close,
}

impl Act {
    pub(crate) const ALL: [Self; 4] = [Self::Send, Self::ReadStdout, Self::ReadStderr, Self::Close];
}

impl Port {
    pub(crate) fn of_process(channel: Channel, ends: Ends) -> Self {
        let joined = Joined::Process {
            ends,
            held: None,
            has_exited: false,
        };
        Self::new(channel, joined)
    }

    pub(crate) fn of_socket(channel: Channel, socket: UnixStream) -> Self {
        let joined = Joined::Socket {
            socket,
            incoming: Bytes::new(),
        };
        Self::new(channel, joined)
    }

    fn new(channel: Channel, joined: Joined) -> Self {
        Self {
            channel,
            joined,
            outgoing: Bytes::new(),
            input: Input::Open,
            is_stuck: false,
            is_done: false,
        }
    }

    /// Whether bytes wait for a read of this channel, and somebody for them. Asks nobody.
    pub(crate) fn has_unread(&self) -> bool {
        let is_held_up = match &self.joined {
            Joined::Process { held, .. } => held.is_some(),
            Joined::Socket { incoming, .. } => !incoming.is_empty(),
        };
        !is_held_up && !self.is_done && self.channel.read_window().available > 0
    }

    /// Whether both sides are through with it.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// The forwarded socket and what is awaited of it.
    pub(crate) fn awaited(&self) -> Option<(&UnixStream, PollFlags)> {
        let Joined::Socket { socket, incoming } = &self.joined else {
            return None;
        };
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.outgoing.is_empty() && self.input == Input::Open);
        flags.set(PollFlags::OUT, !incoming.is_empty());
        (!flags.is_empty()).then_some((socket, flags))
    }

    /// Does one step. One that was stuck takes the same way through here again, whatever has happened since.
    ///
    /// # Errors
    /// If the connection is gone.
    #[inline(never)] // as the owner's `step`, which says why
    pub(crate) fn act(&mut self, session: &Session, act: Act) -> io::Result<Step> {
        match act {
            Act::Send => Ok(self.send(session)),
            Act::ReadStdout => self.read(session, false),
            Act::ReadStderr => self.read(session, true),
            Act::Close => Ok(self.close(session)),
        }
    }

    #[inline(never)]
    fn send(&mut self, session: &Session) -> Step {
        let mut step = Step::Idle;
        for _ in 0..FAIR {
            if self.outgoing.is_empty() && self.input == Input::Open {
                self.fetch();
            }
            if !self.outgoing.is_empty() {
                match self.channel.write(&self.outgoing) {
                    Ok(n) => self.outgoing.advance(n),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return stuck_or(session, step),
                    Err(_) => {
                        // The process reads no more; whoever writes is told by the closed end.
                        self.outgoing = Bytes::new();
                        self.input = Input::Ended;
                        if let Joined::Process { ends, .. } = &mut self.joined {
                            ends.input.close();
                        }
                        return Step::Moved;
                    }
                }
            } else if self.input == Input::Ending {
                match self.channel.send_eof() {
                    Err(e) if again(&e) => return stuck_or(session, step),
                    _ => self.input = Input::Ended,
                }
            } else {
                return step;
            }
            step = Step::Moved;
        }
        step
    }

    /// Takes the next bytes for the machine from whoever sends.
    fn fetch(&mut self) {
        match &mut self.joined {
            Joined::Process { ends, .. } => match ends.input.try_recv() {
                Ok(bytes) => self.outgoing = bytes,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.input = Input::Ending,
            },
            Joined::Socket { socket, .. } => {
                let mut buffer = vec![0; PIECE];
                match socket.read(&mut buffer) {
                    Ok(0) => self.input = Input::Ending,
                    Ok(n) => {
                        buffer.truncate(n);
                        self.outgoing = buffer.into();
                    }
                    Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                    Err(_) => self.input = Input::Ending,
                }
            }
        }
    }

    #[inline(never)]
    fn read(&mut self, session: &Session, stderr: bool) -> io::Result<Step> {
        let mut step = Step::Idle;
        for _ in 0..FAIR {
            if !self.deliver() {
                return Ok(if step == Step::Moved { step } else { Step::HeldUp });
            }
            let mut buffer = vec![0; PIECE];
            let read = if stderr {
                self.channel.stderr().read(&mut buffer)
            } else {
                self.channel.read(&mut buffer)
            };
            match read {
                Ok(0) => return Ok(step),
                Ok(n) => {
                    buffer.truncate(n);
                    let bytes = Bytes::from(buffer);
                    match &mut self.joined {
                        Joined::Process { held, .. } if stderr => *held = Some(Output::Stderr(bytes)),
                        Joined::Process { held, .. } => *held = Some(Output::Stdout(bytes)),
                        Joined::Socket { incoming, .. } => *incoming = bytes,
                    }
                    step = Step::Moved;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(stuck_or(session, step)),
                Err(e) => return Err(e),
            }
        }
        self.deliver();
        Ok(step)
    }

    /// Hands on what was read; `false` if whoever reads must catch up first.
    fn deliver(&mut self) -> bool {
        match &mut self.joined {
            Joined::Process { ends, held, .. } => {
                let Some(piece) = held.take() else { return true };
                let full = match ends.output.try_send(piece) {
                    Ok(()) | Err(TrySendError::Closed(_)) => return true,
                    Err(TrySendError::Full(piece)) => piece,
                };
                // Said before the second try: a reader that takes a piece after it sees that we wait.
                ends.is_held_up.store(true, Ordering::Release);
                match ends.output.try_send(full) {
                    Ok(()) | Err(TrySendError::Closed(_)) => true,
                    Err(TrySendError::Full(piece)) => {
                        *held = Some(piece);
                        false
                    }
                }
            }
            Joined::Socket { socket, incoming } => {
                while !incoming.is_empty() {
                    match socket.write(incoming) {
                        Ok(n) => incoming.advance(n),
                        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                            return false;
                        }
                        Err(_) => *incoming = Bytes::new(),
                    }
                }
                true
            }
        }
    }

    #[inline(never)]
    fn close(&mut self, session: &Session) -> Step {
        if self.is_done {
            return Step::Idle;
        }
        let is_unwanted = match &self.joined {
            Joined::Process { ends, .. } => ends.output.is_closed() && !self.is_stuck,
            Joined::Socket { .. } => false,
        };
        if !is_unwanted {
            if !self.channel.eof() || !self.deliver() {
                return Step::Idle;
            }
            if let Joined::Socket { socket, .. } = &self.joined {
                let _ = socket.shutdown(std::net::Shutdown::Write);
            }
            if let Joined::Process { held, has_exited, .. } = &mut self.joined
                && !*has_exited
            {
                // The exit status comes before the close.
                if let Err(e) = self.channel.wait_close()
                    && again(&e)
                {
                    let step = stuck_or(session, Step::Idle);
                    self.is_stuck = step == Step::Stuck;
                    return step;
                }
                self.is_stuck = false;
                let by_signal = self
                    .channel
                    .exit_signal()
                    .is_ok_and(|signal| signal.exit_signal.is_some());
                let code = self.channel.exit_status().ok().filter(|_| !by_signal);
                *held = Some(Output::Exited { code });
                *has_exited = true;
                if !self.deliver() {
                    return Step::HeldUp;
                }
            }
        }
        match self.channel.close() {
            Err(e) if again(&e) => stuck_or(session, Step::Idle),
            _ => {
                self.is_done = true;
                Step::Moved
            }
        }
    }
}

/// Whether libssh2 wants to be called again.
pub(crate) fn again(error: &ssh2::Error) -> bool {
    super::authenticate::number(error) == AGAIN
}

/// Stuck if a packet was sent in part, else `step`.
pub(crate) fn stuck_or(session: &Session, step: Step) -> Step {
    match session.block_directions() {
        BlockDirections::Outbound | BlockDirections::Both => Step::Stuck,
        BlockDirections::None | BlockDirections::Inbound => step,
    }
}
