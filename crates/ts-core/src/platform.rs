//! How a platform presents itself to programs that know many: one constant per platform crate.
//!
//! `ts-core` knows no platform; `tsctl` holds the one visible list of these constants.

use crate::{
    Ctx, ExperimentSpec, Result, TrainingService,
    config::{PlatformSection, Problems},
};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// A platform that can be named in a configuration.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "platform crates build it as a constant")]
pub struct Platform {
    /// Name in configurations of schema 2 (`trainingService.platform`), such as `local`.
    pub name: &'static str,
    /// Other names, such as those of schema 1 (`trainingServicePlatform`).
    pub aliases: &'static [&'static str],
    /// Top-level keys of schema 1 that belong to this platform, such as `localConfig`.
    pub v1_sections: &'static [&'static str],
    /// Keys of schema 1's `trial` section that only this platform reads.
    pub v1_trial_keys: &'static [&'static str],
    /// Checks a platform section without I/O; all problems in one go.
    pub check: fn(&PlatformSection, &mut Problems),
    /// Makes the service. Only called when `check` found nothing. No I/O.
    pub build: fn(&PlatformSection, &ExperimentSpec, &Ctx) -> Result<Arc<dyn TrainingService>>,
    /// Looks at what the platform needs, for `doctor`. Leaves no trace.
    pub diagnose: for<'a> fn(Option<&'a PlatformSection>, &'a Ctx) -> BoxFuture<'a, Vec<Finding>>,
}

/// One line of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at, such as `GPUs`.
    pub subject: String,
    /// How it is.
    pub state: FindingState,
    /// What was seen.
    pub message: String,
    /// What to mend.
    pub help: Option<String>,
}

impl Finding {
    /// A finding without help.
    pub fn new(subject: impl Into<String>, state: FindingState, message: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            state,
            message: message.into(),
            help: None,
        }
    }
    /// Adds what to mend.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// How a thing that `doctor` looked at is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FindingState {
    /// As it should be.
    Good,
    /// Works, but look at it.
    Warning,
    /// Does not work.
    Bad,
}
