//! The byte stream below a session: TCP, a channel of a jump host, or the input and output of a command.

use super::{connection::Hops, target::Target};
use std::{
    io,
    net::{TcpStream, ToSocketAddrs as _},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
    time::Duration,
};
use ts_core::{Error, ErrorKind, FindingState, Result, Retry};

/// A stream that a session runs on.
#[derive(Debug)]
pub(crate) enum Line {
    Tcp(TcpStream),
    Channel(UnixStream),
    /// The command ends with the stream.
    Command(UnixStream, Child),
}

impl AsRawFd for Line {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Channel(stream) | Self::Command(stream, _) => stream.as_raw_fd(),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Self::Command(stream, child) = self {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Line {
    /// A second handle, to wait for it.
    pub(crate) fn handle(&self) -> io::Result<OwnedFd> {
        Ok(match self {
            Self::Tcp(stream) => stream.try_clone()?.into(),
            Self::Channel(stream) | Self::Command(stream, _) => stream.try_clone()?.into(),
        })
    }
}

/// A stream to the target's own address.
pub(crate) fn dial(target: &Target, hops: &mut Hops) -> Result<Line> {
    if let Some(command) = &target.proxy_command {
        return run(target, command, hops);
    }
    let address = target.address();
    let unreachable = |message: String, help: &str| {
        Error::new(ErrorKind::Unreachable, message)
            .with_retry(Retry::NotApplied { after: None })
            .with_help(help.to_owned())
    };
    let addresses = (target.host.as_str(), target.port).to_socket_addrs();
    let addresses: Vec<_> = match addresses {
        Ok(found) => found.collect(),
        Err(e) => {
            return Err(hops.failed(
                "name",
                unreachable(
                    format!("cannot find the address of `{}` for {address}: {e}", target.host),
                    "mend the name, or write `HostName` for it into the SSH configuration",
                ),
            ));
        }
    };
    let shown: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
    hops.add(
        "name",
        FindingState::Good,
        format!("`{}` is {}", target.host, shown.join(", ")),
    );
    let mut last = None;
    for socket in &addresses {
        match TcpStream::connect_timeout(socket, target.connect_timeout) {
            Ok(stream) => {
                // Requests are small and wait for nobody.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "small packets may be held back");
                }
                hops.add("TCP", FindingState::Good, format!("connected to {socket}"));
                return Ok(Line::Tcp(stream));
            }
            Err(error) => last = Some((socket, error)),
        }
    }
    let error = match last {
        None => unreachable(format!("`{}` has no address", target.host), "mend the name"),
        Some((socket, error)) => {
            let help = match error.kind() {
                io::ErrorKind::ConnectionRefused => "start `sshd` there, or mend the port",
                io::ErrorKind::TimedOut => "look whether the machine is on, and for a firewall in between",
                _ => "look at the network between here and there",
            };
            unreachable(format!("cannot connect to {address} ({socket}): {error}"), help).with_source(error)
        }
    };
    Err(hops.failed("TCP", error))
}

/// The user's own command as the way to the machine.
fn run(target: &Target, command: &str, hops: &mut Hops) -> Result<Line> {
    let start = || -> io::Result<Line> {
        let (ours, theirs) = UnixStream::pair()?;
        let input: OwnedFd = theirs.try_clone()?.into();
        let output: OwnedFd = theirs.into();
        let child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Line::Command(ours, child))
    };
    match start() {
        Ok(line) => {
            hops.add("ProxyCommand", FindingState::Good, format!("`{command}` runs"));
            Ok(line)
        }
        Err(error) => Err(hops.failed(
            "ProxyCommand",
            Error::new(
                ErrorKind::Unreachable,
                format!("cannot run the `ProxyCommand` for {}: {error}", target.address()),
            )
            .with_source(error),
        )),
    }
}

/// The limit of one step, as libssh2 takes it.
pub(crate) fn milliseconds(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1)
}
