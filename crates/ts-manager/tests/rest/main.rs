//! The HTTP API, asked over a real socket as clients ask it: shapes, paging, who is refused, what is told at once.

mod client;
mod events;
mod generated;
mod guard;
mod logs;
mod nni;
mod nni_writes;
mod openapi;
mod phases;
mod pushing;
mod reading;
mod requests;
mod schema;
mod world;
mod writing;
