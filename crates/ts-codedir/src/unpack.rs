//! Unpacks an archive from anywhere without trusting it: nothing is written outside the destination, through a link, or
//! beyond the limits, and the destination appears whole or not at all.
//!
//! Reads the entries itself instead of asking `tar::Archive` to unpack, because the limits must also hold for the names
//! that an archive carries and a cut archive must not pass for a short one.

use crate::{
    digest::{Digest, Hashing},
    staging::Staging,
    tar_format::{BLOCK, padding},
};
use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, BufReader, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, symlink},
    },
    path::{Component, Path, PathBuf},
};
use tar::{EntryType, Header, PaxExtensions};
use ts_core::{Error, ErrorKind, Result};

/// Longest name, link target or set of pax records that an archive may carry, in bytes.
const MAX_NAME: u64 = 64 * 1024;
/// Links that are followed when checking where one leads; the kernel's own bound.
const MAX_LINKS: usize = 40;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackLimits {
    /// Most entries. Default 100,000.
    pub max_entries: u64,
    /// Most bytes of content, uncompressed. Default 4 GiB.
    pub max_bytes: u64,
    /// What becomes of links that lead out of the destination. Default: the archive is refused.
    pub outside_links: OutsideLinks,
}

/// What becomes of links that lead out of the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OutsideLinks {
    /// The archive is refused.
    #[default]
    Refuse,
    /// They are made, and nothing is written through them. For packages of our own making, in which such a link leads to
    /// a place that only the worker has.
    Keep,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self::new(100_000, 4 << 30)
    }
}

impl UnpackLimits {
    /// Limits that refuse outside links.
    pub fn new(max_entries: u64, max_bytes: u64) -> Self {
        Self {
            max_entries,
            max_bytes,
            outside_links: OutsideLinks::Refuse,
        }
    }

    /// Sets what becomes of links that lead out of the destination.
    #[must_use]
    pub fn with_outside_links(mut self, outside_links: OutsideLinks) -> Self {
        self.outside_links = outside_links;
        self
    }
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackSummary {
    /// Digest of the uncompressed archive; equals the one that [`crate::pack`] reported.
    pub digest: Digest,
    /// Entries.
    pub n_entries: u64,
    /// Bytes of content.
    pub n_bytes: u64,
}

/// Unpacks `archive` (plain, gzip or zstd, recognized by its first bytes) to `destination`, which must not exist or be an
/// empty folder. Blocking.
///
/// # Errors
/// `CodeDir` if the archive is damaged, cut, exceeds a limit, or holds what a code directory cannot: a path or link out of
/// the destination, a path through a link, a device. `Conflict` if the destination is occupied. `Io` as the disk answers.
pub fn unpack(archive: impl Read, destination: &Path, limits: UnpackLimits) -> Result<UnpackSummary> {
    let staging = Staging::beside(destination)?;
    // Headers and names cost bytes as well; this bounds them, and what follows the end of the archive.
    let overhead = limits.max_entries.saturating_add(64).saturating_mul(8 * BLOCK as u64);
    let bound = limits.max_bytes.saturating_add(overhead);
    let stream = decompress(archive).map_err(damaged)?.take(bound);
    let mut unpacker = Unpacker {
        stream: Hashing::new(stream),
        root: staging.path(),
        limits,
        n_entries: 0,
        n_bytes: 0,
        links: Vec::new(),
    };
    unpacker.entries()?;
    // To the end, so that checksums of the compression are verified and the digest is complete.
    io::copy(&mut unpacker.stream, &mut io::sink()).map_err(damaged)?;
    if unpacker.stream.inner.limit() == 0 {
        return Err(too_big(&limits));
    }
    unpacker.check_links()?;
    let (n_entries, n_bytes) = (unpacker.n_entries, unpacker.n_bytes);
    let (_, digest) = unpacker.stream.finish();
    staging.publish(0o755)?;
    Ok(UnpackSummary {
        digest,
        n_entries,
        n_bytes,
    })
}

fn decompress<'a>(mut archive: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::new();
    archive.by_ref().take(4).read_to_end(&mut magic)?;
    let whole = BufReader::with_capacity(128 * 1024, io::Cursor::new(magic.clone()).chain(archive));
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::with_buffer(whole)?),
        _ => Box::new(whole),
    })
}

/// Names that pseudo entries announce for the next entry.
#[derive(Default)]
struct Announced {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

struct Unpacker<'a, R> {
    stream: Hashing<io::Take<R>>,
    root: &'a Path,
    limits: UnpackLimits,
    n_entries: u64,
    n_bytes: u64,
    /// Links made, relative to the root.
    links: Vec<PathBuf>,
}

