//! What is kept in the experiment's directory: the address while it is served, and the token.

use crate::ExperimentDirectory;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};
use subtle::ConstantTimeEq as _;
use ts_core::{Error, ErrorKind, Result, Secret, write_private};

/// Fewest characters of a token that somebody chose.
const SHORTEST: usize = 16;

/// Where an experiment is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Address {
    /// What to open, prefix included.
    pub url: String,
    /// The file with the token, if one is needed.
    pub token_file: Option<PathBuf>,
    /// The process that serves it.
    pub pid: u32,
}

fn file_in(directory: &ExperimentDirectory) -> PathBuf {
    directory.path().join("rest.json")
}

/// Where an experiment is served now, as far as its directory says; the process may have been killed since.
pub fn address(directory: &ExperimentDirectory) -> Option<Address> {
    serde_json::from_slice(&fs::read(file_in(directory)).ok()?).ok()
}

pub(super) fn store(directory: &ExperimentDirectory, address: &Address) -> Result<()> {
    let text = serde_json::to_string(address)
        .map_err(|e| Error::new(ErrorKind::Internal, "an address cannot be written as JSON").with_source(e))?;
    write_private(&file_in(directory), text.as_bytes())
}

/// Forgets the address, unless another process has written its own since.
pub(super) fn forget(directory: &ExperimentDirectory, own: &Address) {
    if address(directory).as_ref() == Some(own)
        && let Err(error) = fs::remove_file(file_in(directory))
    {
        tracing::debug!(%error, "the address is left behind");
    }
}

/// What a client must know.
#[derive(Debug)]
pub(super) struct Token {
    secret: Secret,
    pub(super) file: PathBuf,
}

impl Token {
    /// The token of a file that somebody names.
    ///
    /// # Errors
    /// `Config` if it is too short to be one; those of the file.
    pub(super) fn of_file(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).map_err(|e| Error::io("read the token", file, e))?;
        let text = text.trim();
        if text.len() < SHORTEST || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("`{}` holds no token of at least {SHORTEST} characters", file.display()),
            )
            .with_help("`openssl rand -hex 32` makes one"));
        }
        Ok(Self {
            secret: Secret::new(text),
            file: file.to_owned(),
        })
    }

    /// The experiment's own, made if there is none yet.
    ///
    /// # Errors
    /// As [`of_file`](Self::of_file).
    pub(super) fn of_experiment(directory: &ExperimentDirectory) -> Result<Self> {
        Self::made(&directory.path().join("rest.token"))
    }

    /// The one in the addresses of the trials' channels, made if there is none yet: trials that outlive a manager keep theirs.
    ///
    /// # Errors
    /// As [`of_file`](Self::of_file).
    pub(super) fn of_channels(directory: &ExperimentDirectory) -> Result<Self> {
        Self::made(&directory.path().join("channel.token"))
    }

    fn made(file: &Path) -> Result<Self> {
        if !file.exists() {
            let bytes: [u8; 32] = rand::random();
            let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            let token: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
            write_private(file, format!("{token}\n").as_bytes())?;
        }
        Self::of_file(file)
    }

    /// The token itself.
    pub(super) fn expose(&self) -> &str {
        self.secret.expose()
    }

    /// Whether these bytes are the token; takes as long for every wrong one of its length.
    pub(super) fn is_same(&self, given: &[u8]) -> bool {
        self.secret.expose().as_bytes().ct_eq(given).into()
    }
}
