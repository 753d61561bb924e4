//! Reading a log as a kubelet does for the API server: which entries, how they look, and following until the container has ended.
//!
//! Source: kubernetes v1.20, `pkg/kubelet/kuberuntime/logs/logs.go`, and `pkg/util/tail/tail.go`. Two consequences are easily
//! missed: `tailLines` counts entries before `sinceTime` drops some, and with `timestamps` each piece of a long line has a time in
//! front, in the middle of the line. A follower that is more than one file behind misses what was in between, here as there.

use super::{
    clock,
    log_file::{Extent, Log},
};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use k8s_openapi::jiff::Timestamp;
use std::{
    fs::File,
    io::{self},
    os::unix::fs::FileExt,
    sync::Arc,
};
use tokio::sync::watch;

/// How much is read at a time.
const BLOCK: u64 = 64 * 1024;

/// What is wanted of a log.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// Go on until the container has ended.
    pub(super) follow: bool,
    /// Put the time in front of each entry.
    pub(super) timestamps: bool,
    /// Leave out older entries.
    pub(super) since: Option<Timestamp>,
    /// Begin with the last so many entries.
    pub(super) tail: Option<u64>,
    /// Stop after so many bytes.
    pub(super) limit: Option<u64>,
}

struct Reader {
    log: Arc<Log>,
    changes: watch::Receiver<Extent>,
    file: File,
    extent: Extent,
    offset: u64,
    /// The beginning of an entry whose end is not read yet.
    begun: Vec<u8>,
    options: Options,
    remaining: u64,
}

/// The log from now on, as the answer to a request.
pub(super) fn read(log: Arc<Log>, options: Options) -> io::Result<BoxStream<'static, Bytes>> {
    let changes = log.follow();
    let (file, extent) = log.open()?;
    let offset = match options.tail {
        Some(entries) => tail_start(&file, extent.size, entries)?,
        None => 0,
    };
    let reader = Reader {
        log,
        changes,
        file,
        extent,
        offset,
        begun: Vec::new(),
        remaining: options.limit.unwrap_or(u64::MAX),
        options,
    };
    Ok(stream::unfold(reader, |mut reader| async {
        let bytes = reader.next().await?;
        Some((bytes, reader))
    })
    .boxed())
}

impl Reader {
    /// The next bytes of the answer, or nothing when it is complete.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let text = self.block().ok()?;
            if !text.is_empty() {
                return Some(text.into());
            }
            if self.remaining == 0 {
                return None;
            }
            if self.offset < self.extent.size {
                continue;
            }
            if !self.options.follow {
                return None;
            }
            let now = *self.changes.borrow_and_update();
            if now.file != self.extent.file {
                let end = self.file.metadata().ok()?.len();
                if self.offset < end {
                    // What came into this file before the next one was begun.
                    self.extent.size = end;
                } else {
                    (self.file, self.extent) = self.log.open().ok()?;
                    self.offset = 0;
                }
            } else if now.size > self.extent.size {
                self.extent = now;
            } else if now.closed {
                return None;
            } else {
                self.changes.changed().await.ok()?;
            }
        }
    }

    /// The entries that end in the next block, as they are wanted.
    fn block(&mut self) -> io::Result<Vec<u8>> {
        let length = (self.extent.size - self.offset).min(BLOCK);
        let mut block = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut block, self.offset)?;
        self.offset += length;
        self.begun.extend_from_slice(&block);
        let complete = self
            .begun
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let rest = self.begun.split_off(complete);
        let entries = std::mem::replace(&mut self.begun, rest);
        let mut text = Vec::new();
        for entry in entries.split_inclusive(|byte| *byte == b'\n') {
            if self.remaining == 0 {
                break;
            }
            if let Some(mut shown) = shown(entry, &self.options) {
                shown.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
                self.remaining -= shown.len() as u64;
                text.append(&mut shown);
            }
        }
        Ok(text)
    }
}

/// How an entry looks in the answer, if it belongs there.
fn shown(entry: &[u8], options: &Options) -> Option<Vec<u8>> {
    let mut parts = entry.splitn(4, |byte| *byte == b' ');
    let at: Timestamp = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let (_stream, mark, text) = (parts.next()?, parts.next()?, parts.next()?);
    if options.since.is_some_and(|since| at < since) {
        return None;
    }
    let text = if mark == b"P" {
        text.strip_suffix(b"\n").unwrap_or(text)
    } else {
        text
    };
    let mut shown = Vec::new();
    if options.timestamps {
        shown.extend_from_slice(clock::nanoseconds(at).as_bytes());
        shown.push(b' ');
    }
    shown.extend_from_slice(text);
    Some(shown)
}

