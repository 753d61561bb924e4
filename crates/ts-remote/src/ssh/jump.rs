//! `ProxyJump`: a chain of hosts as it is written.

/// A host of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JumpHost {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

/// Reads `user@host:port,…`, in the order in which the hosts are passed; `None` if it is not written so.
pub(crate) fn chain(text: &str) -> Option<Vec<JumpHost>> {
    let hosts = text.split(',').map(str::trim).filter(|hop| !hop.is_empty());
    hosts.map(host).collect()
}

fn host(text: &str) -> Option<JumpHost> {
    let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (rest, None),
        },
    };
    let port = match port.map(str::parse) {
        None => None,
        Some(Ok(port)) => Some(port),
        Some(Err(_)) => return None,
    };
    (!host.is_empty()).then(|| JumpHost {
        user,
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_ports_and_addresses_of_both_kinds_are_told_apart() {
        let read = |text| {
            let hosts = chain(text)?.into_iter();
            Some(hosts.map(|hop| (hop.user, hop.host, hop.port)).collect::<Vec<_>>())
        };
        let hop = |user: Option<&str>, host: &str, port| (user.map(str::to_owned), host.to_owned(), port);
        assert_eq!(
            read("a, me@b:2222,[::1]:33,ssh://c@d@[fe80::1]/"),
            Some(vec![
                hop(None, "a", None),
                hop(Some("me"), "b", Some(2222)),
                hop(None, "::1", Some(33)),
                hop(Some("c@d"), "fe80::1", None),
            ])
        );
        assert_eq!(read("a:ssh"), None);
        assert_eq!(read("me@"), None);
    }
}
