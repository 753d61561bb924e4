//! The remote platform against an SSH server in this process that runs real shells.

mod agent;
mod code;
mod conformance;
mod connection;
mod faults;
mod host_keys;
mod machine;
mod server;
mod shells;
mod slow_line;
mod traffic;