/// Where the last so many entries begin.
fn tail_start(file: &File, size: u64, entries: u64) -> io::Result<u64> {
    let (mut end, mut ends_seen) = (size, 0);
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(end - begin).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut block, begin)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if ends_seen == entries {
                return Ok(begin + index as u64 + 1);
            }
            ends_seen += 1;
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{Log, Options, read};
    use crate::kubelet::log_file::Lines;
    use futures_util::StreamExt;
    use std::sync::Arc;

    struct Written {
        _dir: tempfile::TempDir,
        log: Arc<Log>,
        lines: Lines,
    }

    fn log(limit: Option<u64>) -> Written {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Arc::new(Log::create(dir.path().join("0.log"), limit).expect("a log"));
        Written {
            _dir: dir,
            log,
            lines: Lines::new("stdout"),
        }
    }

    impl Written {
        fn write(&mut self, text: &str) {
            self.lines.write(&self.log, text.as_bytes()).expect("written");
        }

        async fn read(&self, options: Options) -> String {
            let mut stream = read(self.log.clone(), options).expect("a log");
            let mut text = Vec::new();
            while let Some(bytes) = stream.next().await {
                text.extend_from_slice(&bytes);
            }
            String::from_utf8(text).expect("text")
        }
    }

    #[tokio::test]
    async fn which_entries() {
        let mut written = log(None);
        written.write("one\n\nthree\n");
        let all = Options::default();
        assert_eq!(written.read(all.clone()).await, "one\n\nthree\n");
        for (tail, expected) in [
            (0, ""),
            (1, "three\n"),
            (2, "\nthree\n"),
            (3, "one\n\nthree\n"),
            (9, "one\n\nthree\n"),
        ] {
            let options = Options {
                tail: Some(tail),
                ..all.clone()
            };
            assert_eq!(written.read(options).await, expected, "{tail}");
        }
        for (limit, expected) in [(1, "o"), (4, "one\n"), (6, "one\n\nt"), (99, "one\n\nthree\n")] {
            let options = Options {
                limit: Some(limit),
                ..all.clone()
            };
            assert_eq!(written.read(options).await, expected, "{limit}");
        }
        let options = Options {
            since: Some(crate::kubelet::clock::now()),
            ..all
        };
        assert_eq!(written.read(options).await, "");
    }

    #[tokio::test]
    async fn times_are_before_every_piece_of_a_long_line() {
        let mut written = log(None);
        written.write(&format!("{}\n", "x".repeat(16385)));
        let options = Options {
            timestamps: true,
            ..Options::default()
        };
        let text = written.read(options).await;
        let time = "2016-10-06T00:17:09.669794202Z ".len();
        assert_eq!(text.len(), 16385 + 1 + 2 * time);
        assert_eq!(&text[time + 16384..][4..5], "-", "the second time");
        assert_eq!(
            written.read(Options::default()).await.len(),
            16386,
            "one line without them"
        );
    }

    #[tokio::test]
    async fn following_ends_when_the_log_is_closed() {
        let mut written = log(None);
        written.write("one\n");
        let options = Options {
            follow: true,
            ..Options::default()
        };
        let mut stream = read(written.log.clone(), options).expect("a log");
        assert_eq!(stream.next().await.as_deref(), Some(b"one\n".as_slice()));
        written.write("two\nunfinished");
        assert_eq!(stream.next().await.as_deref(), Some(b"two\n".as_slice()));
        written.lines.end(&written.log).expect("ended");
        written.log.close();
        assert_eq!(stream.next().await.as_deref(), Some(b"unfinished".as_slice()));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn following_goes_on_in_the_next_file_and_reading_does_not() {
        let mut written = log(Some(60));
        written.write("one\n");
        let options = Options {
            follow: true,
            ..Options::default()
        };
        let mut stream = read(written.log.clone(), options).expect("a log");
        assert_eq!(stream.next().await.as_deref(), Some(b"one\n".as_slice()));
        written.write("two\n");
        written.write("three\n");
        assert_eq!(written.read(Options::default()).await, "three\n");
        assert_eq!(stream.next().await.as_deref(), Some(b"two\n".as_slice()));
        assert_eq!(stream.next().await.as_deref(), Some(b"three\n".as_slice()));
        written.log.close();
        assert_eq!(stream.next().await, None);
    }
}
