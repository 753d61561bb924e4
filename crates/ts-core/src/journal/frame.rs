//! Finding records in a byte stream: frames, lines, and what to do with bytes that are neither. No I/O, no cursors, no JSON
//! model.
//!
//! Two forms are read, mixed freely (NNI v2.10, `nni/runtime/platform/local.py`):
//!
//! - frame: `ME`, six digits, a payload of that many bytes which ends in its only newline (0 digits: no payload at all);
//! - line: `NNISDK_MEb'`, a payload, `'`, newline (or CR LF). Text before the marker on its line is dropped.
//!
//! # Recovery
//!
//! A record that cannot be one is passed over: the search goes on behind its first byte for the next `ME` with six digits
//! or the next line marker, so a good record behind bad bytes is always found. A record is given up as soon as the bytes at
//! hand prove it wrong, whatever length it declares:
//!
//! - *A newline before the declared end.* JSON on one line has none, so the header lies or its payload was torn. Hence even
//!   a torn frame of 999,999 bytes holds up its successors only until the first of them is complete.
//! - *No newline at the declared end.*
//! - *A NUL anywhere inside*, as a full disk or a sparse file leaves it.
//! - *Another record's start inside a payload that is not JSON*: a torn record that ends, by chance, with the good one that
//!   overwrote its rest. JSON that merely quotes a record is kept.
//! - *A line whose last byte is not the closing quote*, or that is longer than a record may be.
//!
//! Payloads are otherwise opaque. Neighboring bad bytes are reported as one piece, at most [`MAX_SKIPPED`] long.
//!
//! All decisions depend on the bytes alone, never on how they were cut into reads; and behind each piece the parser is as
//! new, so that reading may start there.

use std::fmt;

use crate::metric::json;

/// Most bytes of a payload: six digits' worth for a frame, and as many for a line.
pub const MAX_PAYLOAD: usize = 999_999;
/// Bad bytes are reported at the latest after this many, so that no piece grows without bound.
pub const MAX_SKIPPED: usize = 1 << 20;
/// `ME` and six digits.
pub(super) const HEADER_LEN: usize = 8;
/// Starts a line record.
pub(super) const LINE_MARKER: &[u8] = b"NNISDK_MEb'";
/// Bytes kept before the present position, for the checksum of a cursor.
pub(super) const LOOKBACK: usize = 64;

/// Why bytes of the journal were passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// Text or other bytes that belong to no record.
    NotARecord,
    /// A frame whose declared length does not end at its newline.
    WrongLength,
    /// A record with NUL bytes inside.
    Hole,
    /// A record that was overwritten by another before it was complete.
    Torn,
    /// A line without its closing quote, or longer than a record may be.
    BadLine,
    /// A record that was still incomplete when its writer ended.
    Incomplete,
    /// A whole record whose payload is not UTF-8.
    NotUtf8,
    /// An incomplete record whose file was truncated or replaced.
    Replaced,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotARecord => "bytes that belong to no record",
            Self::WrongLength => "a frame whose declared length does not end at its newline",
            Self::Hole => "a record with NUL bytes inside, as a full disk leaves them",
            Self::Torn => "a record cut short by another one",
            Self::BadLine => "a line without its closing quote, or too long",
            Self::Incomplete => "a record that its writer did not complete",
            Self::NotUtf8 => "a record that is not UTF-8",
            Self::Replaced => "an incomplete record of a file that was truncated or replaced",
        })
    }
}

/// A stretch of the stream, directly behind the previous one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A record.
    Record {
        /// Bytes taken, with header, marker and text dropped before a line's marker.
        n_bytes: u64,
        /// The payload without its newline or quotes.
        payload: Vec<u8>,
    },
    /// Bytes passed over.
    Skipped {
        /// Bytes passed over.
        n_bytes: u64,
        /// Why; the first problem if there are several.
        problem: Problem,
    },
}

/// What stands at a position.
enum Found {
    /// Nothing that looks like a record.
    Nothing,
    /// The start of a record whose rest is not here yet.
    Partial,
    /// Looks like a record and is none.
    Bad(Problem),
    /// A record of `len` bytes with its payload at `payload`, relative to the position.
    Record {
        len: usize,
        payload: std::ops::Range<usize>,
        is_line: bool,
    },
}

