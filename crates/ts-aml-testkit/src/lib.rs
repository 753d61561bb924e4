#![doc = include_str!("../README.md")]

mod arm;
mod blob;
mod call;
mod clock;
mod connection;
mod control;
mod entra;
mod faults;
mod handler;
mod history;
mod imds;
mod life;
mod log;
mod metrics;
mod mlflow;
mod open;
mod reply;
mod server;
mod setting;
mod shared;
mod world;

pub use faults::{Fault, Matcher};
pub use log::{Area, Request};
pub use server::AmlServer;
pub use setting::{Compute, Pace, Setting};
