//! What every platform with pulled journals shares: the table of trials, the stream behind `watch` over files on this machine,
//! what the end of a trial means, the pace of looks at a platform, the tasks of a service, and steps that are the same everywhere.
//!
//! How the files get here, and when a trial's status changes, is each platform's own.

mod claims;
mod cleaning;
mod dirs;
mod end;
mod growth;
mod intent;
mod logs;
pub mod mounted;
mod names;
mod pace;
mod registry;
mod running;
mod stored;
mod trouble;
mod watch;

pub use claims::Claims;
pub use cleaning::{remove_each, settle, until_over};
pub use dirs::{TrialDirs, remove_dir, tail};
pub use end::{End, STDERR_TAIL, of_canceled, of_exit, of_lost, of_refused};
pub use growth::notice_growth;
pub use intent::{load_cancel, save_cancel, write_whole};
pub use names::{job_prefix, trial_job, trial_job_prefix, trial_of_job};
pub use pace::{Pace, wait_after};
pub use registry::{Inbox, Known, Registry};
pub use running::{Running, Spawner};
pub use stored::{StoredFiles, watch_looking_on};
pub use trouble::{Trouble, reason_of};
pub use watch::{TrialFiles, watch};
