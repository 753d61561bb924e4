//! The token of an experiment, and the port that it was given: a file that only its user may read.

use crate::{Error, ErrorKind, Result, Secret};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
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
    let draft = draft(file);
    let written = (|| {
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir)?;
        }
        match fs::remove_file(&draft) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        writeln!(out, "{}\n{port}", token.expose())?;
        out.sync_all()?;
        fs::rename(&draft, file)
    })();
    written.map_err(|e| Error::io("write", file, e))
}

/// Removes the file of token and port, and what a save that was cut has left; `false` if there was neither.
///
/// # Errors
/// `Io`.
pub fn remove(file: &Path) -> Result<bool> {
    let mut was_there = false;
    for path in [&draft(file), file] {
        match fs::remove_file(path) {
            Ok(()) => was_there = true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("remove", path, e)),
        }
    }
    Ok(was_there)
}

fn draft(file: &Path) -> PathBuf {
    file.with_extension("new")
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
