//! Traces of trials as OpenTelemetry has them (feature `otel`): an [`crate::Observer`] that makes spans of what the manager does.
//!
//! Makes spans and hands them to a processor; sending them, and reading the environment, belong to whoever runs the manager.
//! `docs/telemetry.md` lists every name.

mod draft;
mod ids;
pub mod names;
mod run;
mod traces;
mod trial;

pub use traces::Traces;
