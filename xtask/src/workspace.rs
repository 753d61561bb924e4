//! What cargo knows about this workspace: its members, their features and dependencies, and every package below them.

use crate::shell;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The workspace and all packages that it is built from.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Folder of the workspace's manifest.
    pub(crate) root: PathBuf,
    /// Members, by name.
    pub(crate) members: Vec<Member>,
    /// Members and everything below them.
    pub(crate) packages: Vec<Package>,
}

/// A crate of ours.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Its folder, relative to the root.
    pub(crate) folder: String,
    /// Names of its features, `default` among them if it has one.
    pub(crate) features: Vec<String>,
    /// What its manifest lists.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Name of the package.
    pub(crate) package: String,
    /// Name that the code calls it by, with underscores.
    pub(crate) identifier: String,
    /// Only for tests and examples.
    pub(crate) dev: bool,
}

/// A package that the workspace is built from.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its SPDX expression, if it states one.
    pub(crate) license: Option<String>,
    /// Where it comes from; `None`: this workspace.
    pub(crate) source: Option<String>,
}

/// Folder of the workspace's manifest.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Where cargo puts what it builds. Asked of it rather than assumed, because it may be elsewhere.
pub(crate) fn target(root: &Path) -> Result<PathBuf> {
    let metadata = shell::output(&mut shell::cargo(
        root,
        &["metadata", "--no-deps", "--format-version", "1"],
    ))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let target = metadata["target_directory"].as_str();
    Ok(PathBuf::from(target.context("cargo names no target folder")?))
}

impl Workspace {
    /// Asks cargo. Costs a second at most; needs no network if the lock file's packages are there.
    pub(crate) fn load() -> Result<Self> {
        let root = root();
        let text = shell::output(&mut shell::cargo(
            &root,
            &["metadata", "--format-version", "1", "--all-features"],
        ))?;
        let metadata: Value = serde_json::from_str(&text).context("cannot read what `cargo metadata` wrote")?;
        Self::from_metadata(root, &metadata)
    }

    fn from_metadata(root: PathBuf, metadata: &Value) -> Result<Self> {
        let ids: Vec<&str> = list(metadata, "workspace_members")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let packages = list(metadata, "packages");
        let mut members = Vec::new();
        for package in packages.iter().filter(|p| ids.contains(&text(p, "id"))) {
            let manifest = Path::new(text(package, "manifest_path"));
            let folder = manifest.parent().unwrap_or(manifest);
            let folder = folder
                .strip_prefix(&root)
                .context("a member lies outside of the workspace's folder")?;
            members.push(Member {
                name: text(package, "name").to_owned(),
                folder: folder.to_string_lossy().into_owned(),
                features: package["features"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name.clone())
                    .collect(),
                dependencies: list(package, "dependencies").iter().map(dependency).collect(),
            });
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let packages = packages.iter().map(package).collect();
        Ok(Self {
            root,
            members,
            packages,
        })
    }
}

fn dependency(value: &Value) -> Dependency {
    let package = text(value, "name");
    let identifier = value["rename"].as_str().unwrap_or(package).replace('-', "_");
    Dependency {
        package: package.to_owned(),
        identifier,
        dev: value["kind"] == "dev",
    }
}

fn package(value: &Value) -> Package {
    Package {
        name: text(value, "name").to_owned(),
        version: text(value, "version").to_owned(),
        license: value["license"].as_str().map(str::to_owned),
        source: value["source"].as_str().map(str::to_owned),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_knows_its_members_and_what_they_depend_on() {
        let workspace = Workspace::load().unwrap();
        let core = workspace.members.iter().find(|m| m.name == "ts-core").unwrap();
        assert_eq!(core.folder, "crates/ts-core");
        let yaml = core.dependencies.iter().find(|d| d.identifier == "serde_yaml").unwrap();
        assert_eq!((yaml.package.as_str(), yaml.dev), ("serde-saphyr", false));
        let proptest = core.dependencies.iter().find(|d| d.package == "proptest").unwrap();
        assert!(proptest.dev);
        assert!(
            workspace
                .packages
                .iter()
                .any(|p| p.name == "tokio" && p.source.is_some() && p.license.is_some())
        );
    }
}
