//! Key files as identities: the public keys they stand for, which can be told without opening a private key.
//!
//! Sources: `PROTOCOL.key` of OpenSSH 9.2, and sshd(8), AUTHORIZED_KEYS FILE FORMAT.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The public keys of a key file, as agents and servers name them: its own first, then those that lie beside it.
///
/// Its own is in the file, encrypted or not; only of PEM files it is beside it alone, in `FILE.pub`. A certificate in
/// `FILE-cert.pub` stands for the same private key.
pub(crate) fn public_keys(file: &Path) -> Vec<Vec<u8>> {
    let read = |path: &Path| Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned());
    let beside = |suffix: &str| -> PathBuf {
        let mut name = OsString::from(file);
        name.push(suffix);
        name.into()
    };
    let own = read(file).and_then(|text| of_private(&text).or_else(|| of_public(&text)));
    let others = [".pub", "-cert.pub"].map(|suffix| of_public(&read(&beside(suffix))?));
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for key in [own].into_iter().chain(others).flatten() {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The public key in a line `TYPE BASE64 COMMENT`.
fn of_public(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_whitespace();
    let (kind, key) = (words.next()?, STANDARD.decode(words.next()?).ok()?);
    let (named, _) = string(&key)?;
    (named == kind.as_bytes()).then_some(key)
}

/// The public key in a private key of OpenSSH's own format, where it is never encrypted.
fn of_private(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let body = STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?;
    let rest = body.strip_prefix(MAGIC)?;
    let (_cipher, rest) = string(rest)?;
    let (_derivation, rest) = string(rest)?;
    let (_options, rest) = string(rest)?;
    let (_count, rest) = rest.split_first_chunk::<4>()?;
    string(rest).map(|(key, _)| key.to_vec())
}

/// A string with its length before it, and what follows.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process::Command};

    #[test]
    fn the_public_key_is_found_in_every_kind_of_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let make = |name: &str, arguments: &[&str]| {
            let file = dir.path().join(name);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-f"])
                .arg(&file)
                .args(arguments)
                .status();
            made.is_ok_and(|status| status.success()).then_some(file)
        };
        for (name, arguments) in [
            ("open", ["-t", "ed25519", "-N", ""].as_slice()),
            ("locked", &["-t", "ecdsa", "-N", "pass phrase"]),
            ("pem", &["-t", "rsa", "-m", "PEM", "-N", "pass phrase"]),
        ] {
            let Some(file) = make(name, arguments) else {
                tracing::warn!("no `ssh-keygen` here: nothing was read");
                return;
            };
            let public = file.with_extension("pub");
            let text = fs::read_to_string(&public).expect("readable");
            let key = of_public(&text).expect("a public key");
            let one = std::slice::from_ref(&key);
            assert_eq!(public_keys(&file), one, "{name}");
            assert_eq!(public_keys(&public), one, "{name}");
            fs::remove_file(&public).expect("ours");
            let without = if name == "pem" { vec![] } else { vec![key.clone()] };
            assert_eq!(public_keys(&file), without, "{name}");
            fs::write(&public, &text).expect("room");
            fs::remove_file(&file).expect("ours");
            assert_eq!(public_keys(&file), [key], "{name}: the private key is elsewhere");
        }
    }

    #[test]
    fn of_two_keys_that_of_the_file_itself_comes_first() {
        let dir = tempfile::tempdir().expect("a folder");
        let line = |key: &[u8]| {
            format!(
                "{} {} me\n",
                "ssh-x",
                STANDARD.encode([&[0, 0, 0, 5], b"ssh-x".as_slice(), key].concat())
            )
        };
        let file = dir.path().join("key");
        fs::write(&file, line(b"own")).expect("room");
        fs::write(dir.path().join("key.pub"), line(b"stale")).expect("room");
        let found = public_keys(&file);
        let ends: Vec<_> = found.iter().map(|key| &key[9..]).collect();
        assert_eq!(ends, [b"own".as_slice(), b"stale"]);
        fs::write(&file, "no key").expect("room");
        fs::write(dir.path().join("key.pub"), "ssh-y AAAA").expect("room");
        assert!(public_keys(&file).is_empty());
    }
}