/// Cuts a byte stream into records and bad stretches.
///
/// Holds at most one record and one push, doubled by slack; each byte is looked at a fixed number of times.
#[derive(Debug, Default)]
pub struct FrameParser {
    buf: Vec<u8>,
    /// Behind the last piece returned.
    start: usize,
    /// `start..pos` are bad bytes, or text before a line's marker.
    pos: usize,
    /// Bad bytes dropped from the buffer that belong between `start` and `pos`.
    dropped: u64,
    /// The first problem in `start..pos`.
    problem: Option<Problem>,
    /// Whether `start..pos` could be text before a line's marker.
    plain: bool,
    /// No newline or NUL lies in `pos..scanned`.
    scanned: usize,
}

impl FrameParser {
    /// A parser at a position whose bytes before it, as far as they are wanted for checksums, are `before`.
    pub fn new(before: &[u8]) -> Self {
        let at = before.len();
        Self {
            buf: before.to_vec(),
            start: at,
            pos: at,
            scanned: at,
            ..Self::default()
        }
        .renewed()
    }

    fn renewed(mut self) -> Self {
        self.renew();
        self
    }

    fn renew(&mut self) {
        self.start = self.pos;
        self.dropped = 0;
        self.problem = None;
        self.plain = true;
        self.scanned = self.scanned.max(self.pos);
    }

