//! Reads the stream of reports as `watch.sh` writes it. Sans I/O.

use bytes::{Buf as _, Bytes, BytesMut};
use ts_core::{Error, ErrorKind, LogKind, Result, Timestamp, TrialId};

/// Longest line; a longer one is no report.
const LINE: usize = 4096;
/// Most bytes that one report may carry.
const PAYLOAD: u64 = 64 * 1024 * 1024;

/// What a machine reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchEvent {
    /// Reports follow.
    Ready,
    /// The journal of a trial has grown.
    Journal { id: TrialId, offset: u64, bytes: Bytes },
    /// A followed log has grown, or is complete.
    Log {
        id: TrialId,
        kind: LogKind,
        offset: u64,
        bytes: Bytes,
        is_complete: bool,
    },
    /// The command of a trial has ended.
    Ended {
        id: TrialId,
        code: i32,
        at: Timestamp,
        stderr_tail: String,
    },
    /// The tree of a canceled trial is gone but for these processes.
    Canceled { id: TrialId, leaked: Vec<u32> },
    /// The command of a trial has begun; may be said more than once.
    Begun { id: TrialId },
    /// What keeps the command of a trial from beginning; its machine goes on trying.
    HeldUp { id: TrialId, text: String },
    /// The trial left no exit code.
    Gone { id: TrialId, what: GoneWhat },
}

/// How a trial was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoneWhat {
    Directory,
    Shell,
    Rebooted,
}

/// Takes pieces of the stream in any cut.
#[derive(Debug, Default)]
pub(crate) struct WatchParser {
    buffer: BytesMut,
    /// A report whose line was read and whose bytes are awaited.
    open: Option<(Head, usize)>,
    /// Whether `ready` was seen; what a login shell prints before it is skipped.
    is_ready: bool,
}

#[derive(Debug)]
enum Head {
    Journal(TrialId, u64),
    Log(TrialId, LogKind, u64, bool),
    Ended(TrialId, i32, Timestamp),
    HeldUp(TrialId),
}

impl WatchParser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds the reports that are complete with these bytes to `events`.
    ///
    /// # Errors
    /// `Protocol` for what is no report; the stream cannot be read on.
    pub(crate) fn push(&mut self, bytes: &[u8], events: &mut Vec<WatchEvent>) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        loop {
            if let Some((_, length)) = &self.open {
                if self.buffer.len() < *length {
                    return Ok(());
                }
                if let Some((head, length)) = self.open.take() {
                    let payload = self.buffer.split_to(length).freeze();
                    events.push(complete(head, payload));
                }
                continue;
            }
            let Some(end) = self.buffer.iter().take(LINE).position(|b| *b == b'\n') else {
                if self.buffer.len() < LINE {
                    return Ok(());
                }
                if !self.is_ready {
                    self.buffer.clear();
                    return Ok(());
                }
                return Err(unreadable(&self.buffer[..80]));
            };
            let line = self.buffer.split_to(end);
            self.buffer.advance(1);
            self.line(&line, events)?;
        }
    }

    fn line(&mut self, line: &[u8], events: &mut Vec<WatchEvent>) -> Result<()> {
        if line == b"ready" {
            self.is_ready = true;
            events.push(WatchEvent::Ready);
            return Ok(());
        }
        if !self.is_ready {
            return Ok(());
        }
        let report = std::str::from_utf8(line).ok().and_then(report);
        match report.ok_or_else(|| unreadable(line))? {
            Report::Whole(event) => events.push(event),
            Report::Head(head, length) => self.open = Some((head, length)),
        }
        Ok(())
    }
}

enum Report {
    Whole(WatchEvent),
    Head(Head, usize),
}

