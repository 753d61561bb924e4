#![doc = include_str!("../README.md")]

mod config;
mod ssh;
mod worker;

pub use config::{CancelSignal, HostKeyPolicy, MachineConfig, RemoteConfig};

/// The platform's name in configurations.
const NAME: &str = "remote";
