//! Early stopping: whether a running trial is worth going on with, judged by its intermediate results.
//!
//! Ending a trial belongs to the trial loop; proposing parameters to `source`.

mod build;
mod contract;
mod median;
mod medianstop;

pub use build::{build, needs_nni};
pub use contract::{Assessor, Judgment};
