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
mod observe;
mod prepare;
mod recover;
mod service;
mod status;
mod submit;
mod validate;
mod verdict;
mod watch;

pub use config::DltsConfig;
pub use service::DltsService;

use std::sync::Arc;
use ts_core::{Error, ErrorKind, Platform, config::Problems};

/// DLTS, also known as DLWorkspace.
pub const PLATFORM: Platform = Platform {
    name: "dlts",
    aliases: &[],
    v1_sections: &["dltsConfig"],
    v1_trial_keys: config::V1_TRIAL_KEYS,
    check: |section, problems| {
        DltsConfig::read(section, problems);
    },
    build: |section, spec, ctx| {
        let mut problems = Problems::new();
        let config = DltsConfig::read(section, &mut problems);
        problems.into_result()?;
        let config = config.ok_or_else(|| Error::new(ErrorKind::Config, "the platform's section cannot be read"))?;
        Ok(Arc::new(DltsService::new(ctx.clone(), config, spec.id.clone())))
    },
    diagnose: |section, ctx| Box::pin(diagnose::diagnose(section, ctx)),
};
