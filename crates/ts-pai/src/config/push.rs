//! Reads `push`: where trials push what they write, where the manager has no mount.

use crate::push::{PATIENCE, Push};
use std::net::SocketAddr;
use ts_core::{config::Section, http::Url};

/// `None` beside a problem only. `manager`: NNI's `nniManagerIp`.
pub(super) fn read(s: &mut Section<'_>, manager: Option<&str>) -> Option<Push> {
    let listen = listen(s);
    let address = address(s, manager, listen);
    if !s.has("patience") {
        s.note_default("patience", "1h");
    }
    Some(Push {
        listen: listen?,
        address: address?,
        patience: s.duration("patience").unwrap_or(PATIENCE),
    })
}

fn listen(s: &mut Section<'_>) -> Option<SocketAddr> {
    let text = s.required_string("listen");
    if text.is_empty() {
        return None;
    }
    let listen = text.trim().parse().ok();
    if listen.is_none() {
        s.problem(
            "listen",
            format!("`{}` is no address and port", text.escape_debug()),
            "write such as `0.0.0.0:8188`, or `10.0.0.5:0` for any port that is free",
        );
    }
    listen
}

fn address(s: &mut Section<'_>, manager: Option<&str>, listen: Option<SocketAddr>) -> Option<Url> {
    let Some(text) = s.string("address") else {
        let own = listen.map(|listen| listen.ip()).filter(|ip| !ip.is_unspecified());
        let host = match (manager, own) {
            (Some(host), _) => host.to_owned(),
            (None, Some(ip)) if ip.is_ipv6() => format!("[{ip}]"),
            (None, Some(ip)) => ip.to_string(),
            (None, None) => {
                if listen.is_some() {
                    s.problem(
                        "address",
                        "containers are to be told an address of this machine",
                        "add `nniManagerIp: …`, or `address: http://…` to `push`",
                    );
                }
                return None;
            }
        };
        return Url::parse(&format!("http://{host}")).ok();
    };
    let url = Url::parse(text.trim()).ok().filter(|url| {
        url.has_host()
            && matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        s.problem(
            "address",
            format!("`{}` is no address of a server", text.escape_debug()),
            "write such as `http://10.0.0.5:8188`, or that of a proxy such as `https://push.example.org/nni`",
        );
    }
    url
}
