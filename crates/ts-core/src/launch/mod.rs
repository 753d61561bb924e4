//! The launch script that every platform runs: POSIX sh, no agent; and the names of what a trial's directory holds.
//!
//! Starting the script (a process, a job, a container) belongs to the platforms.

mod environment;
mod paths;
mod quote;
mod script;
mod shell;
#[cfg(test)]
mod test_shells;

pub use environment::{TrialContext, trial_environment, visible_devices};
pub use paths::{TrialExit, TrialPaths, parse_state};
pub use quote::quote;
pub use script::{LaunchScript, StateClock};
pub use shell::{Interpreter, interpreter, shell_neutral};
