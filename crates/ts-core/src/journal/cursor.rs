//! Position in a journal that survives restarts and truncation.

/// A position in a trial's journal.
///
/// `seq` grows for ever within a trial. NNI's SDK before v2.3 truncates the file when a second process opens it, so a byte
/// offset alone could repeat: `base` is what earlier contents of the file had reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct JournalCursor {
    /// Bytes of earlier contents of the file, before it was truncated or replaced; 0 for nearly every trial.
    pub base: u64,
    /// Byte offset in the present file.
    pub offset: u64,
    /// Checksum of the bytes just before `offset`, by which a replaced file is told from a grown one; 0 at offset 0.
    pub check: u32,
}

impl JournalCursor {
    /// The metric's sequence: unique and growing within the trial.
    pub const fn seq(self) -> u64 {
        self.base + self.offset
    }
}
