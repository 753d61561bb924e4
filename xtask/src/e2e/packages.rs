//! Programs of others that these tests use, and the Debian packages that have them: installs what is missing.
//!
//! Only as root and where `apt-get` is; elsewhere what is missing is named, so that whoever runs the tests can install it.

use crate::shell;
use anyhow::{Error, Result};
use std::{
    env, fmt, fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

/// A program, by name or by path, and the package that has it.
pub(super) type Program = (&'static str, &'static str);

/// Folders that are not on everybody's `PATH` and hold programs of administrators.
const ADMINISTRATION: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Whether the lists of packages were fetched by this run.
static IS_UPDATED: AtomicBool = AtomicBool::new(false);

/// What this machine lacks for a test, which is skipped for that reason.
#[derive(Debug)]
pub(super) struct Lacking(pub(super) String);

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lacking {}

/// Has all these programs there.
///
/// # Errors
/// [`Lacking`] with the names of those that are not there and could not be installed.
pub(super) fn provide(programs: &[Program]) -> Result<()> {
    let wanted = missing(programs, is_there);
    if wanted.is_empty() {
        return Ok(());
    }
    let may_install = is_root() && is_there("apt-get");
    if may_install {
        install(&wanted);
    }
    let left = missing(programs, is_there);
    if left.is_empty() {
        return Ok(());
    }
    Err(Error::new(Lacking(lack(&left, may_install))))
}

fn missing(programs: &[Program], is_there: impl Fn(&str) -> bool) -> Vec<Program> {
    programs.iter().copied().filter(|(name, _)| !is_there(name)).collect()
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let administration = ADMINISTRATION.iter().map(|folder| Path::new(folder).to_owned());
    env::split_paths(&path)
        .chain(administration)
        .any(|folder| folder.join(program).is_file())
}

/// Whether this user may do anything.
pub(super) fn is_root() -> bool {
    // The second number is the effective user's.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// Tries to install the packages of these programs; whether it did is seen by looking for the programs.
fn install(programs: &[Program]) {
    if !IS_UPDATED.swap(true, Ordering::Relaxed) {
        // Old lists may do as well.
        let _ = shell::succeeds(apt_get().args(["update", "-qq"]));
    }
    let mut packages: Vec<&str> = programs.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    let add = |packages: &[&str]| {
        let mut command = apt_get();
        command
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages);
        shell::succeeds(&mut command).unwrap_or(false)
    };
    // One name that is not known there keeps all of them from being installed.
    if !add(&packages) && packages.len() > 1 {
        for package in packages {
            add(&[package]);
        }
    }
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// What is not there and what was done about it.
fn lack(programs: &[Program], was_tried: bool) -> String {
    let names: Vec<String> = programs
        .iter()
        .map(|(name, package)| format!("`{name}` (package `{package}`)"))
        .collect();
    let why = if was_tried {
        "could not be installed"
    } else {
        "is not there; root can have it installed where `apt-get` is"
    };
    format!("{} {why}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAMS: &[Program] = &[("sh", "dash"), ("ts-e2e-nothing", "ts-e2e-none"), ("tc", "iproute2")];

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let left = missing(PROGRAMS, |name| name == "sh");
        assert_eq!(left, PROGRAMS[1..]);
        assert_eq!(
            lack(&left, true),
            "`ts-e2e-nothing` (package `ts-e2e-none`), `tc` (package `iproute2`) could not be installed"
        );
    }

    #[test]
    fn nothing_is_installed_where_all_is_there() {
        provide(&PROGRAMS[..1]).expect("every machine has a shell");
    }
}
