//! The HTTP API of one experiment: our own under `/api/v2`, NNI's under `/api/v1/nni`, and files of a portal if there is one.
//!
//! Nothing listens unless somebody asks for it. Answers are read from the store; what changes something is asked of the manager,
//! in this process or over its control socket. `docs/rest.md` describes the routes, decision 0013 the choices.

mod answer;
mod assets;
mod channel;
mod commands;
mod error;
mod events;
mod guard;
mod input;
mod keeper;
mod port;
mod prometheus;
mod readers;
mod server;
mod state;
mod stored;
mod stream;
mod v1;
mod v2;

pub use assets::{Asset, Assets};
pub use commands::{Commands, OverSocket};
pub use port::{Listen, Port};
pub use server::{Api, Served, serve};
pub use stored::{Address, address};
