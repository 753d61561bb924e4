//! Experiment configuration: schema 1 and 2 into one model, with positions and all problems in one go.
//!
//! Takes texts and directories from its caller; reads no environment and knows no platform. Each platform reads its own
//! [`PlatformSection`] with the same [`Section`] cursor that the common keys are read with.

mod common;
mod files;
mod literal_secret;
mod migrate;
mod model;
mod node;
mod parse;
mod platform_section;
mod problems;
mod quantity;
mod readers;
mod reads;
pub mod reference;
mod resolved;
mod scalar;
mod search_space;
mod secret_ref;
mod section;
mod source;
mod v1;
mod v2;
mod yaml;

pub use literal_secret::{LiteralSecret, masked, without_secrets};
pub use migrate::{Migrated, Note, NoteKind, migrate};
pub use model::{
    Algorithm, AlgorithmKind, ExperimentConfig, LocalMounted, LogLevel, RetryLimits, SharedStorage, SharedStorageKind,
};
pub use node::{Entry, Node, Value};
pub use parse::{Parsed, parse, parse_past};
pub use platform_section::{PlatformSection, Share, Shortcuts};
pub use problems::{Problem, Problems, nearest};
pub use resolved::{Origin, Resolved, ResolvedValue};
pub use secret_ref::{CONFIG_REFERENCE, SecretRef};
pub use section::{Key, Section};
pub use source::{ConfigSource, Schema};
pub use yaml::load as load_yaml;
