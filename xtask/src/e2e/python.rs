//! Virtual environments with a released NNI, made once and kept.
//!
//! Only what `import nni`, its trial SDK and its dispatcher need is installed: NNI's full list of requirements is a hundred times as big.

use super::{Place, packages::Lacking};
use crate::shell;
use anyhow::{Error, Result, anyhow};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A release of NNI on the package index.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) version: &'static str,
    /// Python versions that it runs on, the preferred first.
    pythons: &'static [&'static str],
    /// What its trial SDK and its dispatcher import.
    requirements: &'static [&'static str],
    /// Where releases of one line differ.
    own: &'static [&'static str],
}

impl Release {
    fn requirements(&self) -> Vec<&'static str> {
        [self.requirements, self.own].concat()
    }
}

/// Requirements of the 2.x and 3.x line.
const LATER: &[&str] = &[
    "PyYAML",
    "astor",
    "cloudpickle",
    "colorama",
    "filelock<3.12",
    "json_tricks",
    "numpy<2",
    "pandas<2.3",
    "psutil",
    "requests",
    "schema",
    "scipy",
    "setuptools<81",
    "typing_extensions",
    // What the dispatcher needs, besides.
    "websockets",
];

/// The releases that are tested: the last of each line that users have.
pub(super) const RELEASES: &[Release] = &[
    Release {
        version: "3.0",
        pythons: &["3.8", "3.11", "3.10", "3.9", "3.12"],
        requirements: LATER,
        // What Anneal, GP, Metis and BOHB need, besides; one release is enough. BOHB imports what ConfigSpace 1 does not have.
        own: &[
            "typeguard<4.1.3",
            "hyperopt==0.2.7",
            "scikit-learn",
            "ConfigSpace<1",
            "statsmodels",
        ],
    },
    Release {
        version: "2.10",
        pythons: &["3.8", "3.11", "3.10", "3.9", "3.12"],
        requirements: LATER,
        // Its configuration classes call it as it was before 3.
        // The last is what its trial keeper imports.
        own: &["typeguard<3", "PyHDFS<0.4"],
    },
    Release {
        version: "1.9",
        pythons: &["3.7", "3.8", "3.11", "3.10", "3.9", "3.12"],
        requirements: &[
            "hyperopt==0.2.7",
            "json_tricks",
            "numpy<2",
            "psutil",
            "ruamel.yaml",
            "schema",
            "scipy",
            "setuptools<81",
        ],
        own: &[],
    },
];

/// The `bin` folder of an environment in which this release can be imported.
///
/// # Errors
/// If no fitting Python is there, or the package index cannot be reached.
pub(super) fn environment(place: &Place, release: &Release) -> Result<PathBuf> {
    let mut last = anyhow!("none of Python {} is installed", release.pythons.join(", "));
    for version in release.pythons {
        let Some(python) = interpreter(version) else { continue };
        match install(place, release, version, &python) {
            Ok(bin) => return Ok(bin),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The folder with the packages of an environment in which this release can be imported by this Python.
///
/// # Errors
/// If that Python is not there, or the package index cannot be reached.
pub(super) fn site_packages(place: &Place, release: &Release, version: &str) -> Result<PathBuf> {
    let python = interpreter(version).ok_or_else(|| {
        Error::new(Lacking(format!(
            "no Python {version} is installed that can make environments"
        )))
    })?;
    let bin = install(place, release, version, &python)?;
    Ok(bin.with_file_name(format!("lib/python{version}/site-packages")))
}

/// The Python of an environment with these packages, made once under this name and kept.
///
/// # Errors
/// [`Lacking`] if no fitting Python is there, or the package index cannot be reached.
pub(super) fn packages(
    place: &Place,
    name: &str,
    pythons: &[&str],
    requirements: &[&str],
    probe: &str,
) -> Result<PathBuf> {
    let lacking = |why: String| Error::new(Lacking(why));
    let python = pythons.iter().find_map(|version| interpreter(version));
    let python = python.ok_or_else(|| lacking(format!("none of Python {} is installed", pythons.join(", "))))?;
    let folder = place.work.join(format!("venv/{name}"));
    let bin = folder.join("bin");
    let wanted = requirements.join(" ");
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(bin.join("python"));
    }
    println!("installing {wanted}");
    shell::output(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = |packages: &[&str]| {
        let mut pip = Command::new(bin.join("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        shell::output(pip.args(packages)).map_err(|error| lacking(format!("{error:#}")))
    };
    // The one that comes with older Pythons fails where packages disagree about what they need.
    pip(&["--upgrade", "pip"])?;
    pip(requirements)?;
    shell::output(Command::new(bin.join("python")).args(["-c", probe]))?;
    fs::write(stamp, wanted)?;
    Ok(bin.join("python"))
}

/// What an environment of this release is made of; another one where this differs.
pub(super) fn stamp(release: &Release) -> String {
    format!("nni=={} {}", release.version, release.requirements().join(" "))
}

fn install(place: &Place, release: &Release, python_version: &str, python: &Path) -> Result<PathBuf> {
    let folder = place
        .work
        .join(format!("venv/nni-{}-python-{python_version}", release.version));
    let bin = folder.join("bin");
    let wanted = stamp(release);
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(bin);
    }
    println!("installing NNI {} for Python {python_version}", release.version);
    shell::output(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = || {
        let mut pip = Command::new(bin.join("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip
    };
    shell::output(pip().arg("--no-deps").arg(format!("nni=={}", release.version)))?;
    shell::output(pip().args(release.requirements()))?;
    shell::output(Command::new(bin.join("python")).args(["-c", "import nni, numpy"]))?;
    fs::write(stamp, wanted)?;
    Ok(bin)
}

/// A Python of this version that can make environments. One that is on the path may be a stub that refuses to run.
fn interpreter(version: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = env::split_paths(&path)
        .map(|dir| dir.join(format!("python{version}")))
        .collect();
    let installed = env::home_dir().map(|home| home.join(".pyenv/versions"));
    let installed = installed
        .and_then(|dir| fs::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .flatten();
    candidates.extend(installed.map(|entry| entry.path().join(format!("bin/python{version}"))));
    candidates.into_iter().find(|python| {
        let probe = Command::new(python).args(["-c", "import venv, ensurepip"]).output();
        probe.is_ok_and(|output| output.status.success())
    })
}
