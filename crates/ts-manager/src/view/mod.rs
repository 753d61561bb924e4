//! Experiments, trials and metrics as the JSON that `tsctl --json` and the REST API give: names that stay, times in RFC 3339.
//!
//! Shapes only; nothing here asks anybody or decides anything.

mod experiment;
mod files;
mod text;
mod trial;

pub use experiment::{experiment, optimize, platform};
pub use files::{directory, explanation, summary, tail};
pub use text::{JsonText, Time};
pub use trial::{Brief, Metric, Trial, Why, metric, reason, trial};
