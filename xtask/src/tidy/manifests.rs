//! Rules about manifests: what they inherit from the workspace, and that they list nothing that the code does not use.

use super::{Finding, TextFile, rust_text};
use crate::workspace::{Member, Workspace};
use anyhow::{Context, Result};
use toml::{Table, Value};

const INHERIT: &str = "manifests inherit version, edition, license, lints and every dependency from the workspace, so that there \
                       is one place to change them";
const UNUSED: &str = "a manifest lists nothing that the crate's code does not use";
const DESCRIBED: &str = "every crate says in its manifest what it is for";

/// Fields of `[package]` that come from the workspace.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "repository", "authors"];

/// Checks the manifests of all members.
pub(super) fn check(workspace: &Workspace, files: &[TextFile]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for member in &workspace.members {
        let path = format!("{}/Cargo.toml", member.folder);
        let manifest = files
            .iter()
            .find(|f| f.path == path)
            .with_context(|| format!("git does not know `{path}`"))?;
        findings.extend(inherits(&path, &manifest.text)?);
        let own: Vec<&TextFile> = files.iter().filter(|f| is_code_of(f, member)).collect();
        findings.extend(unused(&path, member, &own));
    }
    Ok(findings)
}

fn is_code_of(file: &TextFile, member: &Member) -> bool {
    let inside = file
        .path
        .strip_prefix(&member.folder)
        .is_some_and(|rest| rest.starts_with('/'));
    inside && file.path.strip_suffix(".rs").is_some()
}

/// What a manifest states itself although the workspace states it.
fn inherits(path: &str, text: &str) -> Result<Vec<Finding>> {
    let manifest: Table = text.parse().with_context(|| format!("cannot parse `{path}`"))?;
    let mut findings = Vec::new();
    let mut complain = |message: String, rule| {
        findings.push(Finding {
            place: path.to_owned(),
            message,
            rule,
        });
    };
    let package = manifest.get("package");
    for field in INHERITED {
        if !package.and_then(|p| p.get(field)).is_some_and(from_workspace) {
            complain(format!("`{field}` is not `{field}.workspace = true`"), INHERIT);
        }
    }
    if !manifest.get("lints").is_some_and(from_workspace) {
        complain("`[lints]` is not `workspace = true`".to_owned(), INHERIT);
    }
    if package
        .and_then(|p| p.get("description"))
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        complain("`description` is missing".to_owned(), DESCRIBED);
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, entry) in manifest.get(section).and_then(Value::as_table).into_iter().flatten() {
            if !from_workspace(entry) {
                complain(
                    format!("`{name}` in `[{section}]` is not taken from `[workspace.dependencies]`"),
                    INHERIT,
                );
            }
        }
    }
    Ok(findings)
}

fn from_workspace(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Dependencies whose name occurs nowhere in the code. Those of tests may be used by documentation examples.
fn unused(path: &str, member: &Member, files: &[&TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in &member.dependencies {
        let name = &dependency.identifier;
        let used = files.iter().any(|file| {
            let code = if dependency.dev {
                file.text.clone()
            } else {
                rust_text::without_comments(&file.text)
            };
            rust_text::has_word(&code, name)
        });
        if !used {
            let message = format!("`{}` is listed, but nothing uses `{name}`", dependency.package);
            findings.push(Finding {
                place: path.to_owned(),
                message,
                rule: UNUSED,
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    const GOOD: &str = r#"
        [package]
        name = "x"
        description = "does x"
        version.workspace = true
        edition.workspace = true
        rust-version.workspace = true
        license.workspace = true
        repository.workspace = true
        authors.workspace = true
        [dependencies]
        tokio.workspace = true
        serde = { workspace = true, optional = true }
        [lints]
        workspace = true
    "#;

    fn messages(manifest: &str) -> Vec<String> {
        inherits("Cargo.toml", manifest)
            .unwrap()
            .into_iter()
            .map(|f| f.message)
            .collect()
    }

    #[test]
    fn a_manifest_that_inherits_everything_is_fine() {
        assert_eq!(messages(GOOD), Vec::<String>::new());
    }

    #[test]
    fn what_a_manifest_states_itself_is_named() {
        for (from, to, expected) in [
            (
                "version.workspace = true",
                "version = \"1.0.0\"",
                "`version` is not `version.workspace = true`",
            ),
            ("description = \"does x\"", "", "`description` is missing"),
            (
                "tokio.workspace = true",
                "tokio = \"1\"",
                "`tokio` in `[dependencies]` is not taken from",
            ),
            (
                "[lints]\n        workspace = true",
                "",
                "`[lints]` is not `workspace = true`",
            ),
        ] {
            let found = messages(&GOOD.replacen(from, to, 1));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
        }
    }

    #[test]
    fn a_dependency_is_used_if_code_names_it() {
        let member = |dev| Member {
            name: "x".to_owned(),
            folder: "crates/x".to_owned(),
            features: Vec::new(),
            dependencies: vec![Dependency {
                package: "futures-util".to_owned(),
                identifier: "futures_util".to_owned(),
                dev,
            }],
        };
        let count = |text: &str, dev| {
            let file = TextFile {
                path: "crates/x/src/lib.rs".to_owned(),
                text: text.to_owned(),
            };
            unused("Cargo.toml", &member(dev), &[&file]).len()
        };
        assert_eq!(count("use futures_util::Stream;", false), 0);
        assert_eq!(count("use my_futures_utils::Stream;", false), 1);
        assert_eq!(count("// futures_util would do", false), 1);
        assert_eq!(
            count("/// use futures_util::StreamExt;", true),
            0,
            "examples in the documentation are tests"
        );
    }
}
