//! The name of a package's content, and readers and writers that compute it in passing.
//!
//! The digest is over the uncompressed archive, so it does not depend on the compression. Comparing what a worker has with
//! it belongs to the platforms.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    io::{self, Read, Write},
};

/// SHA-256 of a package's uncompressed archive, as `sha256:` and 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The whole text, `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone, for file names.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or(self.0.as_str(), |(_, hex)| hex)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Passes bytes through, counting and hashing them.
pub(crate) struct Hashing<T> {
    pub(crate) inner: T,
    pub(crate) n_bytes: u64,
    hasher: Sha256,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            n_bytes: 0,
            hasher: Sha256::new(),
        }
    }

    fn account(&mut self, bytes: &[u8]) {
        self.n_bytes += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    pub(crate) fn finish(self) -> (T, Digest) {
        let hash = self.hasher.finalize();
        let hex = hash
            .iter()
            .fold(String::from("sha256:"), |hex, byte| format!("{hex}{byte:02x}"));
        (self.inner, Digest(hex))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.account(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.account(&buffer[..n]);
        Ok(n)
    }
}
