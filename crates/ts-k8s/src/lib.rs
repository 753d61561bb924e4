#![doc = include_str!("../README.md")]

mod access;
mod anchor;
mod apart;
mod cancel;
mod cleanup;
mod config;
mod core;
mod deliver;
mod diagnose;
mod error;
mod exec;
mod job;
mod key_vault;
mod kinds;
mod names;
mod object;
mod observe;
mod pods;
mod prepare;
mod recover;
mod relay;
mod rest;
mod scene;
mod service;
mod status;
mod submit;
mod talk;
mod validate;
mod verdict;
mod volume;
mod watch;

pub use config::{
    Access, AzureKey, CompletionPolicy, DeletionPolicy, JobKind, KubernetesConfig, Pods, Role, Storage, StorageKind,
};
pub use service::KubernetesService;

use std::sync::Arc;
use ts_core::{
    Ctx, Error, ExperimentSpec, Platform, Result, TrainingService,
    config::{PlatformSection, Problems},
};

/// Kubeflow: TFJob, PyTorchJob and TrainJob.
pub const KUBEFLOW: Platform = platform("kubeflow", &["kubeflowConfig"], &["worker", "ps", "master"]);
/// FrameworkController.
pub const FRAMEWORK_CONTROLLER: Platform =
    platform("frameworkcontroller", &["frameworkcontrollerConfig"], &["taskRoles"]);
/// Plain jobs, which need no operator.
pub const KUBERNETES: Platform = platform("kubernetes", &[], &[]);
/// All of them, for programs that know many.
pub const PLATFORMS: [Platform; 4] = [KUBEFLOW, FRAMEWORK_CONTROLLER, KUBERNETES, ADL];
/// AdaptDL: known, so that its files are told what to change.
pub const ADL: Platform = Platform {
    name: "adl",
    aliases: &[],
    v1_sections: &[],
    v1_trial_keys: config::ADL_TRIAL_KEYS,
    check: config::refuse_adl,
    build: |section, _, _| {
        let mut problems = Problems::new();
        config::refuse_adl(section, &mut problems);
        problems.into_result()?;
        Err(Error::unsupported(config::ADL_RETIRED))
    },
    diagnose: |_, _| Box::pin(async { Vec::new() }),
};

const fn platform(
    name: &'static str,
    v1_sections: &'static [&'static str],
    v1_trial_keys: &'static [&'static str],
) -> Platform {
    Platform {
        name,
        aliases: &[],
        v1_sections,
        v1_trial_keys,
        check: |section, problems| {
            KubernetesConfig::read(section, problems);
        },
        build,
        diagnose: |section, ctx| Box::pin(diagnose::diagnose(section, ctx)),
    }
}

fn build(section: &PlatformSection, spec: &ExperimentSpec, ctx: &Ctx) -> Result<Arc<dyn TrainingService>> {
    let mut problems = Problems::new();
    let config = KubernetesConfig::read(section, &mut problems);
    problems.into_result()?;
    Ok(Arc::new(KubernetesService::new(ctx.clone(), config, spec.id.clone())))
}