fn report(line: &str) -> Option<Report> {
    let mut fields = line.split(' ');
    let op = fields.next()?;
    let id = TrialId::new(fields.next()?).ok()?;
    let report = match op {
        "J" => {
            let offset = fields.next()?.parse().ok()?;
            Report::Head(Head::Journal(id, offset), length(fields.next()?)?)
        }
        "L" => {
            let kind = match fields.next()? {
                "stdout" => LogKind::Stdout,
                "stderr" => LogKind::Stderr,
                "trial" => LogKind::Trial,
                _ => return None,
            };
            let offset = fields.next()?.parse().ok()?;
            let length = length(fields.next()?)?;
            Report::Head(Head::Log(id, kind, offset, fields.next()? == "1"), length)
        }
        "E" => {
            let code = fields.next()?.parse().ok()?;
            let at = Timestamp(fields.next()?.parse().ok()?);
            Report::Head(Head::Ended(id, code, at), length(fields.next()?)?)
        }
        "F" => Report::Head(Head::HeldUp(id), length(fields.next()?)?),
        "S" => Report::Whole(WatchEvent::Begun { id }),
        "C" => {
            let leaked = fields.by_ref().filter(|f| !f.is_empty()).map(|f| f.parse().ok());
            Report::Whole(WatchEvent::Canceled {
                id,
                leaked: leaked.collect::<Option<_>>()?,
            })
        }
        "G" => {
            let what = match fields.next()? {
                "directory" => GoneWhat::Directory,
                "shell" => GoneWhat::Shell,
                "reboot" => GoneWhat::Rebooted,
                _ => return None,
            };
            Report::Whole(WatchEvent::Gone { id, what })
        }
        _ => return None,
    };
    fields.next().is_none().then_some(report)
}

fn length(text: &str) -> Option<usize> {
    let length: u64 = text.parse().ok()?;
    usize::try_from(length).ok().filter(|_| length <= PAYLOAD)
}

fn complete(head: Head, bytes: Bytes) -> WatchEvent {
    match head {
        Head::Journal(id, offset) => WatchEvent::Journal { id, offset, bytes },
        Head::Log(id, kind, offset, is_complete) => WatchEvent::Log {
            id,
            kind,
            offset,
            bytes,
            is_complete,
        },
        Head::Ended(id, code, at) => WatchEvent::Ended {
            id,
            code,
            at,
            stderr_tail: String::from_utf8_lossy(&bytes).into_owned(),
        },
        Head::HeldUp(id) => WatchEvent::HeldUp {
            id,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        },
    }
}

fn unreadable(line: &[u8]) -> Error {
    let text = String::from_utf8_lossy(line);
    Error::new(
        ErrorKind::Protocol,
        format!("`{}` is no report of a machine", text.escape_debug()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &[u8] = b"motd\nready\nS a-1\nJ a-1 0 5\nab\ncdL a-1 trial 3 0 1\nE a-1 1 1700000000123 3\nbadF b 2\nnoC c 12 13\nC d \nG e reboot\n";

    fn parse(pieces: &[&[u8]]) -> Result<Vec<WatchEvent>> {
        let (mut parser, mut events) = (WatchParser::new(), Vec::new());
        for piece in pieces {
            parser.push(piece, &mut events)?;
        }
        Ok(events)
    }

    #[test]
    fn every_report_is_read() {
        let id = |text| TrialId::new(text).expect("legal");
        let events = parse(&[STREAM]).expect("readable");
        let expected = [
            WatchEvent::Ready,
            WatchEvent::Begun { id: id("a-1") },
            WatchEvent::Journal {
                id: id("a-1"),
                offset: 0,
                bytes: Bytes::from_static(b"ab\ncd"),
            },
            WatchEvent::Log {
                id: id("a-1"),
                kind: LogKind::Trial,
                offset: 3,
                bytes: Bytes::new(),
                is_complete: true,
            },
            WatchEvent::Ended {
                id: id("a-1"),
                code: 1,
                at: Timestamp(1_700_000_000_123),
                stderr_tail: "bad".into(),
            },
            WatchEvent::HeldUp {
                id: id("b"),
                text: "no".into(),
            },
            WatchEvent::Canceled {
                id: id("c"),
                leaked: vec![12, 13],
            },
            WatchEvent::Canceled {
                id: id("d"),
                leaked: vec![],
            },
            WatchEvent::Gone {
                id: id("e"),
                what: GoneWhat::Rebooted,
            },
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for bad in [
            "X a\n",
            "J a\n",
            "J a 0 x\n",
            "J ../a 0 1\n",
            "E a 0 1 99999999999\n",
            "G a else\n",
            "J a 0 1 2\n",
        ] {
            let error = parse(&[b"ready\n", bad.as_bytes()]).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Protocol);
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&STREAM[from..cut]);
                from = cut;
            }
            pieces.push(&STREAM[from..]);
            prop_assert_eq!(parse(&pieces).expect("readable"), parse(&[STREAM]).expect("readable"));
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&[b"ready\n", &bytes]);
        }
    }
}
