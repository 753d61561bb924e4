//! What an archive says of one of its files, checked: a name that stays inside, a plain file or a directory.

use rawzip::{CompressionMethod, ZipArchiveEntryWayfinder, ZipFileHeaderRecord};
use std::{
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// The kind of a file in its mode, and the kinds that NNI saves. Source: `inode(7)`.
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;

/// A file or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its content is.
    pub(super) place: ZipArchiveEntryWayfinder,
    /// Relative, and without `.` and `..`.
    pub(super) path: PathBuf,
    pub(super) is_directory: bool,
    pub(super) is_deflated: bool,
    /// Permissions, its owner's to read and write at least.
    pub(super) mode: u32,
    /// Bytes of its content.
    pub(super) size: u64,
}

impl Entry {
    pub(super) fn check(record: &ZipFileHeaderRecord<'_>) -> Result<Self, Refused> {
        let name = record.file_path().as_bytes();
        let refused = |why| Err(Refused::name(&String::from_utf8_lossy(name), why));
        let Some(path) = inside(name) else {
            return refused("which leads out of it");
        };
        let mode = record.mode().value();
        let is_plain = match mode & KIND {
            // Another system's archive: the name alone tells.
            0 => true,
            DIRECTORY => record.is_dir(),
            REGULAR => !record.is_dir(),
            _ => false,
        };
        if !is_plain {
            return refused("which is neither a file nor a directory");
        }
        if record.flags().is_encrypted() {
            return refused("which is encrypted");
        }
        let is_deflated = match record.compression_method() {
            CompressionMethod::DEFLATE => true,
            CompressionMethod::STORE => false,
            _ => return refused("which is compressed in a way that NNI does not use"),
        };
        Ok(Self {
            place: record.wayfinder(),
            path,
            is_directory: record.is_dir(),
            is_deflated,
            mode: mode & 0o755 | 0o600,
            size: record.uncompressed_size_hint(),
        })
    }

    pub(super) fn is_file_at(&self, path: &Path) -> bool {
        !self.is_directory && self.path == path
    }

    /// Its path in this folder of the archive.
    pub(super) fn below(&self, part: &str) -> Option<&Path> {
        self.path
            .strip_prefix(part)
            .ok()
            .filter(|own| !own.as_os_str().is_empty())
    }
}

/// The path that a name means, if that is inside of whatever it is joined to.
fn inside(name: &[u8]) -> Option<PathBuf> {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let mut parts = name.split(|byte| *byte == b'/');
    let is_inside = !name.contains(&0) && parts.all(|part| !matches!(part, b"" | b"." | b".."));
    is_inside.then(|| PathBuf::from(OsStr::from_bytes(name)))
}

/// Why an archive is not taken.
#[derive(Debug)]
pub(super) struct Refused(String);

impl Refused {
    pub(super) fn because(why: &str) -> Self {
        Self(why.to_owned())
    }

    pub(super) fn name(name: &str, why: &str) -> Self {
        Self(format!("it holds `{}`, {why}", name.escape_debug()))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<rawzip::Error> for Refused {
    fn from(error: rawzip::Error) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_inside() {
        for (name, path) in [
            ("a", "a"),
            ("a/b.txt", "a/b.txt"),
            ("a/", "a"),
            ("..a/b..", "..a/b.."),
            ("a\\..", "a\\.."),
        ] {
            assert_eq!(inside(name.as_bytes()), Some(PathBuf::from(path)), "{name}");
        }
        for name in [
            "",
            "/",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a/..",
            ".",
            "a//b",
            "a/./b",
            "a\0b",
            "a//",
        ] {
            assert_eq!(inside(name.as_bytes()), None, "{name}");
        }
    }
}
