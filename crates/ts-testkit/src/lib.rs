#![doc = include_str!("../README.md")]

pub mod clock;
pub mod conformance;
pub mod faults;
mod ids;
pub mod memory;
pub mod simulated;

pub use clock::TestClock;
pub use ids::SeededIds;
