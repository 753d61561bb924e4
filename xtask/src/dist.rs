//! What is handed out: a stripped `tsctl` with completions, manual page and checksums; and the order of publication.
//!
//! Publishing itself is left to whoever holds the registry's token: nothing here uploads.

use crate::{
    report::{Outcome, Report},
    shell::{cargo, output, succeeds},
    workspace::{Member, Workspace},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Completions: the shell, and the file name under which it looks for them.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "tsctl.bash"), ("zsh", "_tsctl"), ("fish", "tsctl.fish")];

/// Files of the root that travel along.
const DOCUMENTS: [&str; 3] = ["README.md", "LICENSE", "CHANGELOG.md"];

/// Builds `target/dist/<version>-<target>/`; `true` if all went well. The release build takes minutes.
pub(crate) fn run() -> Result<bool> {
    let workspace = Workspace::load()?;
    let root = workspace.root.as_path();
    if !succeeds(&mut cargo(
        root,
        &["build", "--release", "--locked", "--package", "tsctl"],
    ))? {
        return Ok(false);
    }
    let folder = root
        .join("target/dist")
        .join(format!("{}-{}", version(&workspace)?, host(root)?));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty `{}`", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let program = folder.join("tsctl");
    copy(&root.join("target/release/tsctl"), &program)?;
    for document in DOCUMENTS {
        copy(&root.join(document), &folder.join(document))?;
    }
    for (shell, file) in COMPLETIONS {
        let script = output(Command::new(&program).args(["completions", shell]))?;
        write(&folder.join(file), &script)?;
    }
    write(&folder.join("tsctl.1"), &output(Command::new(&program).arg("man"))?)?;
    let sums = checksums(&folder)?;
    write(&folder.join("SHA256SUMS"), &sums)?;
    println!("{}\n{sums}", folder.display());
    Ok(true)
}

/// Prints the crates in the order of publication and packs each of them; `true` if nothing failed.
///
/// A crate whose dependencies are not in the registry yet can be packed, but cannot be built from its package alone: that
/// part is skipped by name.
pub(crate) fn publish_order() -> Result<bool> {
    let workspace = Workspace::load()?;
    let order = ordered(&workspace.members)?;
    for (n, member) in order.iter().enumerate() {
        println!("{}. {}", n + 1, member.name);
    }
    let mut report = Report::default();
    report.step("all crates are packed", || {
        let mut pack = cargo(
            &workspace.root,
            &["package", "--no-verify", "--allow-dirty", "--workspace"],
        );
        Ok(succeeds(pack.args(["--exclude", "xtask"]))?.into())
    });
    for member in order {
        report.step(&format!("{} builds from its package", member.name), || {
            let missing = neighbors(member, &workspace.members);
            if !missing.is_empty() {
                let why = format!("needs {} in the registry", missing.join(", "));
                return Ok(Outcome::Skipped(why));
            }
            let arguments = ["package", "--allow-dirty", "--package", &member.name];
            Ok(succeeds(&mut cargo(&workspace.root, &arguments))?.into())
        });
    }
    Ok(report.finish())
}

/// Members that a member's package names, those for its tests included: the registry has to know them first.
fn neighbors<'a>(member: &Member, members: &'a [Member]) -> Vec<&'a str> {
    let named = |name: &str| member.dependencies.iter().any(|d| d.package == name);
    let members = members.iter().map(|m| m.name.as_str());
    members.filter(|name| named(name)).collect()
}

/// The members that are published, each behind those that it names.
fn ordered(members: &[Member]) -> Result<Vec<&Member>> {
    let mut left: Vec<&Member> = members.iter().filter(|m| m.name != "xtask").collect();
    let mut order: Vec<&Member> = Vec::new();
    while !left.is_empty() {
        let ready = |member: &&Member| {
            let needed = neighbors(member, members);
            needed.iter().all(|name| order.iter().any(|done| done.name == **name))
        };
        let Some(next) = left.iter().position(ready) else {
            let names: Vec<&str> = left.iter().map(|m| m.name.as_str()).collect();
            bail!("{} depend on each other in a circle", names.join(", "));
        };
        order.push(left.remove(next));
    }
    Ok(order)
}

/// The one version of all crates.
fn version(workspace: &Workspace) -> Result<&str> {
    let package = workspace.packages.iter().find(|p| p.name == "tsctl");
    Ok(&package.context("the workspace has no `tsctl`")?.version)
}

/// The target that cargo builds for here.
fn host(root: &Path) -> Result<String> {
    let text = output(&mut cargo(root, &["-vV"]))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`cargo -vV` names no host")?.to_owned())
}

/// Checksums of all files of a folder, by name, as `sha256sum --check` reads them.
fn checksums(folder: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))? {
        names.push(entry?.file_name());
    }
    names.sort();
    let mut command = Command::new("sha256sum");
    output(command.arg("--").args(names).current_dir(folder).stdin(Stdio::null()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy `{}` to `{}`", from.display(), to.display()))?;
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn member(name: &str, packages: &[&str]) -> Member {
        let dependency = |package: &&str| Dependency {
            package: (*package).to_owned(),
            identifier: package.replace('-', "_"),
            dev: false,
        };
        Member {
            name: name.to_owned(),
            folder: String::new(),
            features: Vec::new(),
            dependencies: packages.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn a_crate_comes_behind_those_that_it_names_and_the_tool_is_not_published() {
        let members = [
            member("a", &["c", "serde"]),
            member("b", &["a"]),
            member("c", &[]),
            member("xtask", &[]),
        ];
        let order = ordered(&members).unwrap();
        let names: Vec<&str> = order.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["c", "a", "b"]);
    }

    #[test]
    fn a_circle_is_named() {
        let error = ordered(&[member("a", &["b"]), member("b", &["a"])]).unwrap_err();
        assert_eq!(error.to_string(), "a, b depend on each other in a circle");
    }

    #[test]
    fn the_crates_of_this_workspace_have_an_order() {
        let workspace = Workspace::load().unwrap();
        let order = ordered(&workspace.members).unwrap();
        let at = |name: &str| order.iter().position(|m| m.name == name);
        assert!(at("ts-core").is_some() && at("ts-core") < at("ts-codedir"));
        assert_eq!(order.last().map(|m| m.name.as_str()), Some("tsctl"));
    }

    #[test]
    fn checksums_are_those_that_sha256sum_checks() {
        let folder = std::env::temp_dir().join(format!("xtask-sums-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("b"), "").unwrap();
        fs::write(folder.join("a"), "abc").unwrap();
        let sums = checksums(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            sums,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b\n"
        );
    }
}
