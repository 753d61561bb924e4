//! Following a journal from a cursor: which bytes to read next, whether the file is still the same, and what was found.
//!
//! Does no I/O of its own: each platform brings a [`JournalSource`], or asks [`Tailer::next_read`] and answers with
//! [`Tailer::accept`]. When to look again is the platform's business, too.

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    JournalCursor,
    frame::{FrameParser, LOOKBACK, Piece, Problem},
};
use crate::Result;

/// New bytes asked for at once; the checked ones come on top.
const READ_LEN: usize = 256 * 1024;

/// What the journal held, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalItem {
    /// A record.
    Frame {
        /// The position behind it; its `seq` is the metric's.
        cursor: JournalCursor,
        /// The payload without newline or quotes, otherwise as written.
        body: String,
    },
    /// Bytes passed over. Worth a warning; nothing to retry.
    Skipped {
        /// The position behind them.
        cursor: JournalCursor,
        /// How many.
        n_bytes: u64,
        /// Why.
        problem: Problem,
    },
}

impl JournalItem {
    /// The position behind the item: where reading goes on once the item is stored.
    pub const fn cursor(&self) -> JournalCursor {
        match self {
            Self::Frame { cursor, .. } | Self::Skipped { cursor, .. } => *cursor,
        }
    }
}

/// Which bytes a [`Tailer`] wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAt {
    /// From here, in bytes from the start of the file.
    pub offset: u64,
    /// At most this many.
    pub len: usize,
}

/// Whether the file holds more than was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Read again at once.
    More,
    /// Read again when the file may have grown.
    CaughtUp,
}

/// An answer of a [`JournalSource`].
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// The bytes from the asked offset on: as many as asked, fewer only where the file ends. Empty beyond its end.
    pub bytes: Bytes,
    /// Length of the whole file in bytes at the time of the read.
    pub file_len: u64,
}

/// Where a journal is read from.
#[async_trait]
pub trait JournalSource: Send {
    /// Reads up to `len` bytes from `offset`. A file that does not exist (yet) is an empty one: [`Chunk::default`].
    async fn read_at(&mut self, offset: u64, len: usize) -> Result<Chunk>;
}

/// Follows one journal.
///
/// A file shorter than what was read, or whose last bytes differ from those read, was truncated or replaced: it is read anew
/// from its start, with a `base` that keeps `seq` growing. Holds at most one record and one read.
#[derive(Debug)]
pub struct Tailer {
    /// Behind the last item.
    cursor: JournalCursor,
    /// `None` until the bytes before `cursor` have been compared with its checksum.
    parser: Option<FrameParser>,
    /// Found by [`Tailer::drain`] and not returned yet.
    undelivered: Vec<JournalItem>,
}

impl Tailer {
    /// Follows the journal from `cursor` on; [`JournalCursor::default`] is the start.
    pub fn new(cursor: JournalCursor) -> Self {
        let parser = (cursor.offset == 0).then(|| FrameParser::new(&[]));
        Self {
            cursor,
            parser,
            undelivered: Vec::new(),
        }
    }

    /// The position behind the last item handed out by [`Tailer::accept`] or [`Tailer::finish`].
    pub const fn cursor(&self) -> JournalCursor {
        self.cursor
    }

    /// The bytes wanted next: new ones, and up to 64 known ones before them that show whether the file is still the same.
    pub fn next_read(&self) -> ReadAt {
        let n_known = self.n_known();
        ReadAt {
            offset: self.read_end() - n_known as u64,
            len: n_known + READ_LEN,
        }
    }

