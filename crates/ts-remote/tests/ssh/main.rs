//! The remote platform against an SSH server in this process that runs real shells.

mod conformance;
mod server;
