#![doc = include_str!("../README.md")]

pub mod clock;
pub mod conformance;
mod environment;
mod fast_clock;
pub mod faults;
#[cfg(feature = "http-server")]
pub mod http_server;
mod ids;
pub mod memory;
mod port;
mod program;
pub mod simulated;

pub use clock::TestClock;
pub use environment::Environment;
pub use fast_clock::FastClock;
pub use ids::SeededIds;
pub use port::ReservedPort;
pub use program::write_program;
