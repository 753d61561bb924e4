//! The checks that a change must pass, in the order in which they are quickest to fail.
//!
//! The same here as on any machine: nothing but `cargo` is needed. What needs more is skipped by name.

use crate::{
    licenses,
    report::{Outcome, Report},
    shell::{cargo, output, succeeds},
    test, tidy,
    workspace::{Member, Workspace},
};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command};

/// Runs all checks, and the tests unless they ran already; `true` if nothing failed.
pub(crate) fn run(with_tests: bool) -> Result<bool> {
    let workspace = Workspace::load()?;
    let root = workspace.root.as_path();
    let mut report = Report::default();
    report.step("format", || {
        Ok(succeeds(&mut cargo(root, &["fmt", "--all", "--check"]))?.into())
    });
    report.step("house rules", || Ok(tidy::check(&workspace)?.into()));
    report.step("licenses, bans and sources", || licenses::check(&workspace));
    report.step("advisories", || advisories(root));
    report.step("lock file", || {
        Ok(succeeds(
            cargo(root, &["metadata", "--locked", "--format-version", "1"]).stdout(std::process::Stdio::null()),
        )?
        .into())
    });
    report.step("lints", || {
        Ok(succeeds(&mut cargo(
            root,
            &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        ))?
        .into())
    });
    report.step("documentation", || {
        Ok(succeeds(cargo(root, &["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?.into())
    });
    report.step("generated files", || generated(root));
    for member in workspace.members.iter().filter(|m| m.name != "xtask") {
        report.step(&format!("{} alone", member.name), || alone(root, member));
    }
    report.step("minimal versions", || minimal_versions(root));
    if with_tests {
        report.step("tests", || Ok(test::run()?.into()));
    }
    Ok(report.finish())
}

/// Checks that a crate builds without the features that its neighbors ask its dependencies for, and with each set of its
/// own features.
fn alone(root: &Path, member: &Member) -> Result<Outcome> {
    for features in feature_sets(&member.features) {
        let mut arguments = vec!["clippy", "-p", &member.name];
        arguments.extend(features.iter().map(String::as_str));
        arguments.extend(["--", "-D", "warnings"]);
        if !succeeds(&mut cargo(root, &arguments))? {
            return Ok(Outcome::Failed(String::new()));
        }
    }
    Ok(Outcome::Passed)
}

/// Arguments for: the default, nothing, each feature alone, all features. One set if there are no features.
fn feature_sets(features: &[String]) -> Vec<Vec<String>> {
    let mut sets = vec![Vec::new()];
    if features.is_empty() {
        return sets;
    }
    sets.push(vec!["--no-default-features".to_owned()]);
    for feature in features.iter().filter(|f| *f != "default") {
        sets.push(vec![
            "--no-default-features".to_owned(),
            "--features".to_owned(),
            feature.clone(),
        ]);
    }
    sets.push(vec!["--all-features".to_owned()]);
    sets
}

/// Files of `docs/` that a program writes, with its arguments.
const GENERATED: &[(&str, &[&str])] = &[
    (
        "docs/configuration.md",
        &["run", "--quiet", "-p", "ts-core", "--example", "reference"],
    ),
    (
        "docs/configuration.schema.json",
        &["run", "--quiet", "-p", "ts-core", "--example", "reference", "schema"],
    ),
];

/// Checks that files which are written by a program are as it would write them now.
fn generated(root: &Path) -> Result<Outcome> {
    let mut stale = Vec::new();
    for (path, arguments) in GENERATED {
        let current = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read `{path}`"))?;
        if current != output(&mut cargo(root, arguments))? {
            stale.push(format!(
                "`{path}` is not what this writes now: cargo {} > {path}",
                arguments.join(" ")
            ));
        }
    }
    Ok(if stale.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(stale.join("\n"))
    })
}

/// Known advisories of the packages in use. They come from a public database, so there is no check without it.
fn advisories(root: &Path) -> Result<Outcome> {
    let Ok(version) = Command::new("cargo-deny").arg("--version").output() else {
        return Ok(Outcome::Skipped("`cargo-deny` is not installed".to_owned()));
    };
    print!("{}", String::from_utf8_lossy(&version.stdout));
    if !succeeds(&mut cargo(root, &["deny", "fetch", "db"]))? {
        return Ok(Outcome::Skipped("the advisory database cannot be reached".to_owned()));
    }
    Ok(succeeds(&mut cargo(root, &["deny", "--offline", "check", "advisories"]))?.into())
}

/// Checks that the code builds with the oldest packages that its manifests allow. Only a nightly cargo can choose them; the
/// lock file is put back whatever comes of it.
fn minimal_versions(root: &Path) -> Result<Outcome> {
    // The `cargo` of `PATH`, which is rustup's where there is one: this program's own knows no `+nightly`.
    let nightly = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.arg("+nightly").args(arguments).current_dir(root);
        command
    };
    if output(&mut nightly(&["--version"])).is_err() {
        return Ok(Outcome::Skipped("there is no nightly toolchain".to_owned()));
    }
    let lock = root.join("Cargo.lock");
    let kept = fs::read(&lock).context("cannot read `Cargo.lock`")?;
    let oldest = ["-Z", "direct-minimal-versions", "generate-lockfile"];
    let passed = succeeds(&mut nightly(&oldest)).and_then(|chosen| {
        Ok(chosen && succeeds(&mut cargo(root, &["check", "--workspace", "--all-targets", "--locked"]))?)
    });
    fs::write(&lock, kept).context("cannot put `Cargo.lock` back")?;
    Ok(passed?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(features: &[&str]) -> Vec<String> {
        let features: Vec<String> = features.iter().map(|&f| f.to_owned()).collect();
        feature_sets(&features).iter().map(|set| set.join(" ")).collect()
    }

    #[test]
    fn a_crate_without_features_is_checked_once() {
        assert_eq!(sets(&[]), [""]);
    }

    #[test]
    fn every_feature_is_checked_alone_and_with_all_others() {
        assert_eq!(
            sets(&["default", "push"]),
            [
                "",
                "--no-default-features",
                "--no-default-features --features push",
                "--all-features"
            ]
        );
    }
}
