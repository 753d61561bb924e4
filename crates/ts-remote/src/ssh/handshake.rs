//! From a byte stream to a session that may be used: key exchange, host key, authentication. Blocking, with limits.

use super::{
    authenticate::{self, authenticate},
    connection::Hops,
    dial::{Line, milliseconds},
    known_hosts,
    target::Target,
};
use ssh2::{MethodType, Session};
use ts_core::{Error, ErrorKind, FindingState, Result, Retry};

/// Ciphers in our order: those that the machine's instructions speed up, then the others.
const CIPHERS: &str = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,\
                       chacha20-poly1305@openssh.com";

/// Makes a session on `line`.
pub(crate) fn handshake(target: &Target, line: Line, hops: &mut Hops) -> Result<Session> {
    let address = target.address();
    let internal = |error: ssh2::Error| {
        Error::new(
            ErrorKind::Internal,
            format!("cannot make an SSH session: {}", error.message()),
        )
    };
    let mut session = Session::new().map_err(internal)?;
    session.set_timeout(milliseconds(target.connect_timeout));
    let known = known_hosts::lines(&session, target);
    for (method, order) in [
        (MethodType::HostKey, known_hosts::preferred_algorithms(&session, &known)),
        (MethodType::CryptCs, Some(CIPHERS.to_owned())),
        (MethodType::CryptSc, Some(CIPHERS.to_owned())),
    ] {
        if let Some(order) = order
            && let Err(error) = session.method_pref(method, &order)
        {
            tracing::debug!(%error, "an order of algorithms is not taken");
        }
    }
    session.set_tcp_stream(line);
    if let Err(error) = session.handshake() {
        let help = match authenticate::number(&error) {
            -5 | -8 => "the server shares no algorithm with us, or speaks no SSH; `ssh -vv` shows what it offers",
            -9 => "the machine accepted the connection and then said nothing; it may be overloaded",
            _ => {
                "the server closed the connection: look at its log, at `MaxStartups`, and whether this port speaks SSH"
            }
        };
        let failed = Error::new(
            ErrorKind::Unreachable,
            format!("key exchange with {address} failed: {}", error.message()),
        )
        .with_retry(Retry::NotApplied { after: None })
        .with_help(help);
        return Err(hops.failed("key exchange", failed));
    }
    let method = |kind| session.methods(kind).unwrap_or("?");
    hops.add(
        "key exchange",
        FindingState::Good,
        format!(
            "{}, {}, {}",
            session.banner().unwrap_or("SSH"),
            method(MethodType::Kex),
            method(MethodType::CryptCs)
        ),
    );
    let Some((key, _)) = session.host_key() else {
        return Err(hops.failed(
            "host key",
            Error::new(ErrorKind::Protocol, format!("{address} shows no host key")),
        ));
    };
    let said = known_hosts::check(target, &known, key).map_err(|error| hops.failed("host key", error))?;
    hops.add("host key", FindingState::Good, said);
    authenticate(&session, target, hops)?;
    Ok(session)
}
