//! A process on a machine as its three channels, and what keeps them moving: every end can wake the thread that serves it.

use bytes::Bytes;
use std::{
    io::Write as _,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;
use ts_core::Error;

/// Pieces of output that wait for their reader before the machine is made to wait.
const OUTPUT_PIECES: usize = 64;
/// Pieces of input that wait for the machine before their writer is made to wait.
const INPUT_PIECES: usize = 16;

/// A process on a machine. Dropped, its channel is closed.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) stdin: Stdin,
    pub(crate) output: OutputReader,
}

/// What a process says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
    /// It has ended; the last piece. Without it the connection was lost.
    Exited {
        code: Option<i32>,
    },
}

/// Why there is no process.
#[derive(Debug)]
pub(crate) enum ExecError {
    /// The server allows no further channel on this connection.
    Refused(String),
    /// The connection is gone.
    Lost(Error),
}

/// Input of a process. Dropped, the process reads the end of its input.
#[derive(Debug)]
pub(crate) struct Stdin {
    pieces: mpsc::Sender<Bytes>,
    waker: Waker,
}

/// The process reads no more.
#[derive(Debug)]
pub(crate) struct Closed;

impl Stdin {
    /// Hands a piece over; waits while too much is on its way.
    ///
    /// # Cancel safety
    /// Dropped, the piece was handed over whole or not at all.
    pub(crate) async fn write(&self, bytes: Bytes) -> Result<(), Closed> {
        self.pieces.send(bytes).await.map_err(|_| Closed)?;
        self.waker.wake();
        Ok(())
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        // The end of the input is seen by looking, so the sender must be gone before the look.
        let (pieces, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.pieces, pieces));
        self.waker.wake();
    }
}

/// Output of a process.
#[derive(Debug)]
pub(crate) struct OutputReader {
    pieces: mpsc::Receiver<Output>,
    is_held_up: Arc<AtomicBool>,
    waker: Waker,
}

impl OutputReader {
    /// The next piece; `None` once the process has ended or the connection is lost.
    pub(crate) async fn recv(&mut self) -> Option<Output> {
        let piece = self.pieces.recv().await;
        if self.is_held_up.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
        piece
    }
}

impl Drop for OutputReader {
    fn drop(&mut self) {
        self.pieces.close();
        self.waker.wake();
    }
}

/// The side of a process that the connection's thread holds.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) input: mpsc::Receiver<Bytes>,
    pub(crate) output: mpsc::Sender<Output>,
    pub(crate) is_held_up: Arc<AtomicBool>,
}

/// A process and the ends that serve it.
pub(crate) fn process(waker: &Waker) -> (Process, Ends) {
    let (to_input, input) = mpsc::channel(INPUT_PIECES);
    let (output, pieces) = mpsc::channel(OUTPUT_PIECES);
    let is_held_up = Arc::new(AtomicBool::new(false));
    let process = Process {
        stdin: Stdin {
            pieces: to_input,
            waker: waker.clone(),
        },
        output: OutputReader {
            pieces,
            is_held_up: Arc::clone(&is_held_up),
            waker: waker.clone(),
        },
    };
    (
        process,
        Ends {
            input,
            output,
            is_held_up,
        },
    )
}

/// Wakes the thread that waits at the other end of a pair of sockets.
#[derive(Debug, Clone)]
pub(crate) struct Waker {
    socket: Arc<UnixStream>,
}

impl Waker {
    /// The waker and the socket that becomes readable.
    pub(crate) fn new() -> std::io::Result<(Self, UnixStream)> {
        let (socket, woken) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let socket = Arc::new(socket);
        Ok((Self { socket }, woken))
    }

    /// A full socket wakes as well, and a closed one has nobody behind it.
    pub(crate) fn wake(&self) {
        let _ = (&*self.socket).write(&[1]);
    }
}
