//! Could this experiment run here? Asks the cluster and looks at the storage; leaves no trace.

use crate::{PaiConfig, core::Core, push, seats};
use std::path::Path;
use ts_core::{Error, ErrorKind, ExperimentSpec, Result, Warning, Warnings};

pub(crate) async fn validate(core: &Core, spec: &ExperimentSpec) -> Result<Warnings> {
    let config = &core.config;
    if spec.command.trim().is_empty() && config.document.is_none() {
        return Err(Error::new(ErrorKind::Config, "the command of a trial is empty")
            .with_key("trialCommand")
            .with_help("write the command that runs one trial, such as `python3 train.py`"));
    }
    if let Some(push) = &config.push {
        if core.gate.door().await.is_none() {
            ts_core::push::is_free(push.listen)
                .await
                .map_err(|e| e.with_key("push.listen"))?;
        }
    } else {
        let mount = config.local_mount.clone();
        core.ctx.tasks.blocking(move || is_writable(&mount)).await?;
    }
    core.api.info().await?;
    let mut warnings = Warnings::new();
    warnings.extend(config.push.iter().flat_map(push::warnings));
    storages(core, &mut warnings).await?;
    virtual_cluster(core, &mut warnings).await?;
    Ok(warnings)
}

/// Checks that the storage is there and takes files. Nothing is written: a folder's mode tells enough.
pub(crate) fn is_writable(mount: &Path) -> Result<()> {
    let meta = std::fs::metadata(mount)
        .map_err(|e| Error::io("look at the storage", mount, e).with_key("localStorageMountPoint"))?;
    if !meta.is_dir() {
        return Err(
            Error::new(ErrorKind::Config, format!("`{}` is no directory", mount.display()))
                .with_key("localStorageMountPoint")
                .with_help("mount the storage there"),
        );
    }
    if meta.permissions().readonly() {
        return Err(
            Error::new(ErrorKind::Denied, format!("nobody may write to `{}`", mount.display()))
                .with_key("localStorageMountPoint")
                .with_help("mount the storage so that it can be written"),
        );
    }
    Ok(())
}

/// Names of the storages that the jobs mount.
pub(crate) fn storage_names(config: &PaiConfig) -> Vec<&str> {
    let mut names = config
        .document
        .as_ref()
        .map(crate::Document::storages)
        .unwrap_or_default();
    names.extend(config.storage_name.as_deref());
    names.dedup();
    names
}

async fn storages(core: &Core, warnings: &mut Warnings) -> Result<()> {
    let config = &core.config;
    let present = core.api.storages().await?;
    for name in storage_names(config) {
        let Some(storage) = present.iter().find(|storage| storage.name == name) else {
            let list: Vec<String> = present.iter().map(|storage| format!("`{}`", storage.name)).collect();
            let help = if list.is_empty() {
                "the user has no storage: ask the cluster's administrator".to_owned()
            } else {
                format!("those of the user: {}", list.join(", "))
            };
            return Err(Error::new(
                ErrorKind::Config,
                format!("`{}` has no storage `{name}`", config.user_name),
            )
            .with_key("storageConfigName")
            .with_help(help));
        };
        if storage.share == Some(false) && config.push.is_none() {
            warnings.push(
                Warning::new(format!("the storage `{name}` shows each user a folder of their own"))
                    .with_key("localStorageMountPoint")
                    .with_help("mount that folder here, not all of the storage"),
            );
        }
    }
    let mounts: Vec<String> = storage_names(config)
        .iter()
        .map(|name| format!("/mnt/{name}"))
        .collect();
    let is_below = |mount: &String| Path::new(&config.container_mount).starts_with(mount);
    if config.document.is_none() && config.push.is_none() && !mounts.iter().any(is_below) {
        let places = mounts.join(", ");
        warnings.push(
            Warning::new(format!(
                "`{}` is not where OpenPAI mounts the storage",
                config.container_mount
            ))
            .with_key("containerStorageMountPoint")
            .with_help(format!("OpenPAI mounts it at {places}, unless a job says otherwise")),
        );
    }
    Ok(())
}

async fn virtual_cluster(core: &Core, warnings: &mut Warnings) -> Result<()> {
    let config = &core.config;
    let present = core.api.virtual_clusters().await?;
    let own = config
        .document
        .as_ref()
        .and_then(|document| document.value()["defaults"]["virtualCluster"].as_str());
    let name = config.virtual_cluster.as_deref().or(own).unwrap_or("default");
    let Some(cluster) = present.get(name) else {
        let list: Vec<String> = present.keys().map(|name| format!("`{name}`")).collect();
        return Err(
            Error::new(ErrorKind::Config, format!("there is no virtual cluster `{name}`"))
                .with_key("virtualCluster")
                .with_help(format!("those of the cluster: {}", list.join(", "))),
        );
    };
    if cluster.status.as_deref().is_some_and(|status| status != "RUNNING") {
        warnings.push(
            Warning::new(format!(
                "the virtual cluster `{name}` is stopped; jobs wait until it is started"
            ))
            .with_key("virtualCluster"),
        );
    }
    let wanted = wanted_gpus(config);
    if wanted > 0.0 && cluster.resources_total.gpus > 0.0 && wanted > cluster.resources_total.gpus {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "a trial wants {wanted} GPUs, and the virtual cluster `{name}` has {}",
                cluster.resources_total.gpus
            ),
        )
        .with_key("trialGpuNumber")
        .with_help("ask for fewer, or use another virtual cluster"));
    }
    Ok(())
}

/// GPUs of all instances of a trial.
fn wanted_gpus(config: &PaiConfig) -> f64 {
    match (&config.resources, &config.document) {
        (Some(resources), _) => f64::from(resources.gpus),
        (None, Some(document)) => {
            let roles = seats::roles(config);
            let of = |(name, role): (&String, &serde_json::Value)| {
                let instances = roles
                    .iter()
                    .find(|own| own.name == *name)
                    .map_or(1, |own| own.instances);
                role["resourcePerInstance"]["gpu"].as_f64().unwrap_or(0.0) * f64::from(instances)
            };
            document.roles().map(of).sum()
        }
        (None, None) => 0.0,
    }
}
