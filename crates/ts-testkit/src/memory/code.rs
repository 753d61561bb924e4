//! Digest of a code directory for the reference platform. Ignore rules, limits and packing are `ts-codedir`'s part.

use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};
use ts_core::{Error, ErrorKind, Result};

/// Digest over names and contents of all files below `root`, independent of the order in which the file system lists them.
pub(super) fn digest(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        let content = fs::read(&file).map_err(|e| Error::io("read", &file, e))?;
        for part in [name.as_bytes(), &content] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    let mut hex = String::new();
    for byte in hash.finalize() {
        write!(hex, "{byte:02x}").expect("text takes text");
    }
    Ok(hex)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let listing = fs::read_dir(directory).map_err(|e| {
        Error::new(
            ErrorKind::CodeDir,
            format!("cannot list the code directory `{}`", directory.display()),
        )
        .with_key("trial.codeDir")
        .with_help("name a directory that exists and is readable")
        .with_source(e)
    })?;
    for entry in listing {
        let entry = entry.map_err(|e| Error::io("list", directory, e))?;
        let kind = entry.file_type().map_err(|e| Error::io("look at", &entry.path(), e))?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}
