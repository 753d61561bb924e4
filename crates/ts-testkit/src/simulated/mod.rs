//! A platform in virtual time, for experiments of 100,000 trials: queue, durations, failures, lost machines and metrics come
//! from a seed, and watching it is what makes time pass.
//!
//! It runs no commands, so the conformance suite, whose trials are commands, does not apply to it; its own tests check the
//! promises that it shares with every platform.

mod cluster;
mod plan;
mod service;
mod watch;

pub use cluster::SimulatedCluster;
pub use plan::{Durations, Objective, Simulation};
pub use service::SimulatedService;
