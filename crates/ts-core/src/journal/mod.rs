//! The journal: parsing frames, and tailing a file that others append to.

mod cursor;
mod frame;
mod render;
mod tail;
#[cfg(test)]
mod tests;

pub use cursor::JournalCursor;
pub use frame::{FrameParser, MAX_PAYLOAD, MAX_SKIPPED, Piece, Problem};
pub use render::{frame, line};
pub use tail::{Chunk, JournalItem, JournalSource, Progress, ReadAt, Tailer};
