//! `code ls|why|pack`: what would travel, why, and the archive itself.

use crate::{
    cli::{Code, Compression},
    environment::Environment,
    exit::Exit,
    load::Failure,
    output::Output,
    render::span,
};
use serde_json::{Value, json};
use std::{io::Write, path::Path};
use ts_codedir::EntryKind;
use ts_core::{CodeDirectory, Error, Result};

/// Answers a question about a code directory.
pub(crate) fn code(environment: &Environment, output: &Output, args: &Code) -> Result<Exit, Failure> {
    match args {
        Code::Ls { directory } => list(output, &CodeDirectory::new(environment.absolute(directory))),
        Code::Why { directory, path } => why(output, &CodeDirectory::new(environment.absolute(directory)), path),
        Code::Pack {
            directory,
            output: file,
            compression,
        } => {
            let code = CodeDirectory::new(environment.absolute(directory));
            pack(output, &code, file, *compression)
        }
    }
}

fn list(output: &Output, code: &CodeDirectory) -> Result<Exit, Failure> {
    let package = ts_codedir::scan(code)?;
    output.data(&json!({ "code": object(&package) }), || {
        let mut text = String::new();
        for entry in &package.entries {
            let line = match &entry.kind {
                EntryKind::File { size, .. } => format!("{:>10}  {}", span::size(*size), entry.path.display()),
                EntryKind::Directory => format!("{:>10}  {}/", "", entry.path.display()),
                EntryKind::Symlink { target } => {
                    format!("{:>10}  {} -> {}", "", entry.path.display(), target.display())
                }
                _ => format!("{:>10}  {}", "", entry.path.display()),
            };
            text += &line;
            text.push('\n');
        }
        text
    })?;
    for note in &package.notes {
        output.say(note);
    }
    output.say(format_args!(
        "{} files, {}; {} paths stay at home",
        package.n_files,
        span::size(package.n_bytes),
        package.excluded.len()
    ));
    Ok(Exit::Success)
}

/// A scanned directory for programs, with the names that `plan` uses.
fn object(package: &ts_codedir::CodePackage) -> Value {
    let entries = package.entries.iter().map(|entry| match &entry.kind {
        EntryKind::File { size, executable } => {
            json!({ "path": entry.path, "kind": "file", "bytes": size, "executable": executable })
        }
        EntryKind::Directory => json!({ "path": entry.path, "kind": "directory" }),
        EntryKind::Symlink { target } => json!({ "path": entry.path, "kind": "symlink", "target": target }),
        other => json!({ "path": entry.path, "kind": other }),
    });
    let excluded = package
        .excluded
        .iter()
        .map(|excluded| json!({ "path": excluded.path, "isDirectory": excluded.is_directory, "rule": excluded.rule }));
    json!({
        "directory": package.root,
        "files": package.n_files,
        "bytes": package.n_bytes,
        "entries": entries.collect::<Vec<_>>(),
        "excluded": excluded.collect::<Vec<_>>(),
        "notes": package.notes,
    })
}

fn why(output: &Output, code: &CodeDirectory, path: &Path) -> Result<Exit, Failure> {
    let decision = ts_codedir::why(code, path)?;
    output.data(
        &json!({ "path": path, "included": decision.is_included(), "decision": decision }),
        || format!("{}: {decision}\n", path.display()),
    )?;
    Ok(match decision {
        ts_codedir::Decision::Missing => Exit::NotFound,
        _ => Exit::Success,
    })
}

fn pack(output: &Output, code: &CodeDirectory, file: &Path, compression: Compression) -> Result<Exit, Failure> {
    let compression = match compression {
        Compression::None => ts_codedir::Compression::None,
        Compression::Gzip => ts_codedir::Compression::Gzip,
        Compression::Zstd => ts_codedir::Compression::Zstd,
    };
    let package = ts_codedir::scan(code)?;
    if file == Path::new("-") {
        let packed = ts_codedir::pack(&package, compression, std::io::stdout().lock())?;
        output.say(format_args!("{} {}", packed.digest, span::size(packed.packed_bytes)));
        return Ok(Exit::Success);
    }
    // Written beside and renamed, so that nobody meets half an archive.
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = Path::new(&unfinished);
    let written = write(&package, compression, unfinished)
        .and_then(|packed| match std::fs::rename(unfinished, file) {
            Ok(()) => Ok(packed),
            Err(e) => Err(Error::io("write", file, e)),
        })
        .inspect_err(|_| {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(unfinished);
        })?;
    output.data(
        &json!({
            "file": file,
            "digest": written.digest,
            "entries": written.n_entries,
            "packedBytes": written.packed_bytes,
        }),
        || format!("{}  {}\n", written.digest, file.display()),
    )?;
    output.say(format_args!(
        "{} files, {} packed to {}",
        package.n_files,
        span::size(package.n_bytes),
        span::size(written.packed_bytes)
    ));
    Ok(Exit::Success)
}

fn write(
    package: &ts_codedir::CodePackage,
    compression: ts_codedir::Compression,
    path: &Path,
) -> Result<ts_codedir::PackSummary> {
    let file = std::fs::File::create(path).map_err(|e| Error::io("create", path, e))?;
    let mut out = std::io::BufWriter::new(file);
    let packed = ts_codedir::pack(package, compression, &mut out)?;
    out.flush().map_err(|e| Error::io("write", path, e))?;
    Ok(packed)
}
