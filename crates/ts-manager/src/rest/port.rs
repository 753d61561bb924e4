//! The port: bound before the experiment starts, so that a busy one is told while nothing is lost by it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
};
use ts_core::{Error, ErrorKind, Result};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing else to say")]
pub struct Listen {
    /// Address of this machine. Anything but the loopback interface needs a token.
    pub address: IpAddr,
    /// Port; 0: any that is free.
    pub port: u16,
    /// What stands before the paths, such as `team/a`; none by default.
    pub prefix: Option<String>,
    /// File with the token; by default one is made where one is needed.
    pub token_file: Option<PathBuf>,
}

impl Listen {
    /// A port of the loopback interface.
    pub fn on_port(port: u16) -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port,
            prefix: None,
            token_file: None,
        }
    }
}

/// A bound port.
#[derive(Debug)]
pub struct Port {
    pub(super) socket: TcpListener,
    pub(super) bound: SocketAddr,
    pub(super) prefix: String,
    pub(super) token_file: Option<PathBuf>,
}

impl Port {
    /// Binds it.
    ///
    /// # Errors
    /// `Conflict` with a busy port; `Config` with an address that is not this machine's or a prefix that is none; `Denied`, `Io`.
    pub fn bind(listen: &Listen) -> Result<Self> {
        let wanted = SocketAddr::new(listen.address, listen.port);
        let prefix = prefix(listen.prefix.as_deref().unwrap_or_default())?;
        let open = || {
            let socket = TcpListener::bind(wanted)?;
            socket.set_nonblocking(true)?;
            let bound = socket.local_addr()?;
            Ok((socket, bound))
        };
        let (socket, bound) = open().map_err(|e| Error::listen(wanted, e))?;
        Ok(Self {
            socket,
            bound,
            prefix,
            token_file: listen.token_file.clone(),
        })
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.bound
    }
}

/// A prefix without slashes around it.
fn prefix(text: &str) -> Result<String> {
    let text = text.trim_matches('/');
    let is_plain =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b));
    if text.is_empty()
        || text
            .split('/')
            .all(|part| is_plain(part) && !part.starts_with('.') && part != "api")
    {
        return Ok(text.to_owned());
    }
    Err(Error::new(
        ErrorKind::Config,
        format!("`{}` is no prefix of addresses", text.escape_debug()),
    )
    .with_help("write words of letters, digits, `-`, `_`, `.` and `~` with slashes between them, none of them `api`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_a_conflict_with_a_remedy() {
        let taken = Port::bind(&Listen::on_port(0)).unwrap();
        let error = Port::bind(&Listen::on_port(taken.address().port())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(
            error.help().is_some_and(|help| help.contains("another port")),
            "{error:?}"
        );
    }

    #[test]
    fn prefixes_are_plain_words() {
        assert_eq!(prefix("/a/b-1/").unwrap(), "a/b-1");
        assert_eq!(prefix("/").unwrap(), "");
        for bad in ["a b", "{x}", "../a", "a//b", "api", "a/api", "*"] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
    }
}
