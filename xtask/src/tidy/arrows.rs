//! Which crate may depend on which. A new arrow gets more review than a thousand lines inside one crate.

use super::Finding;
use crate::workspace::Member;

const RULE: &str = "arrows point from tsctl over ts-manager and the platforms to ts-codedir and ts-core, and between platforms \
                    there is none; ts-testkit is for tests only";

/// What each crate may depend on, and what more its tests may use. A crate that is not listed is a platform.
const ARROWS: &[(&str, Reach, &[&str])] = &[
    ("ts-core", Reach::Only(&[]), &[]),
    ("ts-codedir", Reach::Only(&["ts-core"]), &["ts-testkit"]),
    ("ts-testkit", Reach::Only(&["ts-core"]), &[]),
    ("ts-k8s-testkit", Reach::Only(&[]), &[]),
    (
        "ts-k8s",
        Reach::Only(&["ts-core", "ts-codedir"]),
        &["ts-testkit", "ts-k8s-testkit"],
    ),
    ("ts-aml-testkit", Reach::Only(&[]), &[]),
    (
        "ts-aml",
        Reach::Only(&["ts-core", "ts-codedir"]),
        &["ts-testkit", "ts-aml-testkit"],
    ),
    ("ts-manager", Reach::Only(&["ts-core"]), &["ts-testkit"]),
    ("ts-portal", Reach::Only(&[]), &[]),
    ("ts-nni", Reach::Only(&["ts-core", "ts-manager"]), &["ts-testkit"]),
    ("tsctl", Reach::AllBut(&["ts-testkit", "xtask"]), &["ts-testkit"]),
    ("xtask", Reach::Only(&[]), &[]),
];
const PLATFORM: (Reach, &[&str]) = (Reach::Only(&["ts-core", "ts-codedir"]), &["ts-testkit"]);

/// How far a crate's arrows go.
#[derive(Debug, Clone, Copy)]
enum Reach {
    /// To these crates of ours.
    Only(&'static [&'static str]),
    /// To all crates of ours but these.
    AllBut(&'static [&'static str]),
}

impl Reach {
    fn allows(self, package: &str) -> bool {
        match self {
            Self::Only(names) => names.contains(&package),
            Self::AllBut(names) => !names.contains(&package),
        }
    }
}

/// Checks the dependencies between members.
pub(super) fn check(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let listed = ARROWS.iter().find(|(name, ..)| *name == member.name);
        let (reach, tests) = listed.map_or(PLATFORM, |&(_, reach, tests)| (reach, tests));
        for dependency in &member.dependencies {
            let ours = members.iter().any(|m| m.name == dependency.package);
            let package = dependency.package.as_str();
            if ours && !reach.allows(package) && !(dependency.dev && tests.contains(&package)) {
                findings.push(Finding {
                    place: format!("{}/Cargo.toml", member.folder),
                    message: format!("`{}` must not depend on `{package}`", member.name),
                    rule: RULE,
                });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    /// The complaints about a workspace in which only `from` depends on anything, and that on `to`.
    fn complaints(from: &str, to: &str, dev: bool) -> Vec<String> {
        let names = [
            "ts-core",
            "ts-codedir",
            "ts-testkit",
            "ts-manager",
            "ts-local",
            "ts-remote",
            "tsctl",
            "xtask",
        ];
        let members: Vec<Member> = names
            .into_iter()
            .map(|name| Member {
                name: name.to_owned(),
                folder: name.to_owned(),
                features: Vec::new(),
                dependencies: if name == from {
                    vec![Dependency {
                        package: to.to_owned(),
                        identifier: to.replace('-', "_"),
                        dev,
                    }]
                } else {
                    Vec::new()
                },
            })
            .collect();
        check(&members).into_iter().map(|f| f.message).collect()
    }

    #[test]
    fn arrows_of_the_picture_are_fine() {
        for (from, to, dev) in [
            ("ts-codedir", "ts-core", false),
            ("ts-local", "ts-core", false),
            ("ts-local", "ts-codedir", false),
            ("ts-local", "ts-testkit", true),
            ("ts-manager", "ts-core", false),
            ("ts-manager", "ts-testkit", true),
            ("tsctl", "ts-remote", false),
            ("tsctl", "ts-manager", false),
            ("ts-core", "tokio", false),
        ] {
            assert!(complaints(from, to, dev).is_empty(), "{from} -> {to}");
        }
    }

    #[test]
    fn every_other_arrow_is_refused() {
        for (from, to, dev) in [
            ("ts-core", "ts-codedir", false),
            ("ts-core", "ts-testkit", true),
            ("ts-codedir", "ts-local", false),
            ("ts-local", "ts-remote", false),
            ("ts-local", "ts-remote", true),
            ("ts-local", "ts-manager", false),
            ("ts-local", "ts-testkit", false),
            ("ts-manager", "ts-local", false),
            ("ts-manager", "ts-local", true),
            ("tsctl", "ts-testkit", false),
            ("xtask", "tsctl", false),
        ] {
            assert_eq!(
                complaints(from, to, dev),
                [format!("`{from}` must not depend on `{to}`")]
            );
        }
    }
}
