//! End-to-end tests against real components of others. Which components there are, and that unknown ones are refused.
//!
//! A component that cannot exist on this machine is skipped by name.

mod api;
pub(crate) mod azure;
pub(crate) mod experiment;
pub(crate) mod k8s;
mod nni;
mod nni_clients;
mod nni_import;
mod nni_phases;
mod nni_pushing;
mod nni_tuners;
mod packages;
mod processes;
mod python;
mod record;
mod ssh;
mod web;

use crate::{report::Report, shell, workspace};
use anyhow::{Context, Result, bail, ensure};
use std::{fs, path::PathBuf, process::Command};

/// Components that can be tested against.
const COMPONENTS: &[&str] = &["nni", "ssh", "k8s", "azure", "web"];

/// Where a run finds things.
#[derive(Debug)]
pub(crate) struct Place {
    /// Folder of the workspace.
    root: PathBuf,
    /// Folder for environments, which stay, and for experiments, which the next run replaces.
    work: PathBuf,
    /// The built command line.
    tsctl: PathBuf,
}

impl Place {
    /// A folder that holds nothing, whatever an earlier run left there.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Runs a script, which says `ok` at its end; what it has told.
fn passes(command: &mut Command) -> Result<String> {
    let told = shell::output(command)?;
    ensure!(told.trim_end().ends_with("ok"), "it ended early:\n{told}");
    Ok(told)
}

/// Runs the named components, or all, and of their scenarios those whose names contain `only`; `true` if nothing failed.
pub(crate) fn run(components: &[String], only: &str) -> Result<bool> {
    if let Some(unknown) = components.iter().find(|c| !COMPONENTS.contains(&c.as_str())) {
        bail!(
            "there is no end-to-end test for `{unknown}` yet; there is: {}",
            COMPONENTS.join(", ")
        );
    }
    let root = workspace::root();
    let target = workspace::target(&root)?;
    if !shell::succeeds(&mut shell::cargo(&root, &["build", "-p", "tsctl"]))? {
        bail!("`tsctl` does not build");
    }
    let place = Place {
        root,
        work: target.join("e2e"),
        tsctl: target.join("debug/tsctl"),
    };
    let mut report = Report::default();
    let wanted = |name: &str| components.is_empty() || components.iter().any(|c| c == name);
    if wanted("nni") {
        nni::run(&place, &mut report, only);
    }
    if wanted("ssh") {
        ssh::run(&place, &mut report, only);
    }
    if wanted("k8s") {
        // With the features of the whole workspace, as `cargo xtask test` has built what it is made of.
        let operators = ["build", "--workspace", "--bin", "operators"];
        if !shell::succeeds(&mut shell::cargo(&place.root, &operators))? {
            bail!("`operators` does not build");
        }
        k8s::run(&place, &mut report, only);
    }
    if wanted("azure") {
        azure::run(&place, &mut report, only);
    }
    if wanted("web") {
        web::run(&place, &mut report, only);
    }
    Ok(report.finish())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_component_is_refused_by_name() {
        let error = super::run(&["nni".to_owned(), "borg".to_owned()], "")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "there is no end-to-end test for `borg` yet; there is: nni, ssh, k8s, azure, web"
        );
    }
}
