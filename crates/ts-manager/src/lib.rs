//! Runs an experiment: where hyper-parameters come from, which trials are stopped early, the trial loop and its store.
//!
//! Knows platforms through `ts_core::TrainingService` alone and names none.

pub mod assess;
pub mod search_space;
pub mod source;
pub mod store;
