//! The HTTP API, asked over a real socket as clients ask it: shapes, paging, who is refused, what is told at once.

mod client;
mod events;
mod guard;
mod nni;
mod nni_writes;
mod openapi;
mod phases;
mod pushing;
mod reading;
mod world;
mod writing;
