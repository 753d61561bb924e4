//! What a trial wrote, piece by piece, where its files are on this machine.

use crate::{
    rest::{answer, error::Failure, input::Params, state::State},
    store::TrialRow,
    view,
};
use axum::{
    extract::{self, Path},
    http::{HeaderName, HeaderValue},
    response::Response,
};
use serde::Deserialize;
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::Path as FilePath,
};
use ts_core::{Error, ErrorKind, LogKind, Result};

/// Bytes of a piece unless asked for otherwise.
const PIECE: u64 = 64 * 1024;
/// Most bytes of a piece.
const LONGEST: u64 = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[serde(default)]
    offset: u64,
    limit: Option<u64>,
}

pub(super) async fn log(
    extract::State(state): extract::State<State>,
    Path((id, name)): Path<(String, String)>,
    Params(query): Params<Query>,
) -> Result<Response, Failure> {
    let kind = kind(&name)?;
    if i64::try_from(query.offset).is_err() {
        return Err(Error::new(ErrorKind::Config, "the offset is no position in a file").into());
    }
    // Looked up before the file is read: what an ended trial wrote is all there then.
    let row = state.trial(&id).await?;
    let limit = query.limit.unwrap_or(PIECE).clamp(1, LONGEST);
    let has_ended = row.status.is_terminal();
    let piece = state
        .ctx
        .tasks
        .blocking(move || piece(&row, kind, query.offset, limit))
        .await?;
    let n_read = piece.bytes.len() as u64;
    let mut response = answer::bytes("text/plain; charset=utf-8", piece.bytes.into());
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-next-offset"), (query.offset + n_read).into());
    let is_end = has_ended && !piece.has_more;
    let is_end = HeaderValue::from_static(if is_end { "true" } else { "false" });
    headers.insert(HeaderName::from_static("x-end"), is_end);
    Ok(response)
}

fn kind(name: &str) -> Result<LogKind> {
    match name {
        "stdout" => Ok(LogKind::Stdout),
        "stderr" => Ok(LogKind::Stderr),
        "trial" => Ok(LogKind::Trial),
        _ => Err(Error::new(
            ErrorKind::NotFound,
            format!("a trial has no log `{}`", name.escape_debug()),
        )
        .with_help("logs are stdout, stderr and trial")),
    }
}

#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    has_more: bool,
}

/// A file that does not exist yet is empty.
fn piece(row: &TrialRow, kind: LogKind, offset: u64, limit: u64) -> Result<Piece> {
    let Some(directory) = view::directory(row.url.as_deref()) else {
        if !row.submitted {
            return Ok(Piece::default());
        }
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the files of this trial are not on this machine",
        )
        .with_help(format!("`tsctl logs {}` reads them through the platform", row.spec.id)));
    };
    let path = directory.join(kind.file_name());
    let read = || -> io::Result<Piece> {
        let mut file = open(&path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        let has_more = offset + (bytes.len() as u64) < length;
        Ok(Piece { bytes, has_more })
    };
    match read() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Piece::default()),
        other => other.map_err(|e| Error::io("read", &path, e)),
    }
}

/// Opens a plain file: no link that a trial put there, and nothing that would wait.
pub(in crate::rest) fn open(path: &FilePath) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    Ok(file)
}
