//! Ports of this machine that are kept for a test.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::net::TcpSocket;

/// A port of the loopback interface that nobody is given while this lives.
///
/// Who connects to it is refused, until somebody asks for this very port and listens there: with `SO_REUSEADDR`, as listeners of
/// std and tokio do. It can go and come back as often as it likes. Source: Linux, `inet_csk_bind_conflict` in
/// `net/ipv4/inet_connection_sock.c`: two sockets that reuse addresses share a port as long as one of them does not listen, but no
/// port that is in use so is given to who asks for any.
#[derive(Debug)]
pub struct ReservedPort {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl ReservedPort {
    /// Reserves a port.
    ///
    /// # Errors
    /// If none is free.
    pub fn new() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = socket.local_addr()?;
        Ok(Self {
            _socket: socket,
            address,
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn it_refuses_until_somebody_listens_and_again_afterwards() {
        let port = ReservedPort::new().expect("a port");
        for _ in 0..2 {
            let refused = TcpStream::connect(port.address()).await.expect_err("nobody listens");
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = TcpListener::bind(port.address()).await.expect("ours");
            TcpStream::connect(port.address()).await.expect("it listens");
            drop(listener);
        }
    }
}
