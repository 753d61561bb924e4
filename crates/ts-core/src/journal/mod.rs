//! The journal: parsing frames, and tailing a file that others append to.

mod cursor;

pub use cursor::JournalCursor;
