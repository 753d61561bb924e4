//! The reference platform: everything the contract asks for, in memory, driven by hand or by a small script.

mod cluster;
mod code;
mod job;
mod script;
mod service;
mod watch;

pub use cluster::MemoryCluster;
pub use service::MemoryService;
