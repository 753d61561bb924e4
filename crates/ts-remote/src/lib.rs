#![doc = include_str!("../README.md")]

#![allow(dead_code, unused_imports, reason = "the parts arrive one by one")]

mod config;
mod ssh;
mod worker;

pub use config::{CancelSignal, HostKeyPolicy, MachineConfig, RemoteConfig};

/// The platform's name in configurations.
const NAME: &str = "remote";
