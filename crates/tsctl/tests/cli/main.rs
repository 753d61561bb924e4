//! The real `tsctl` as a user meets it: experiments of tiny shell trials on the local platform, each test with a home of its own.
//!
//! What a command decides is tested beside its code; here is what only a whole process shows: exit codes, streams, signals,
//! crashes, and several processes on one experiment.

mod configuration;
mod crash;
mod detached;
mod ending;
mod import;
mod lab;
mod load_nni;
mod looking;
mod migrate;
mod migrate_models;
mod nnictl;
mod phases;
mod portal;
mod running;
#[cfg(feature = "otel")]
mod telemetry;
mod web;
