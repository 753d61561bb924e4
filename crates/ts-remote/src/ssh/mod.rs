//! SSH connections: whom to connect to and how, one owner thread per connection, processes on the machine as channels.
//!
//! What runs through the channels is `worker`'s business.

mod agent;
mod authenticate;
mod client_config;
mod connection;
mod dial;
mod handshake;
mod identity;
mod jump;
mod known_hosts;
mod outers;
mod owner;
mod patterns;
mod port;
mod process;
mod pulse;
mod surroundings;
mod target;
mod tokens;

pub(crate) use connection::{Connection, Hop, connect};
pub(crate) use outers::Outers;
pub(crate) use process::{ExecError, Output, OutputReader, Process, Stdin};
pub(crate) use target::Target;
