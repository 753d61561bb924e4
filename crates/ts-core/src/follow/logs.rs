//! Follows one log file of a trial for a watcher, a bounded piece at a time, however large the file is.
//!
//! When to read is `watch`'s business.

use crate::LogKind;
use bytes::Bytes;
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// Most bytes of a piece.
const PIECE: u64 = 64 * 1024;
/// Most bytes of a log that may stand between a watched trial and the news of its end; what is before them is a gap.
const BACKLOG: u64 = 16 * 1024 * 1024;

/// A piece of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// Whether something before it is left out.
    pub(crate) gap: bool,
}

/// Position of one watcher in one log.
#[derive(Debug)]
pub(crate) struct Follower {
    kind: LogKind,
    offset: u64,
    gap: bool,
    /// Whether it followed the log while the trial ran; only then is there somebody who waits for the end.
    was_live: bool,
}

impl Follower {
    pub(crate) fn new(kind: LogKind) -> Self {
        Self {
            kind,
            offset: 0,
            gap: false,
            was_live: false,
        }
    }

    pub(crate) fn kind(&self) -> LogKind {
        self.kind
    }

    /// The next piece, or `None` if there is none yet. A file that became shorter is read anew, behind a gap.
    pub(crate) fn read(&mut self, path: &Path, has_ended: bool) -> io::Result<Option<Piece>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let len = file.metadata()?.len();
        if len < self.offset {
            (self.offset, self.gap) = (0, true);
        }
        if !has_ended {
            self.was_live = true;
        } else if self.was_live && len - self.offset > BACKLOG {
            (self.offset, self.gap) = (len - BACKLOG, true);
        }
        if len == self.offset {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::with_capacity(usize::try_from(PIECE.min(len - self.offset)).unwrap_or(0));
        file.take(PIECE).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.offset += bytes.len() as u64;
        Ok(Some(Piece {
            bytes: bytes.into(),
            gap: std::mem::take(&mut self.gap),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn pieces(follower: &mut Follower, path: &Path, has_ended: bool) -> (u64, bool) {
        let (mut n_bytes, mut gap) = (0, false);
        while let Some(piece) = follower.read(path, has_ended).expect("readable") {
            assert!(piece.bytes.len() as u64 <= PIECE);
            n_bytes += piece.bytes.len() as u64;
            gap |= piece.gap;
        }
        (n_bytes, gap)
    }

    #[test]
    fn a_log_is_followed_and_a_shrunk_one_read_anew_behind_a_gap() {
        let mut file = tempfile::NamedTempFile::new().expect("room");
        let path = file.path().to_owned();
        let mut follower = Follower::new(LogKind::Stdout);
        assert_eq!(pieces(&mut follower, &path, false), (0, false));
        file.write_all(&vec![b'x'; 200_000]).expect("room");
        assert_eq!(pieces(&mut follower, &path, false), (200_000, false));
        std::fs::write(&path, "abc").expect("room");
        assert_eq!(pieces(&mut follower, &path, false), (3, true));
    }

    #[test]
    fn a_huge_rest_delays_the_end_by_a_bounded_amount_only() {
        let file = tempfile::NamedTempFile::new().expect("room");
        let mut follower = Follower::new(LogKind::Stdout);
        assert_eq!(pieces(&mut follower, file.path(), false), (0, false));
        file.as_file().set_len(100 * 1024 * 1024).expect("sparse");
        assert_eq!(pieces(&mut follower, file.path(), true), (BACKLOG, true));
        let mut late = Follower::new(LogKind::Stdout);
        assert_eq!(pieces(&mut late, file.path(), true), (100 * 1024 * 1024, false));
    }
}
