//! Tests of the journal and what they share: an in-memory file and shorthands. Rendering tests itself.

mod following;
mod parsing;
mod properties;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Chunk, JournalItem, JournalSource, Progress, Tailer};
use crate::{Error, ErrorKind, Result, Retry};

/// A file in memory that can be told to fail.
#[derive(Debug, Default)]
struct MemoryFile {
    content: Vec<u8>,
    /// Reads that still succeed before one fails; `None` for all.
    good_reads: Option<usize>,
}

#[async_trait]
impl JournalSource for MemoryFile {
    async fn read_at(&mut self, offset: u64, len: usize) -> Result<Chunk> {
        if self.good_reads == Some(0) {
            self.good_reads = None;
            return Err(
                Error::new(ErrorKind::Unreachable, "link is down").with_retry(Retry::NotApplied { after: None })
            );
        }
        self.good_reads = self.good_reads.map(|n| n - 1);
        let from = usize::try_from(offset).unwrap().min(self.content.len());
        let to = (from + len).min(self.content.len());
        let bytes = Bytes::copy_from_slice(&self.content[from..to]);
        Ok(Chunk {
            bytes,
            file_len: self.content.len() as u64,
        })
    }
}

/// Shows the tailer `content`, at most `step` new bytes at a time, until it has caught up.
fn follow(tailer: &mut Tailer, content: &[u8], step: usize) -> Vec<JournalItem> {
    let mut items = Vec::new();
    let mut n_rounds = 0;
    loop {
        let at = tailer.next_read();
        let from = usize::try_from(at.offset).unwrap().min(content.len());
        let to = (from + 64 + step).min(from + at.len).min(content.len());
        let progress = tailer.accept(at, &content[from..to], content.len() as u64, &mut items);
        if progress == Progress::CaughtUp {
            return items;
        }
        n_rounds += 1;
        assert!(n_rounds <= content.len() + 4, "the tailer spins");
    }
}

fn bodies(items: &[JournalItem]) -> Vec<&str> {
    items
        .iter()
        .filter_map(|item| match item {
            JournalItem::Frame { body, .. } => Some(body.as_str()),
            JournalItem::Skipped { .. } => None,
        })
        .collect()
}
