#![doc = include_str!("../README.md")]

mod board;
mod cancel;
mod cleanup;
mod config;
mod core;
mod diagnose;
mod gpu_query;
mod job;
mod link;
mod machine;
mod mirror;
mod observe;
mod place;
mod prepare;
mod recover;
mod service;
mod ssh;
mod start;
mod submit;
mod validate;
mod warm;
mod watch;
mod worker;

pub use config::{CancelSignal, HostKeyPolicy, MachineConfig, RemoteConfig};
pub use service::RemoteService;

use std::sync::Arc;
use ts_core::{Platform, config::Problems};

/// The platform's name in configurations.
const NAME: &str = "remote";

/// This platform, for programs that know many.
pub const PLATFORM: Platform = Platform {
    name: NAME,
    aliases: &[],
    v1_sections: &["machineList", "remoteConfig"],
    v1_trial_keys: &[],
    check: |section, problems| {
        RemoteConfig::read(section, problems);
    },
    build: |section, spec, ctx| {
        let mut problems = Problems::new();
        let config = RemoteConfig::read(section, &mut problems);
        problems.into_result()?;
        Ok(Arc::new(RemoteService::new(ctx.clone(), config, spec.id.clone())))
    },
    diagnose: |section, ctx| Box::pin(diagnose::diagnose(section, ctx)),
};
