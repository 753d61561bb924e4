//! Writes a scanned package as an archive: the same tree gives the same bytes, in one pass and constant memory.
//!
//! What travels was decided by `scan.rs`; this module only notices when a file is no longer what the scan saw.

use crate::{
    digest::{Digest, Hashing},
    scan::{CodePackage, Entry, EntryKind},
    tar_format::{END, header, padding},
};
use flate2::{GzBuilder, write::GzEncoder};
use rustix::fs::OFlags;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use ts_core::{Error, ErrorKind, Result, Retry};

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// A plain archive.
    None,
    /// What every worker can read.
    Gzip,
    /// Level 1, several threads: the fastest wherever the worker has `zstd`.
    #[default]
    Zstd,
}

/// How to pack. A bare [`Compression`] converts into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackOptions {
    /// Compression of the archive.
    pub compression: Compression,
    /// Threads for [`Compression::Zstd`], default 2, at least 1. The output does not depend on it.
    pub workers: u32,
}

impl From<Compression> for PackOptions {
    fn from(compression: Compression) -> Self {
        Self {
            compression,
            workers: 2,
        }
    }
}

impl PackOptions {
    /// Sets the number of compressing threads.
    #[must_use]
    pub fn with_workers(mut self, workers: u32) -> Self {
        self.workers = workers.max(1);
        self
    }
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackSummary {
    /// Digest of the content; independent of the compression.
    pub digest: Digest,
    /// Entries in the archive.
    pub n_entries: u64,
    /// Bytes before compression.
    pub tar_bytes: u64,
    /// Bytes written.
    pub packed_bytes: u64,
}

/// Writes the archive of `package` to `out` and flushes it. Blocking; memory does not grow with the package.
///
/// A file that grew since the scan is packed up to the size that the scan saw.
///
/// # Errors
/// `CodeDir`, retryable after a new scan, if a file vanished, shrank or became something else; `Denied` or `Io` if one
/// cannot be read or `out` cannot be written.
pub fn pack(package: &CodePackage, options: impl Into<PackOptions>, out: impl Write) -> Result<PackSummary> {
    let counted = Counting { inner: out, n_bytes: 0 };
    let encoder = Encoder::new(options.into(), counted).map_err(write_error)?;
    let mut archive = Hashing::new(encoder);
    let mut buffer = vec![0; 256 * 1024];
    for entry in &package.entries {
        append(&package.root, entry, &mut archive, &mut buffer)?;
    }
    archive.write_all(&END).map_err(write_error)?;
    let tar_bytes = archive.n_bytes;
    let (encoder, digest) = archive.finish();
    let mut counted = encoder.finish().map_err(write_error)?;
    counted.flush().map_err(write_error)?;
    Ok(PackSummary {
        digest,
        n_entries: package.entries.len() as u64,
        tar_bytes,
        packed_bytes: counted.n_bytes,
    })
}

/// The digest that [`pack`] would report. Reads every file once.
///
/// # Errors
/// As [`pack`].
pub fn digest(package: &CodePackage) -> Result<Digest> {
    Ok(pack(package, Compression::None, io::sink())?.digest)
}

fn append(root: &Path, entry: &Entry, archive: &mut impl Write, buffer: &mut [u8]) -> Result<()> {
    let EntryKind::File { size, .. } = entry.kind else {
        return archive.write_all(&header(entry)).map_err(write_error);
    };
    let mut file = open(root, &entry.path)?;
    archive.write_all(&header(entry)).map_err(write_error)?;
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let n = match file.read(&mut buffer[..most]) {
            Ok(0) => return Err(changed(&entry.path, "shrank")),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", &root.join(&entry.path), error).with_key(crate::KEY)),
        };
        archive.write_all(&buffer[..n]).map_err(write_error)?;
        left -= n as u64;
    }
    archive.write_all(padding(size)).map_err(write_error)
}

/// Opens a file of the package; a pipe that took its place does not block.
pub(crate) fn open(root: &Path, path: &Path) -> Result<File> {
    let full = root.join(path);
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(&full);
    let file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => changed(path, "vanished").with_source(error),
        _ => Error::io("read", &full, error).with_key(crate::KEY),
    })?;
    let meta = file
        .metadata()
        .map_err(|error| Error::io("read", &full, error).with_key(crate::KEY))?;
    if meta.is_file() {
        Ok(file)
    } else {
        Err(changed(path, "is no longer a file"))
    }
}

/// The error for a file that is not what the scan saw.
pub(crate) fn changed(path: &Path, how: &str) -> Error {
    let message = format!("`{}` {how} since the code directory was scanned", path.display());
    Error::new(ErrorKind::CodeDir, message)
        .with_key(crate::KEY)
        .with_retry(Retry::NotApplied { after: None })
        .with_help("something writes to the code directory; scan it again, or list that file in `.nniignore`")
}

fn write_error(cause: io::Error) -> Error {
    let error = Error::new(ErrorKind::Io, "cannot write the archive of the code directory");
    let error = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => error
            .with_retry(Retry::NotApplied { after: None })
            .with_help("the disk is full; free space there"),
        _ => error,
    };
    error.with_source(cause)
}

enum Encoder<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    fn new(options: PackOptions, out: W) -> io::Result<Self> {
        Ok(match options.compression {
            Compression::None => Self::Plain(out),
            // Neither time nor file name, so that equal trees give equal bytes.
            Compression::Gzip => Self::Gzip(GzBuilder::new().mtime(0).write(out, flate2::Compression::fast())),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(out, 1)?;
                // One worker and many cut the same jobs; no worker at all would not.
                encoder.multithread(options.workers.max(1))?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

struct Counting<W> {
    inner: W,
    n_bytes: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