    /// Adds bytes to the end. Call [`FrameParser::next`] until it has no more before adding again.
    pub fn push(&mut self, bytes: &[u8]) {
        let spare = self.pos.saturating_sub(LOOKBACK);
        if spare > 0 && spare >= self.buf.len() / 2 {
            self.buf.drain(..spare);
            self.dropped += (spare.saturating_sub(self.start)) as u64;
            self.start = self.start.saturating_sub(spare);
            self.pos -= spare;
            self.scanned -= spare;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// The next piece, or `None` until more bytes are pushed.
    ///
    /// With `ended`, nobody will write any more: an incomplete record is passed over, and a whole last line counts although
    /// its newline is missing. After `None` the buffer is empty then.
    pub fn next(&mut self, ended: bool) -> Option<Piece> {
        while self.pos < self.buf.len() {
            if self.run_len() >= MAX_SKIPPED as u64 {
                return self.skipped();
            }
            match self.look(ended) {
                Found::Partial => return None,
                Found::Nothing => {
                    self.plain &= !matches!(self.buf[self.pos], b'\n' | 0);
                    self.bad_byte(Problem::NotARecord);
                }
                Found::Bad(problem) => {
                    self.plain = false;
                    self.bad_byte(problem);
                }
                Found::Record { len, payload, is_line } => {
                    if self.run_len() > 0 && !(is_line && self.plain) {
                        return self.skipped();
                    }
                    let payload = self.buf[self.pos + payload.start..self.pos + payload.end].to_vec();
                    self.pos += len;
                    let n_bytes = self.run_len();
                    self.renew();
                    return Some(Piece::Record { n_bytes, payload });
                }
            }
        }
        if ended && self.run_len() > 0 {
            self.skipped()
        } else {
            None
        }
    }

    /// Bytes pushed that no piece covers yet.
    pub fn n_pending(&self) -> u64 {
        self.dropped + (self.buf.len() - self.start) as u64
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Up to 64 bytes before the end of the last piece.
    pub(super) fn behind_piece(&self) -> &[u8] {
        &self.buf[self.start.saturating_sub(LOOKBACK)..self.start]
    }

    /// Up to 64 bytes before the end of all that was pushed.
    pub(super) fn behind_end(&self) -> &[u8] {
        &self.buf[self.buf.len().saturating_sub(LOOKBACK)..]
    }

    fn run_len(&self) -> u64 {
        self.dropped + (self.pos - self.start) as u64
    }

    fn bad_byte(&mut self, problem: Problem) {
        if matches!(self.problem, None | Some(Problem::NotARecord)) {
            self.problem = Some(problem);
        }
        self.pos += 1;
        self.scanned = self.scanned.max(self.pos);
    }

    fn skipped(&mut self) -> Option<Piece> {
        let problem = self.problem?;
        let n_bytes = self.run_len();
        self.renew();
        Some(Piece::Skipped { n_bytes, problem })
    }

    fn look(&mut self, ended: bool) -> Found {
        let found = match start_of(&self.buf[self.pos..]) {
            Start::Nothing => Found::Nothing,
            Start::Partial => Found::Partial,
            Start::Frame(len) => self.look_frame(len),
            Start::Line => self.look_line(ended),
        };
        match found {
            Found::Partial if ended => Found::Bad(Problem::Incomplete),
            Found::Record { payload, .. } if is_torn(&self.buf[self.pos + payload.start..self.pos + payload.end]) => {
                Found::Bad(Problem::Torn)
            }
            found => found,
        }
    }

    fn look_frame(&mut self, payload_len: usize) -> Found {
        let len = HEADER_LEN + payload_len;
        if payload_len == 0 {
            return Found::Record {
                len,
                payload: len..len,
                is_line: false,
            };
        }
        match self.next_break() {
            Some((at, b'\n')) if at + 1 == len => Found::Record {
                len,
                payload: HEADER_LEN..at,
                is_line: false,
            },
            Some((at, 0)) if at < len => Found::Bad(Problem::Hole),
            Some(_) => Found::Bad(Problem::WrongLength),
            None if self.buf.len() - self.pos >= len => Found::Bad(Problem::WrongLength),
            None => Found::Partial,
        }
    }

    fn look_line(&mut self, ended: bool) -> Found {
        let longest = LINE_MARKER.len() + MAX_PAYLOAD + b"'\r".len();
        let stop = self.next_break();
        let line = &self.buf[self.pos..];
        let (end, len) = match stop {
            Some((at, _)) if at > longest => return Found::Bad(Problem::BadLine),
            Some((_, 0)) => return Found::Bad(Problem::Hole),
            Some((at, _)) => (at, at + 1),
            None if line.len() > longest => return Found::Bad(Problem::BadLine),
            None if ended => (line.len(), line.len()),
            None => return Found::Partial,
        };
        let text = line[LINE_MARKER.len()..end]
            .strip_suffix(b"\r")
            .unwrap_or(&line[LINE_MARKER.len()..end]);
        match text.strip_suffix(b"'") {
            // Without its newline a line is whole only if its JSON is: the quote could be an apostrophe inside.
            Some(payload) if stop.is_some() || is_json(payload) => {
                let payload = LINE_MARKER.len()..LINE_MARKER.len() + payload.len();
                Found::Record {
                    len,
                    payload,
                    is_line: true,
                }
            }
            _ if stop.is_none() => Found::Partial,
            _ => Found::Bad(Problem::BadLine),
        }
    }

    /// The first newline or NUL at or behind the position, relative to it. Remembers how far it looked, also across calls
    /// for different positions, so that a crowd of bad headers costs one scan.
    fn next_break(&mut self) -> Option<(usize, u8)> {
        let from = self.scanned;
        let at = self.buf[from..].iter().position(|b| matches!(b, b'\n' | 0));
        self.scanned = at.map_or(self.buf.len(), |at| from + at);
        at.map(|_| (self.scanned - self.pos, self.buf[self.scanned]))
    }
}

enum Start {
    Nothing,
    Partial,
    Frame(usize),
    Line,
}

/// Whether `bytes` start like a record.
fn start_of(bytes: &[u8]) -> Start {
    match bytes.first() {
        Some(b'M') => {
            let head = &bytes[..bytes.len().min(HEADER_LEN)];
            let fits = head.iter().zip(b"ME").all(|(a, b)| a == b) && head.iter().skip(2).all(u8::is_ascii_digit);
            match (fits, head.len() == HEADER_LEN) {
                (false, _) => Start::Nothing,
                (true, false) => Start::Partial,
                (true, true) => Start::Frame(head[2..].iter().fold(0, |n, d| n * 10 + usize::from(d - b'0'))),
            }
        }
        Some(b'N') if bytes.starts_with(LINE_MARKER) => Start::Line,
        Some(b'N') if LINE_MARKER.starts_with(bytes) => Start::Partial,
        _ => Start::Nothing,
    }
}

/// Whether a payload holds another record's start and is not JSON.
fn is_torn(payload: &[u8]) -> bool {
    (0..payload.len()).any(|at| matches!(start_of(&payload[at..]), Start::Frame(_) | Start::Line)) && !is_json(payload)
}

fn is_json(payload: &[u8]) -> bool {
    std::str::from_utf8(payload).is_ok_and(json::is_json)
}
