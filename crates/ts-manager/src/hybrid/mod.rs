//! One experiment on several platforms at once: a training service over others, which knows them by the trait alone.
//!
//! Every trial has one place, written down before it is submitted there. A platform that cannot be reached gets no new trials
//! until it answers again; those that it has stay its own, because nobody knows that they do not run.

mod members;
mod places;
mod route;
mod service;
mod watch;

pub use members::Member;
pub use service::Hybrid;
