//! The token of an experiment, and the port that it was given: a file that only its user may read.

use crate::{
    Error, ErrorKind, Result, Secret,
    private_file::{private_draft, write_private},
};
use std::{fs, io, path::Path};
use subtle::ConstantTimeEq as _;

/// Digits of a token.
pub(super) const LENGTH: usize = 64;

/// What the file holds.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) token: Secret,
    /// The port that workers were told; `None` before the first time.
    pub(super) port: Option<u16>,
}

/// The stored token, or a new one that is not stored yet.
pub(super) fn load(file: &Path) -> Result<Stored> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Ok(Stored {
                token: Secret::new(random()),
                port: None,
            });
        }
        Err(e) => return Err(Error::io("read", file, e)),
    };
    let mut lines = text.lines();
    let token = lines.next().filter(|token| token.len() == LENGTH);
    let port = lines.next().and_then(|port| port.parse().ok());
    match (token, port) {
        (Some(token), Some(port)) => Ok(Stored {
            token: Secret::new(token),
            port: Some(port),
        }),
        _ => Err(
            Error::new(ErrorKind::Config, format!("`{}` holds no token", file.display()))
                .with_help("remove the file; trials that run now cannot report any more then"),
        ),
    }
}

/// Stores it so that a reader sees all of it or none, and others nothing.
pub(super) fn save(file: &Path, token: &Secret, port: u16) -> Result<()> {
    write_private(file, format!("{}\n{port}\n", token.expose()).as_bytes())
}

/// Removes the file of token and port, and what a save that was cut has left; `false` if there was neither.
///
/// # Errors
/// `Io`.
pub fn remove(file: &Path) -> Result<bool> {
    let mut was_there = false;
    for path in [&private_draft(file), file] {
        match fs::remove_file(path) {
            Ok(()) => was_there = true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("remove", path, e)),
        }
    }
    Ok(was_there)
}

fn random() -> String {
    let bytes: [u8; LENGTH / 2] = rand::random();
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Whether these bytes are the token; takes as long for every wrong one.
pub(super) fn is_same(token: &Secret, given: &[u8]) -> bool {
    token.expose().as_bytes().ct_eq(given).into()
}
