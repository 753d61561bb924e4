//! The HTTP API under a fuzzer, and the portal in a real browser: Chromium by Playwright, beside real experiments and beside one of ten thousand trials; and
//! NNI's own, as released, on our API.
//!
//! Playwright and axe come from Node's package index, the browser from the system's packages; without these it is skipped by
//! name. Pictures of every page stay in `target/e2e/web/pictures`, for people.

use super::{
    Place, api,
    packages::{self, Lacking},
    python::{self, RELEASES, Release},
};
use crate::{
    report::{Outcome, Report},
    shell,
};
use anyhow::{Context, Error, Result, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is installed for Node. `playwright-core` brings no browser.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];
/// Browsers that will do, by program.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Trials of the large experiment, and intermediate results of each.
const MANY: [&str; 2] = ["10000", "20"];
/// The same of a small one.
const FEW: [&str; 2] = ["60", "10"];

type Scenario = fn(&Place) -> Result<()>;

/// Runs the scenarios whose names contain `only`.
pub(super) fn run(place: &Place, report: &mut Report, only: &str) {
    let scenarios: [(&str, Scenario); 4] = [
        ("the API under a schema fuzzer", api::fuzzed),
        ("modules alone", modules),
        ("beside a running experiment", beside_an_experiment),
        ("ten thousand trials", ten_thousand),
    ];
    for (name, scenario) in scenarios.iter().filter(|(name, _)| name.contains(only)) {
        report.step(&format!("web: {name}"), || outcome(scenario(place)));
    }
    for release in RELEASES.iter().filter(|release| has_page(release)) {
        let name = format!("page of NNI {}", release.version);
        if name.contains(only) {
            report.step(&format!("web: {name}"), || outcome(page_of_nni(place, release)));
        }
    }
}

fn outcome(ended: Result<()>) -> Result<Outcome> {
    match ended {
        Err(error) if error.is::<Lacking>() => Ok(Outcome::Skipped(format!("{error:#}"))),
        ended => ended.map(|()| Outcome::Passed),
    }
}

/// Whether the package brings its page where `--nni-portal` looks for it: since 2.0.
fn has_page(release: &Release) -> bool {
    !release.version.starts_with("1.")
}

/// The tests of the modules that need no browser.
fn modules(place: &Place) -> Result<()> {
    packages::provide(&[("node", "nodejs")])?;
    let mut node = Command::new("node");
    node.arg("--test").arg(place.root.join("crates/ts-portal/tests/js/"));
    shell::output(&mut node).map(drop)
}

fn beside_an_experiment(place: &Place) -> Result<()> {
    let file = scripts(place).join("config.yml");
    script(place, "live.mjs", &[&file.to_string_lossy()], None)
}

fn ten_thousand(place: &Place) -> Result<()> {
    let directory = ended(place, MANY)?;
    script(place, "many.mjs", &[&directory.to_string_lossy(), MANY[0]], None)
}

fn page_of_nni(place: &Place, release: &Release) -> Result<()> {
    let lacking = |error: Error| Error::new(Lacking(format!("{error:#}")));
    let bin = python::environment(place, release).map_err(lacking)?;
    let directory = ended(place, FEW)?;
    let arguments = [&directory.to_string_lossy(), release.version, FEW[0]];
    script(place, "nni.mjs", &arguments, Some(&bin))
}

/// The directory of an experiment that has ended, with so many trials and intermediate results of each.
fn ended(place: &Place, [trials, metrics]: [&str; 2]) -> Result<PathBuf> {
    let directory = place.fresh(&format!("web/ended-{trials}"))?.join("ended");
    let build = ["build", "-p", "ts-manager", "--example", "ended"];
    ensure!(
        shell::succeeds(&mut shell::cargo(&place.root, &build))?,
        "the example `ended` does not build"
    );
    let mut ended = Command::new(place.tsctl.with_file_name("examples").join("ended"));
    shell::output(ended.arg(&directory).args([trials, metrics]))?;
    Ok(directory)
}

/// Runs a script, which says `ok` at its end. Programs of `bin` come before those of the machine.
fn script(place: &Place, name: &str, arguments: &[&str], bin: Option<&Path>) -> Result<()> {
    packages::provide(&[("node", "nodejs"), ("npm", "npm")])?;
    let modules = node_modules(place)?;
    let browser = browser()?;
    let pictures = place.work.join("web/pictures");
    fs::create_dir_all(&pictures)?;
    let inherited = env::var_os("PATH").unwrap_or_default();
    let folders = bin.map(Path::to_owned).into_iter().chain(env::split_paths(&inherited));
    let mut node = Command::new("node");
    node.arg(scripts(place).join(name))
        .args(arguments)
        .env("PATH", env::join_paths(folders)?)
        .env("MODULES", modules)
        .env("BROWSER_PROGRAM", browser)
        .env("TSCTL", &place.tsctl)
        .env("PICTURES", pictures)
        .env("HOME", place.fresh(&format!("web/home-{name}"))?)
        .env_remove("XDG_STATE_HOME");
    print!("{}", super::passes(&mut node)?);
    Ok(())
}

fn scripts(place: &Place) -> PathBuf {
    place.root.join("xtask/e2e/web")
}

/// The browser of this machine, installed where that is possible.
fn browser() -> Result<PathBuf> {
    if let Some(found) = BROWSERS.iter().find_map(|name| on_path(name)) {
        return Ok(found);
    }
    packages::provide(&[(BROWSERS[0], BROWSERS[0])])?;
    on_path(BROWSERS[0]).context("the browser is not on the path")
}

fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The folder whose `node_modules` has the packages, made once and kept.
fn node_modules(place: &Place) -> Result<PathBuf> {
    let folder = place.work.join("web/node");
    let stamp = folder.join("installed");
    let wanted = PACKAGES.join(" ");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)?;
    println!("installing {wanted}");
    install(&folder).map_err(|error| Error::new(Lacking(format!("{wanted} cannot be installed: {error:#}"))))?;
    fs::write(stamp, wanted)?;
    Ok(folder)
}

fn install(folder: &Path) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--silent",
        "--no-fund",
        "--no-audit",
        "--ignore-scripts",
        "--prefix",
        ".",
    ])
    .args(PACKAGES)
    .current_dir(folder);
    shell::output(&mut npm).map(drop)
}
