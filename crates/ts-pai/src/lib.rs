#![doc = include_str!("../README.md")]

mod api;
mod cancel;
mod cleanup;
mod config;
mod core;
mod diagnose;
mod error;
mod exit_codes;
mod files;
mod job;
mod names;
mod observe;
mod prepare;
mod push;
mod recover;
mod reuse;
mod seats;
mod service;
mod status;
mod submit;
mod validate;
mod verdict;
mod watch;

pub use config::{Credential, Document, JobPriority, PaiConfig, Resources};
pub use push::Push;
pub use service::PaiService;

use std::sync::Arc;
use ts_core::{Error, ErrorKind, Platform, config::Problems};

/// OpenPAI, named `pai` in schema 1.
pub const PLATFORM: Platform = Platform {
    name: "openpai",
    aliases: &["pai"],
    v1_sections: &["paiConfig"],
    v1_trial_keys: config::V1_TRIAL_KEYS,
    check: |section, problems| {
        PaiConfig::read(section, problems);
    },
    build: |section, spec, ctx| {
        let mut problems = Problems::new();
        let config = PaiConfig::read(section, &mut problems);
        problems.into_result()?;
        let config = config.ok_or_else(|| Error::new(ErrorKind::Config, "the platform's section cannot be read"))?;
        Ok(Arc::new(PaiService::new(ctx.clone(), config, spec.id.clone())))
    },
    diagnose: |section, ctx| Box::pin(diagnose::diagnose(section, ctx)),
};

/// OpenPAI before 1.0, on YARN: known, so that its files are told what to change.
pub const PAI_YARN: Platform = Platform {
    name: "paiYarn",
    aliases: &[],
    v1_sections: &["paiYarnConfig"],
    v1_trial_keys: config::YARN_TRIAL_KEYS,
    check: config::refuse_yarn,
    build: |section, _, _| {
        let mut problems = Problems::new();
        config::refuse_yarn(section, &mut problems);
        problems.into_result()?;
        Err(Error::unsupported(config::YARN_RETIRED))
    },
    diagnose: |_, _| Box::pin(async { Vec::new() }),
};

/// Both, for programs that know many.
pub const PLATFORMS: [Platform; 2] = [PLATFORM, PAI_YARN];
