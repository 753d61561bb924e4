//! Runs an experiment: where hyper-parameters come from, which trials are stopped early, the trial loop and its store.
//!
//! Knows platforms through `ts_core::TrainingService` alone and names none.

pub mod assess;
mod commands;
pub mod control;
mod deadlines;
mod directory;
pub mod hybrid;
mod live;
mod manager;
mod metrics;
mod next_parameters;
pub mod nni_folder;
mod notice;
mod observe;
mod phases;
mod placement;
mod pool;
#[cfg(feature = "rest")]
pub mod rest;
mod retry_rules;
pub mod search_space;
pub mod source;
mod start;
pub mod store;
#[cfg(feature = "otel")]
pub mod trace;
mod trials;
mod turn;
pub mod view;

pub use directory::{ExperimentDirectory, ManagerLock, ManagerProcess};
pub use manager::{Manager, ManagerHandle, Outcome, Parts};
pub use notice::{Notice, Snapshot};
pub use observe::{Call, Observer};
pub use retry_rules::RetryRules;