    /// Takes the bytes found `at` the place of [`Tailer::next_read`], and appends what they complete to `out`.
    ///
    /// `file_len` is the file's whole length. The answer to an outdated question is ignored. Fewer bytes than asked are
    /// taken as they come; none at all means caught up, whatever `file_len` says, so that a weak source cannot spin.
    pub fn accept(&mut self, at: ReadAt, bytes: &[u8], file_len: u64, out: &mut Vec<JournalItem>) -> Progress {
        if at != self.next_read() {
            return Progress::More;
        }
        let n_known = self.n_known();
        if file_len < self.read_end() {
            self.start_over(out);
            return if file_len == 0 {
                Progress::CaughtUp
            } else {
                Progress::More
            };
        }
        let (known, new) = bytes.split_at(bytes.len().min(n_known));
        if known.len() < n_known {
            return Progress::CaughtUp;
        }
        let is_same = match &self.parser {
            Some(parser) => parser.behind_end() == known,
            None => checksum(known) == self.cursor.check,
        };
        if !is_same {
            self.start_over(out);
            return Progress::More;
        }
        self.parser.get_or_insert_with(|| FrameParser::new(known)).push(new);
        self.take_pieces(false, out);
        if !new.is_empty() && self.read_end() < file_len {
            Progress::More
        } else {
            Progress::CaughtUp
        }
    }

    /// The writer has ended and all was read: what is left is incomplete and passed over.
    ///
    /// Following may go on afterwards, should the file grow all the same.
    pub fn finish(&mut self, out: &mut Vec<JournalItem>) {
        self.take_pieces(true, out);
    }

    /// Reads to the end of the file, and with `ended` also gives up on an incomplete rest.
    ///
    /// # Errors
    /// Those of the source. Nothing is lost: the next call goes on where this one stopped and returns all of its items.
    ///
    /// # Cancel safety
    /// Cancel safe, for the same reason: items stay in the tailer until a call returns them.
    pub async fn drain(&mut self, source: &mut dyn JournalSource, ended: bool) -> Result<Vec<JournalItem>> {
        let mut items = std::mem::take(&mut self.undelivered);
        loop {
            let at = self.next_read();
            self.undelivered = items;
            let chunk = source.read_at(at.offset, at.len).await?;
            items = std::mem::take(&mut self.undelivered);
            if self.accept(at, &chunk.bytes, chunk.file_len, &mut items) == Progress::CaughtUp {
                break;
            }
        }
        if ended {
            self.finish(&mut items);
        }
        Ok(items)
    }

    /// Behind the last byte that was read.
    fn read_end(&self) -> u64 {
        self.cursor.offset + self.parser.as_ref().map_or(0, FrameParser::n_pending)
    }

    fn n_known(&self) -> usize {
        match &self.parser {
            Some(parser) => parser.behind_end().len(),
            None => usize::try_from(self.cursor.offset).map_or(LOOKBACK, |offset| offset.min(LOOKBACK)),
        }
    }

    fn take_pieces(&mut self, ended: bool, out: &mut Vec<JournalItem>) {
        let Some(parser) = &mut self.parser else { return };
        while let Some(piece) = parser.next(ended) {
            let (Piece::Record { n_bytes, .. } | Piece::Skipped { n_bytes, .. }) = piece;
            self.cursor.offset += n_bytes;
            self.cursor.check = checksum(parser.behind_piece());
            let cursor = self.cursor;
            out.push(match piece {
                Piece::Record { payload, .. } => match String::from_utf8(payload) {
                    Ok(body) => JournalItem::Frame { cursor, body },
                    Err(_) => JournalItem::Skipped {
                        cursor,
                        n_bytes,
                        problem: Problem::NotUtf8,
                    },
                },
                Piece::Skipped { problem, .. } => JournalItem::Skipped {
                    cursor,
                    n_bytes,
                    problem,
                },
            });
        }
    }

    /// The file is another one now: forgets the bytes of the old one and goes to the start, `seq` growing on.
    fn start_over(&mut self, out: &mut Vec<JournalItem>) {
        let n_bytes = self.parser.as_ref().map_or(0, FrameParser::n_pending);
        self.cursor = JournalCursor {
            base: self.cursor.seq() + n_bytes,
            offset: 0,
            check: 0,
        };
        self.parser = Some(FrameParser::new(&[]));
        if n_bytes > 0 {
            out.push(JournalItem::Skipped {
                cursor: self.cursor,
                n_bytes,
                problem: Problem::Replaced,
            });
        }
    }
}

/// FNV-1a of the bytes before a cursor; 0 at the start of the file. Stored in cursors: must never change.
fn checksum(bytes: &[u8]) -> u32 {
    if bytes.is_empty() {
        return 0;
    }
    bytes
        .iter()
        .fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}
