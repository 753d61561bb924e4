//! Where hyper-parameters come from: the [`ParameterSource`] contract, the built-in algorithms and the packed text of trials.
//!
//! Early stopping belongs to `assess`; the trial loop that asks and tells belongs elsewhere.

pub(crate) mod arguments;
mod batch;
pub(crate) mod build;
mod built_in;
mod contract;
mod grid;
mod packed;
mod random;
mod tpe;
mod tpe_settings;

pub use build::{AlgorithmSpec, build, needs_nni};
pub use contract::{ImportedResult, Observation, ParameterSource, PastTrial, Proposal, SourceEvent};
pub use packed::{Packed, pack, pack_custom, pack_for, pack_no_more, python_json, unpack};
pub(crate) use packed::{parameter_id, says_no_more};