impl<R: Read> Unpacker<'_, R> {
    fn entries(&mut self) -> Result<()> {
        let mut announced = Announced::default();
        let mut block = [0; BLOCK];
        loop {
            self.stream.read_exact(&mut block).map_err(|e| self.read_error(e))?;
            if block == [0; BLOCK] {
                return Ok(());
            }
            let header = Header::from_byte_slice(&block);
            if header.cksum().map_err(damaged)? != checksum(&block) {
                return Err(refused("a header does not match its checksum"));
            }
            let size = header.entry_size().map_err(damaged)?;
            match header.entry_type() {
                EntryType::GNULongName => announced.path = Some(self.name(size)?),
                EntryType::GNULongLink => announced.link = Some(self.name(size)?),
                EntryType::XHeader => pax(&self.small(size)?, &mut announced)?,
                EntryType::XGlobalHeader => drop(self.small(size)?),
                _ => self.entry(header, size, std::mem::take(&mut announced))?,
            }
        }
    }

    /// Makes one entry on disk.
    fn entry(&mut self, header: &Header, size: u64, announced: Announced) -> Result<()> {
        self.n_entries += 1;
        if self.n_entries > self.limits.max_entries {
            return Err(too_big(&self.limits));
        }
        let name = announced.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = announced
            .link
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let path = clean(&name)?;
        let kind = header.entry_type();
        if kind.is_file() || kind.is_contiguous() {
            // Old archives mark a folder by the slash behind its name alone.
            if !name.ends_with(b"/") {
                let executable = header.mode().map_err(damaged)? & 0o111 != 0;
                return self.file(&path, size, executable);
            }
        } else if kind.is_symlink() {
            let target = link
                .filter(|l| !l.is_empty())
                .ok_or_else(|| refused("a link has no target"))?;
            let full = self.clear(&path)?;
            symlink(OsStr::from_bytes(&target), &full).map_err(|e| Error::io("create", &full, e))?;
            self.links.push(path);
            return self.skip(size);
        } else if kind.is_hard_link() {
            let source = clean(&link.ok_or_else(|| refused("a link has no target"))?)?;
            let source = self.parent_of(&source)?;
            let is_file = fs::symlink_metadata(&source).is_ok_and(|meta| meta.is_file());
            let full = self.root.join(&path);
            if !is_file {
                return Err(refused(&format!(
                    "hard link `{}` leads to no file of the archive",
                    path.display()
                )));
            }
            if source != full {
                let full = self.clear(&path)?;
                fs::hard_link(&source, &full).map_err(|e| Error::io("create", &full, e))?;
            }
            return self.skip(size);
        } else if !kind.is_dir() {
            return Err(refused(&format!(
                "`{}` is a device, pipe or of an unknown kind",
                path.display()
            )));
        }
        self.folder(&path)?;
        self.skip(size)
    }

    fn file(&mut self, path: &Path, size: u64, executable: bool) -> Result<()> {
        self.n_bytes = self.n_bytes.saturating_add(size);
        if self.n_bytes > self.limits.max_bytes {
            return Err(too_big(&self.limits));
        }
        let full = self.clear(path)?;
        let mode = if executable { 0o755 } else { 0o644 };
        let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&full);
        let mut file = opened.map_err(|e| Error::io("create", &full, e))?;
        let mut left = size;
        let mut buffer = vec![0; usize::try_from(size.clamp(1, 128 * 1024)).unwrap_or(BLOCK)];
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            self.stream
                .read_exact(&mut buffer[..most])
                .map_err(|e| self.read_error(e))?;
            io::Write::write_all(&mut file, &buffer[..most]).map_err(|e| Error::io("write", &full, e))?;
            left -= most as u64;
        }
        self.skip_padding(size)
    }

    /// Makes a folder and those above it; every one of them must be a real folder.
    fn folder(&self, path: &Path) -> Result<PathBuf> {
        let mut full = self.root.to_owned();
        for part in path.components() {
            full.push(part);
            match fs::symlink_metadata(&full) {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => return Err(refused(&format!("`{}` leads through a link or file", path.display()))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir(&full).map_err(|e| Error::io("create", &full, e))?;
                }
                Err(error) => return Err(Error::io("look at", &full, error)),
            }
        }
        Ok(full)
    }

    /// The full path, with its folder made, and the name in it not yet looked at.
    fn parent_of(&self, path: &Path) -> Result<PathBuf> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(refused("an entry has no name"));
        };
        Ok(self.folder(parent)?.join(name))
    }

    /// The full path, free for a new entry: of two entries with one name the later counts, but none replaces a folder.
    fn clear(&self, path: &Path) -> Result<PathBuf> {
        let full = self.parent_of(path)?;
        match fs::symlink_metadata(&full) {
            Ok(meta) if meta.is_dir() => Err(refused(&format!("`{}` is both folder and file", path.display()))),
            Ok(_) => fs::remove_file(&full)
                .map_err(|e| Error::io("replace", &full, e))
                .map(|()| full),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(full),
            Err(error) => Err(Error::io("look at", &full, error)),
        }
    }

    fn small(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_NAME {
            return Err(refused("a name is longer than any file system takes"));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.stream.read_exact(&mut bytes).map_err(|e| self.read_error(e))?;
        self.skip_padding(size)?;
        Ok(bytes)
    }

    fn name(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.small(size)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn skip(&mut self, size: u64) -> Result<()> {
        let skipped = io::copy(&mut self.stream.by_ref().take(size), &mut io::sink()).map_err(damaged)?;
        if skipped < size {
            return Err(self.read_error(io::ErrorKind::UnexpectedEof.into()));
        }
        self.skip_padding(size)
    }

    fn skip_padding(&mut self, size: u64) -> Result<()> {
        let mut rest = [0; BLOCK];
        let n = padding(size).len();
        self.stream.read_exact(&mut rest[..n]).map_err(|e| self.read_error(e))
    }

    /// A stream that ends early was cut, unless we cut it at the limit.
    fn read_error(&self, cause: io::Error) -> Error {
        if self.stream.inner.limit() == 0 {
            too_big(&self.limits)
        } else {
            damaged(cause)
        }
    }

    /// Follows every link once all are there: only then is it known where chains of them lead.
    fn check_links(&self) -> Result<()> {
        if self.limits.outside_links == OutsideLinks::Keep {
            return Ok(());
        }
        for link in &self.links {
            if !leads_inside(self.root, link) {
                return Err(refused(&format!(
                    "link `{}` leads out of the destination",
                    link.display()
                )));
            }
        }
        Ok(())
    }
}

/// Whether following `link`, relative to `root`, never climbs above `root`. Step by step as the kernel does; a chain of
/// names alone (`a/b/..`) would not show where a link in the middle leads.
fn leads_inside(root: &Path, link: &Path) -> bool {
    let mut todo: Vec<PathBuf> = vec![link.to_owned()];
    let mut at = PathBuf::new();
    let mut hops = 0;
    while let Some(path) = todo.pop() {
        let mut parts = path.components();
        let Some(part) = parts.next() else { continue };
        let rest = parts.as_path().to_owned();
        if !rest.as_os_str().is_empty() {
            todo.push(rest);
        }
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !at.pop() {
                    return false;
                }
            }
            Component::RootDir | Component::Prefix(_) => return false,
            Component::Normal(name) => {
                at.push(name);
                // A path that is not there stays where its names say.
                if let Ok(target) = fs::read_link(root.join(&at)) {
                    hops += 1;
                    if hops > MAX_LINKS {
                        // A circle of links leads nowhere, hence not outside.
                        return true;
                    }
                    at.pop();
                    todo.push(target);
                }
            }
        }
    }
    true
}

