//! A network between containers and the manager that loses what it is told to.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Passed,
    /// The connection ends before anything gets through.
    Refused,
    /// The request is cut in its last bytes.
    HalfRequest,
    /// The manager does it, and the answer is lost.
    LostAnswer,
    /// The answer is cut in its last bytes.
    HalfAnswer,
}

/// Passes requests on to a port, each with the next of its fates.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// How many requests came.
    pub(crate) count: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    #[expect(clippy::disallowed_methods, reason = "the task ends with the proxy")]
    pub(crate) async fn start(to: SocketAddr, fates: &'static [Fate]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let n = counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let _ = pass(stream, to, fates[n % fates.len()]).await;
                });
            }
        });
        Self { address, count, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr, fate: Fate) -> std::io::Result<()> {
    if fate == Fate::Refused {
        return Ok(());
    }
    let mut request = Vec::new();
    while !is_whole(&request) {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let mut server = TcpStream::connect(to).await?;
    if fate == Fate::HalfRequest {
        return server.write_all(&request[..request.len() - 2]).await;
    }
    server.write_all(&request).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    match fate {
        Fate::LostAnswer => Ok(()),
        Fate::HalfAnswer => client.write_all(&answer[..answer.len().saturating_sub(2)]).await,
        _ => client.write_all(&answer).await,
    }
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    request.len() >= end + 4 + length
}
