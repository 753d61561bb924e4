//! The programs of Kubernetes, built from Debian's source package once and kept. How they are built is `e2e/k8s/build.sh`'s.

use super::cache;
use crate::e2e::packages::{self, Lacking, Program};
use anyhow::{Context, Error, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const RECIPE: &str = include_str!("../../../e2e/k8s/build.sh");

/// The recipe ends with this where the source package is not to be had.
const NO_SOURCE: i32 = 77;

/// What the recipe uses. Go 1.19 is Debian 12's; the library is a dependency that has to be newer than the one in the source.
const PROGRAMS: &[Program] = &[
    ("/usr/lib/go-1.19/bin/go", "golang-1.19-go"),
    (
        "/usr/share/gocode/src/github.com/modern-go/reflect2/reflect2.go",
        "golang-github-modern-go-reflect2-dev",
    ),
    ("dpkg-source", "dpkg-dev"),
];

/// The folder with `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubelet` and `kubectl`.
///
/// # Errors
/// [`Lacking`] where they cannot be built.
pub(super) fn folder() -> Result<PathBuf> {
    cache::provide("kubernetes", &[RECIPE], build)
}

fn build(folder: &Path) -> Result<()> {
    packages::provide(PROGRAMS)?;
    println!("building Kubernetes, which takes minutes; the next run finds it");
    let work = folder.join("work");
    fs::create_dir(&work)?;
    let log = fs::File::create(work.join("log"))?;
    let mut recipe = Command::new("bash");
    recipe.args(["-c", RECIPE]).current_dir(&work);
    let status = recipe.stdout(log.try_clone()?).stderr(log).status()?;
    if status.code() == Some(NO_SOURCE) {
        let why = last_lines(&work.join("log"), 3);
        return Err(Error::new(Lacking(format!(
            "Kubernetes cannot be built: Debian 12's source package is not to be had here: {why}"
        ))));
    }
    if !status.success() {
        bail!(
            "Kubernetes does not build ({status}):\n{}",
            last_lines(&work.join("log"), 30)
        );
    }
    for entry in fs::read_dir(work.join("out"))? {
        let entry = entry?;
        fs::rename(entry.path(), folder.join(entry.file_name()))?;
    }
    fs::remove_dir_all(&work).context("cannot remove the tree that was built")
}

/// The end of a log; empty if there is none.
pub(super) fn last_lines(log: &Path, n_lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(n_lines)..].join("\n")
}
