//! The trial loop against the reference platform: complete runs, crashes at any moment, faults at every step, requests,
//! limits, retries.

mod crash;
mod faults;
mod lifecycle;
mod listening;
mod phases;
mod reports;
#[cfg(feature = "otel")]
mod traces;
mod world;