/// The path of an entry: relative, without `.`; empty for the root itself.
fn clean(name: &[u8]) -> Result<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(name)).components() {
        match part {
            Component::Normal(part) if !part.as_bytes().contains(&0) => path.push(part),
            Component::CurDir => {}
            _ => {
                let name = String::from_utf8_lossy(name);
                return Err(refused(&format!(
                    "path `{}` leads out of the destination",
                    name.escape_debug()
                )));
            }
        }
    }
    Ok(path)
}

fn pax(records: &[u8], announced: &mut Announced) -> Result<()> {
    for record in PaxExtensions::new(records) {
        let record = record.map_err(damaged)?;
        match record.key_bytes() {
            b"path" => announced.path = Some(record.value_bytes().to_vec()),
            b"linkpath" => announced.link = Some(record.value_bytes().to_vec()),
            b"size" => return Err(refused("a file is larger than a header can say")),
            key if key.starts_with(b"GNU.sparse") => return Err(refused("a file is stored sparsely")),
            _ => {}
        }
    }
    Ok(())
}

fn checksum(block: &[u8; BLOCK]) -> u32 {
    // The checksum's own field counts as blanks.
    let field = 148..156;
    let bytes = block.iter().enumerate();
    bytes
        .map(|(i, byte)| {
            if field.contains(&i) {
                u32::from(b' ')
            } else {
                u32::from(*byte)
            }
        })
        .sum()
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::CodeDir, format!("the archive is refused: {why}")).with_help("pack the code directory again")
}

fn damaged(cause: io::Error) -> Error {
    Error::new(ErrorKind::CodeDir, "the archive is damaged or cut short")
        .with_help("pack or transfer the code directory again")
        .with_source(cause)
}

fn too_big(limits: &UnpackLimits) -> Error {
    let (entries, bytes) = (limits.max_entries, limits.max_bytes);
    Error::new(
        ErrorKind::CodeDir,
        format!("the archive holds more than {entries} entries or {bytes} bytes"),
    )
    .with_help("check where it comes from, or raise the limits")
}
