#![doc = include_str!("../README.md")]

mod api;
mod cancel;
mod cleanup;
mod config;
mod core;
mod diagnose;
mod error;
mod files;
mod job;
mod names;
mod nodes;
mod observe;
mod prepare;
mod pull;
mod recover;
mod reuse;
mod service;
mod status;
mod submit;
mod validate;
mod verdict;
mod watch;

pub use config::{AmlConfig, Cloud, Credential, Lookup};
pub use service::AmlService;

use std::sync::Arc;
use ts_core::{Error, ErrorKind, Platform, config::Problems};

/// Azure Machine Learning.
pub const PLATFORM: Platform = Platform {
    name: "aml",
    aliases: &[],
    v1_sections: &["amlConfig"],
    v1_trial_keys: config::V1_TRIAL_KEYS,
    check: |section, problems| {
        AmlConfig::read(section, problems);
    },
    build: |section, spec, ctx| {
        let mut problems = Problems::new();
        let config = AmlConfig::read(section, &mut problems);
        problems.into_result()?;
        let config = config.ok_or_else(|| Error::new(ErrorKind::Config, "the platform's section cannot be read"))?;
        Ok(Arc::new(AmlService::new(ctx.clone(), config, spec.id.clone())))
    },
    diagnose: |section, ctx| Box::pin(diagnose::diagnose(section, ctx)),
};
