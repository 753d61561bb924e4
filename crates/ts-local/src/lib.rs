#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!("ts-local needs Linux 5.3 or later: it sees ends of processes through pidfds and finds trees in /proc");

mod cancel;
mod cleanup;
mod config;
mod core;
mod diagnose;
mod error;
mod gpus;
mod last_sweep;
mod observe;
mod prepare;
mod process_tree;
mod recover;
mod service;
mod spawn;
mod status;
mod submit;
mod validate;
mod watch;

pub use config::{CancelSignal, LocalConfig};
pub use service::LocalService;

use std::sync::Arc;
use ts_core::{Platform, config::Problems};

/// The platform's name in configurations.
const NAME: &str = "local";

/// This platform, for programs that know many.
pub const PLATFORM: Platform = Platform {
    name: NAME,
    aliases: &[],
    v1_sections: &["localConfig"],
    v1_trial_keys: &[],
    check: |section, problems| {
        LocalConfig::read(section, problems);
    },
    build: |section, _, ctx| {
        let mut problems = Problems::new();
        let config = LocalConfig::read(section, &mut problems);
        problems.into_result()?;
        Ok(Arc::new(LocalService::new(ctx.clone(), config)))
    },
    diagnose: |section, ctx| Box::pin(diagnose::diagnose(section, ctx)),
};
