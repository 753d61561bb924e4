//! Whether everything that the workspace is built from may be in it: license, bans, source, as `deny.toml` says.
//!
//! The rules are cargo-deny's and so is the file. They are checked here because building cargo-deny takes a small machine
//! longer than building the product. Advisories need its database and are left to it.

use crate::{
    report::Outcome,
    workspace::{Package, Workspace},
};
use anyhow::{Context, Result};
use std::fs;
use toml::Table;

/// What `deny.toml` says, as far as it is checked here.
#[derive(Debug)]
struct Policy {
    licenses: Vec<String>,
    /// Name and reason.
    bans: Vec<(String, String)>,
    registries: Vec<String>,
}

/// Checks every package of every member, with all features.
pub(crate) fn check(workspace: &Workspace) -> Result<Outcome> {
    let text = fs::read_to_string(workspace.root.join("deny.toml")).context("cannot read `deny.toml`")?;
    let policy = Policy::parse(&text)?;
    let complaints: Vec<String> = workspace
        .packages
        .iter()
        .flat_map(|package| policy.complaints(package))
        .collect();
    println!("{} packages against `deny.toml`", workspace.packages.len());
    Ok(if complaints.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(complaints.join("\n"))
    })
}

impl Policy {
    fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse().context("cannot parse `deny.toml`")?;
        let strings = |section: &str, key: &str| -> Vec<String> {
            let list = table
                .get(section)
                .and_then(|s| s.get(key))
                .and_then(toml::Value::as_array);
            list.into_iter()
                .flatten()
                .filter_map(toml::Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        let bans = table
            .get("bans")
            .and_then(|s| s.get("deny"))
            .and_then(toml::Value::as_array);
        let text =
            |entry: &toml::Value, key: &str| entry.get(key).and_then(toml::Value::as_str).unwrap_or("").to_owned();
        Ok(Self {
            licenses: strings("licenses", "allow"),
            bans: bans
                .into_iter()
                .flatten()
                .map(|entry| (text(entry, "crate"), text(entry, "reason")))
                .collect(),
            registries: strings("sources", "allow-registry"),
        })
    }

    fn complaints(&self, package: &Package) -> Vec<String> {
        let what = format!("{} {}", package.name, package.version);
        let mut complaints = Vec::new();
        match &package.license {
            None => complaints.push(format!("{what}: states no license")),
            Some(expression) if !allowed(expression, &self.licenses) => {
                complaints.push(format!(
                    "{what}: license `{expression}` is not among those that `deny.toml` allows"
                ));
            }
            Some(_) => {}
        }
        if let Some((_, reason)) = self.bans.iter().find(|(name, _)| *name == package.name) {
            complaints.push(format!("{what}: banned by `deny.toml`: {reason}"));
        }
        if let Some(source) = &package.source
            && !self
                .registries
                .iter()
                .any(|registry| source.strip_prefix("registry+") == Some(registry))
        {
            complaints.push(format!(
                "{what}: comes from `{source}`, which `deny.toml` does not allow"
            ));
        }
        complaints
    }
}

/// Whether an SPDX expression is met by allowed licenses. `/` is cargo's old spelling of `OR`. What cannot be parsed is not
/// allowed.
fn allowed(expression: &str, licenses: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, licenses) == Some(true) && rest.is_empty()
}

fn any_of(words: &mut &[&str], licenses: &[String]) -> Option<bool> {
    let mut met = all_of(words, licenses)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= all_of(words, licenses)?;
    }
    Some(met)
}

fn all_of(words: &mut &[&str], licenses: &[String]) -> Option<bool> {
    let mut met = one(words, licenses)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, licenses)?;
    }
    Some(met)
}

fn one(words: &mut &[&str], licenses: &[String]) -> Option<bool> {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any_of(words, licenses)?;
            *words = words.strip_prefix(&[")"])?;
            Some(met)
        }
        [license, "WITH", exception, rest @ ..] => {
            *words = rest;
            Some(licenses.contains(&format!("{license} WITH {exception}")))
        }
        [license, rest @ ..] => {
            *words = rest;
            Some(licenses.iter().any(|l| l == license))
        }
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
        [licenses]
        allow = ["MIT", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception"]
        [bans]
        deny = [{ crate = "left-pad", reason = "write it yourself" }]
        [sources]
        allow-registry = ["https://example.org/index"]
    "#;

    fn complaints(name: &str, license: Option<&str>, source: Option<&str>) -> Vec<String> {
        let package = Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
        };
        Policy::parse(POLICY).unwrap().complaints(&package)
    }

    #[test]
    fn expressions_are_read_as_spdx_reads_them() {
        let licenses = Policy::parse(POLICY).unwrap().licenses;
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("MIT AND BSD-3-Clause", true),
            ("(GPL-3.0 OR MIT) AND BSD-3-Clause", true),
            ("GPL-3.0 OR MIT AND BSD-3-Clause", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("MIT WITH LLVM-exception", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(allowed(expression, &licenses), expected, "{expression}");
        }
    }

    #[test]
    fn a_package_needs_an_allowed_license_and_source_and_no_ban() {
        let good = Some("registry+https://example.org/index");
        assert!(complaints("fine", Some("MIT"), good).is_empty());
        assert!(complaints("ours", Some("MIT"), None).is_empty());
        assert_eq!(
            complaints("left-pad", Some("MIT"), good),
            ["left-pad 1.0.0: banned by `deny.toml`: write it yourself"]
        );
        assert_eq!(complaints("mute", None, good), ["mute 1.0.0: states no license"]);
        assert_eq!(
            complaints("odd", Some("MIT"), Some("git+https://example.org/odd")).len(),
            1
        );
    }
}
