//! Experiment configuration: schema 1 and 2 into one model, with positions and all problems in one go.

/// A platform's own part of the configuration, with source positions.
#[derive(Debug, Clone)]
pub struct PlatformSection {}

/// All problems found so far.
#[derive(Debug, Default)]
pub struct Problems {}
