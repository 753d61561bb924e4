//! What servers of tests that speak HTTP share. What they serve, and which faults they know, is each server's own.

mod answers;
mod log;
mod plan;
mod serving;

pub use answers::{broken, page, plain};
pub use log::RequestLog;
pub use plan::{FaultPlan, PathPart};
pub use serving::Serving;
