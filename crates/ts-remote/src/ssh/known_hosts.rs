//! Known hosts: which keys the user trusts for a name, and what to do with a key that is new.
//!
//! Source: sshd(8) of OpenSSH 9.2, SSH_KNOWN_HOSTS FILE FORMAT. Lines of certificate authorities are passed over.

use super::{patterns, target::Target};
use crate::config::HostKeyPolicy;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use sha2::{Digest as _, Sha256};
use ssh2::{CheckResult, KnownHostFileKind, Session};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use ts_core::{Error, ErrorKind, Result};

/// A line that is about our host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) file: PathBuf,
    pub(crate) number: usize,
    pub(crate) is_revoked: bool,
    /// Whether it names the host without the port: it may vouch for a key, and says nothing against one.
    pub(crate) is_without_port: bool,
    /// Such as `ssh-ed25519`.
    pub(crate) key_type: String,
    key: String,
}

/// The lines about this target.
pub(crate) fn lines(session: &Session, target: &Target) -> Vec<Line> {
    let mut found = Vec::new();
    for file in &target.known_hosts {
        let text = match fs::read(file) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            // OpenSSH passes over what it cannot read; a key that is not found in other files is unknown.
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "known hosts cannot be read and are passed over");
                continue;
            }
        };
        for (index, line) in text.lines().enumerate() {
            let about = |name: &str| line_about(session, line, name);
            let (is_without_port, about) = match (about(&target.key_name), &target.portless_key_name) {
                (None, Some(name)) => (true, about(name)),
                (exact, _) => (false, exact),
            };
            found.extend(about.map(|(is_revoked, key_type, key)| Line {
                file: file.clone(),
                number: index + 1,
                is_revoked,
                is_without_port,
                key_type,
                key,
            }));
        }
    }
    found
}

fn line_about(session: &Session, line: &str, name: &str) -> Option<(bool, String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (is_revoked, line) = match line.strip_prefix('@') {
        Some(marked) => {
            let (kind, rest) = marked.split_once(char::is_whitespace)?;
            if kind != "revoked" {
                return None;
            }
            (true, rest.trim_start())
        }
        None => (false, line),
    };
    let mut fields = line.split_whitespace();
    let (hosts, key_type, key) = (fields.next()?, fields.next()?, fields.next()?);
    let applies = if hosts.starts_with('|') {
        hashed_matches(session, line, name)
    } else {
        // The name is in lower case; the case of patterns does not count.
        patterns::matches_list(hosts.to_lowercase().split(','), name)
    };
    applies.then(|| (is_revoked, key_type.to_owned(), key.to_owned()))
}

/// Whether a line with a hashed name is about `name`: libssh2 knows the hash, and any other key makes a mismatch.
fn hashed_matches(session: &Session, line: &str, name: &str) -> bool {
    let Ok(mut known) = session.known_hosts() else {
        return false;
    };
    known.read_str(line, KnownHostFileKind::OpenSSH).is_ok()
        && matches!(known.check(name, b"no key"), CheckResult::Mismatch | CheckResult::Match)
}

/// Host key algorithms in an order that offers the known keys first, so that a known key is not missed for another.
pub(crate) fn preferred_algorithms(session: &Session, lines: &[Line]) -> Option<String> {
    let supported = session.supported_algs(ssh2::MethodType::HostKey).ok()?;
    let is_known = |algorithm: &str| {
        lines
            .iter()
            .filter(|line| !line.is_revoked)
            .any(|line| line.key_type == algorithm || line.key_type == "ssh-rsa" && algorithm.starts_with("rsa-sha2-"))
    };
    let (known, others): (Vec<&str>, Vec<&str>) = supported.into_iter().partition(|algorithm| is_known(algorithm));
    (!known.is_empty()).then(|| [known, others].concat().join(","))
}

/// Checks the key that the server has shown; says for people what was found.
///
/// # Errors
/// `Denied` for a changed, revoked, or by policy unknown key.
pub(crate) fn check(target: &Target, lines: &[Line], key: &[u8]) -> Result<String> {
    let key_type = key_type(key);
    let text = STANDARD.encode(key);
    let shown = format!("{key_type} {}", fingerprint(key));
    let refused = |message: String| Error::new(ErrorKind::Denied, message).with_context("host", target.address());
    let address = target.address();
    if let Some(line) = lines.iter().find(|line| line.is_revoked && line.key == text) {
        return Err(refused(format!(
            "host key of {address}: {shown} is revoked by `{}` line {}",
            line.file.display(),
            line.number
        ))
        .with_help("do not connect: ask whoever runs the machine"));
    }
    let trusted = lines.iter().filter(|line| !line.is_revoked);
    let mut exact = trusted.clone().filter(|line| !line.is_without_port);
    let known = exact.clone().find(|line| line.key == text);
    // As OpenSSH: where nothing is known of the port, the host's key of another port will do, if it is the same.
    let known = known.or_else(|| {
        trusted
            .clone()
            .find(|line| line.key == text && exact.clone().next().is_none())
    });
    if let Some(line) = known {
        return Ok(format!(
            "{shown}, known by `{}` line {}",
            line.file.display(),
            line.number
        ));
    }
    if let Some(line) = exact
        .clone()
        .find(|line| line.key_type == key_type)
        .or_else(|| exact.next())
    {
        let known = STANDARD
            .decode(&line.key)
            .map_or_else(|_| "another key".to_owned(), |key| fingerprint(&key));
        return Err(refused(format!(
            "host key of {address} has changed: it shows {shown}, and `{}` line {} has {} {known}; somebody may be listening in",
            line.file.display(),
            line.number,
            line.key_type,
        ))
        .with_help(format!(
            "if the machine was reinstalled, remove the old key with `ssh-keygen -f {} -R '{}'`, then look at the new one",
            line.file.display(),
            target.key_name
        )));
    }
    match target.policy {
        HostKeyPolicy::Off => Ok(format!("{shown}, not checked: the policy is `off`")),
        HostKeyPolicy::AcceptNew => {
            let file = target.new_keys.as_ref().ok_or_else(|| {
                refused(format!("host key of {address}: there is no known-hosts file to add {shown} to"))
                    .with_help("set `HOME`, or `UserKnownHostsFile` in the SSH configuration")
            })?;
            add(file, &target.key_name, &key_type, &text).map_err(|e| Error::io("add a host key to", file, e))?;
            Ok(format!("{shown}, new and added to `{}`", file.display()))
        }
        HostKeyPolicy::Strict => Err(refused(format!(
            "host key of {address} is not known: it shows {shown}"
        ))
        .with_key("machineList[].hostKeyPolicy")
        .with_help(format!(
            "connect once by hand (`ssh {}`) and compare the fingerprint, or trust keys on first contact with `hostKeyPolicy: acceptNew`",
            target.name
        ))),
    }
}

/// Adds a line in one write, so that several machines may be added at once.
fn add(file: &Path, name: &str, key_type: &str, key: &str) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.exists()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options.create(true).append(true).read(true).mode(0o600).open(file)?;
    file.write_all(format!("{name} {key_type} {key}\n").as_bytes())
}

/// The type that a key names itself with.
pub(crate) fn key_type(key: &[u8]) -> String {
    let length = key.first_chunk::<4>().map_or(0, |n| u32::from_be_bytes(*n) as usize);
    let name = key.get(4..4 + length.min(64)).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// As `ssh` shows it.
pub(crate) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
