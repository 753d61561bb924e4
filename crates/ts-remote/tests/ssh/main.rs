//! The remote platform against an SSH server in this process that runs real shells.

mod agent;
mod code;
mod conformance;
mod connection;
mod faults;
mod gpus;
mod host_keys;
mod looking_on;
mod machine;
mod server;
mod shells;
mod slow_line;
mod traffic;
