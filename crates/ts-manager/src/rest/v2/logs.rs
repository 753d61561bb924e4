//! What a trial wrote, piece by piece, where its files are on this machine.

use super::Position;
use crate::{
    rest::{
        answer,
        error::Failure,
        input::{Named, Params, Whole},
        state::State,
    },
    store::TrialRow,
    view,
};
use axum::{
    extract,
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
    offset: Option<Position>,
    limit: Option<Whole<1, LONGEST>>,
    tail: Option<Whole<1, { i64::MAX as u64 }>>,
}

/// Which piece of a file is wanted.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// Where it begins at the earliest.
    offset: u64,
    /// How many bytes before the end it begins at the earliest.
    tail: Option<u64>,
    /// Most bytes of it.
    limit: u64,
}

impl From<Query> for Wanted {
    fn from(query: Query) -> Self {
        let tail = query.tail.map(Whole::get);
        Self {
            offset: query.offset.map_or(0, Whole::get),
            tail,
            limit: match (query.limit, tail) {
                (Some(limit), _) => limit.get(),
                (None, Some(tail)) => tail.clamp(PIECE, LONGEST),
                (None, None) => PIECE,
            },
        }
    }
}

pub(super) async fn log(
    extract::State(state): extract::State<State>,
    Named((id, name)): Named<(String, String)>,
    Params(query): Params<Query>,
) -> Result<Response, Failure> {
    let kind = kind(&name)?;
    // Looked up before the file is read: what an ended trial wrote is all there then.
    let row = state.trial(&id).await?;
    let has_ended = row.status.is_terminal();
    let wanted = Wanted::from(query);
    let piece = state.ctx.tasks.blocking(move || piece(&row, kind, wanted)).await?;
    let n_read = piece.bytes.len() as u64;
    let mut response = answer::bytes("text/plain; charset=utf-8", piece.bytes.into());
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-offset"), piece.begin.into());
    headers.insert(HeaderName::from_static("x-next-offset"), (piece.begin + n_read).into());
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

#[derive(Debug)]
struct Piece {
    begin: u64,
    bytes: Vec<u8>,
    has_more: bool,
}

impl Piece {
    fn nothing(begin: u64) -> Self {
        Self {
            begin,
            bytes: Vec::new(),
            has_more: false,
        }
    }
}

/// A file that does not exist yet is empty.
fn piece(row: &TrialRow, kind: LogKind, wanted: Wanted) -> Result<Piece> {
    let Some(directory) = view::directory(row.url.as_deref()) else {
        if !row.submitted {
            return Ok(Piece::nothing(wanted.offset));
        }
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the files of this trial are not on this machine",
        )
        .with_help(format!("`tsctl logs {}` reads them through the platform", row.spec.id)));
    };
    let path = directory.join(kind.file_name());
    match open(&path).and_then(|file| read(file, wanted)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Piece::nothing(wanted.offset)),
        other => other.map_err(|e| Error::io("read", &path, e)),
    }
}

fn read(mut file: File, wanted: Wanted) -> io::Result<Piece> {
    let length = file.metadata()?.len();
    let from_end = wanted.tail.map_or(0, |tail| length.saturating_sub(tail));
    let begin = from_end.max(wanted.offset);
    if begin >= length {
        return Ok(Piece::nothing(begin));
    }
    // The byte before it tells whether a line begins there.
    let before = u64::from(begin > wanted.offset);
    file.seek(SeekFrom::Start(begin - before))?;
    let mut bytes = Vec::new();
    file.take(wanted.limit + before).read_to_end(&mut bytes)?;
    let n_skipped = if before > 0 { to_a_beginning(&bytes) } else { 0 };
    bytes.drain(..n_skipped);
    let begin = begin - before + n_skipped as u64;
    let has_more = begin + (bytes.len() as u64) < length;
    Ok(Piece { begin, bytes, has_more })
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

/// How many bytes stand before the first line that begins in a piece cut out of a file; where none does, before the first letter.
/// The first byte is not wanted itself.
fn to_a_beginning(bytes: &[u8]) -> usize {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) if at + 1 < bytes.len() => at + 1,
        _ => {
            let is_inside = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
            (1 + bytes.iter().skip(1).take(3).take_while(is_inside).count()).min(bytes.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_at_a_line_or_at_least_at_a_letter() {
        for (bytes, n) in [
            (&b"xhello\nworld"[..], 7),
            (b"\nhello", 1),
            (b"xhello\n", 1),
            (b"x\xc3\xb6\xc3\xb6", 1),
            (b"\xc3\xb6\xc3\xb6", 2),
            (b"\xf0\x9f\x98\x80x", 4),
            (b"\x80\x80\x80\x80\x80\x80", 4),
            (b"x", 1),
            (b"", 0),
        ] {
            assert_eq!(to_a_beginning(bytes), n, "{bytes:?}");
        }
    }
}
