//! Could this experiment run here? Asks the cluster and looks at the shared folder; leaves no trace.

use crate::{api::Team, core::Core};
use std::path::Path;
use ts_core::{Error, ErrorKind, ExperimentSpec, Result, Warning, Warnings};

pub(crate) async fn validate(core: &Core, spec: &ExperimentSpec) -> Result<Warnings> {
    let config = &core.config;
    if spec.command.trim().is_empty() {
        return Err(Error::new(ErrorKind::Config, "the command of a trial is empty")
            .with_key("trialCommand")
            .with_help("write the command that runs one trial, such as `python3 train.py`"));
    }
    let mount = config.local_mount.clone();
    core.ctx.tasks.blocking(move || is_writable(&mount)).await?;
    let team = core.api.team().await?;
    let model = match &config.gpu_type {
        Some(model) if !team.gpus.is_empty() && !team.gpus.contains_key(model) => {
            return Err(
                Error::new(ErrorKind::Config, format!("the team has no GPUs of model `{model}`"))
                    .with_key("gpuType")
                    .with_help(format!("those of the team: {}", models(&team))),
            );
        }
        Some(model) => model.clone(),
        None => only_model(&team, config.gpus)?,
    };
    let mut warnings = Warnings::new();
    match team.gpus.get(&model) {
        Some(&quota) if f64::from(config.gpus) > quota => {
            let message = format!(
                "a trial wants {} GPUs, and the team has {quota} of model `{model}`",
                config.gpus
            );
            return Err(Error::new(ErrorKind::Config, message)
                .with_key("trialGpuNumber")
                .with_help("ask for fewer, or use another team"));
        }
        Some(_) => {}
        None => warnings.push(
            Warning::new(format!(
                "whether the team has GPUs of model `{model}` is not known: DLTS tells no quota"
            ))
            .with_key("gpuType"),
        ),
    }
    Ok(warnings)
}

/// The model to ask for where none is written: the only one of the team; any, for trials without GPUs.
///
/// # Errors
/// `Config` if there are several, or none.
pub(crate) fn only_model(team: &Team, gpus: u32) -> Result<String> {
    let usable: Vec<&String> = team
        .gpus
        .iter()
        .filter(|(_, n)| **n > 0.0)
        .map(|(model, _)| model)
        .collect();
    match usable.as_slice() {
        [only] => Ok((*only).clone()),
        [] if gpus == 0 => Ok(team.gpus.keys().next().cloned().unwrap_or_default()),
        [] => Err(Error::new(ErrorKind::Config, "the team has no GPUs in this cluster")
            .with_key("team")
            .with_help("use another team or cluster; or write `gpuType`, if DLTS tells no quota")),
        [first, ..] if gpus == 0 => Ok((*first).clone()),
        _ => Err(Error::new(
            ErrorKind::Config,
            format!("the team has GPUs of several models: {}", models(team)),
        )
        .with_key("gpuType")
        .with_help("write `gpuType: …` with one of them")),
    }
}

fn models(team: &Team) -> String {
    let names: Vec<String> = team.gpus.keys().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Checks that the shared folder, or the one that it will be made in, takes files. Nothing is written: a folder's mode tells enough.
pub(crate) fn is_writable(mount: &Path) -> Result<()> {
    let there = mount.ancestors().find(|path| path.exists()).unwrap_or(mount);
    let meta = std::fs::metadata(there)
        .map_err(|e| Error::io("look at the shared folder", there, e).with_key("localStorageMountPoint"))?;
    if !meta.is_dir() {
        let message = format!("`{}` is no directory", there.display());
        return Err(Error::new(ErrorKind::Config, message)
            .with_key("localStorageMountPoint")
            .with_help("name a directory that jobs of DLTS see too"));
    }
    if meta.permissions().readonly() {
        let message = format!("nobody may write to `{}`", there.display());
        return Err(Error::new(ErrorKind::Denied, message)
            .with_key("localStorageMountPoint")
            .with_help("mount the folder so that it can be written"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_chosen_only_where_there_is_no_choice() {
        let team = |gpus: &[(&str, f64)]| Team {
            gpus: gpus.iter().map(|(model, n)| ((*model).to_owned(), *n)).collect(),
        };
        assert_eq!(only_model(&team(&[("P40", 4.0), ("V100", 0.0)]), 1).unwrap(), "P40");
        let two = team(&[("P40", 4.0), ("V100", 2.0)]);
        let error = only_model(&two, 1).unwrap_err();
        assert_eq!(error.key(), Some("gpuType"));
        assert!(error.to_string().contains("`P40`, `V100`"));
        assert_eq!(only_model(&two, 0).unwrap(), "P40");
        assert_eq!(only_model(&team(&[]), 1).unwrap_err().key(), Some("team"));
    }
}
