//! What every platform with pulled journals shares: the table of trials, the stream behind `watch` over files on this machine,
//! and what the end of a trial means.
//!
//! How the files get here, and when a trial's status changes, is each platform's own.

mod dirs;
mod end;
mod growth;
mod intent;
mod logs;
mod registry;
mod watch;

pub use dirs::{TrialDirs, tail};
pub use end::{End, STDERR_TAIL, of_canceled, of_exit, of_lost};
pub use growth::notice_growth;
pub use intent::{load_cancel, save_cancel, write_whole};
pub use registry::{Inbox, Known, Registry};
pub use watch::{TrialFiles, watch};
