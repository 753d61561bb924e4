//! The controller of `batch/v1` Jobs, for a server that has none. Its parts also serve the TrainJobs, whose pods a Job
//! makes.

mod count;
mod engine;
mod make;
mod policy;
mod verdict;

pub(super) use count::{Counts, count};
pub(super) use engine::Jobs;
pub(super) use make::{Making, missing, surplus};
pub(super) use verdict::{Verdict, failure, is_complete};
