//! The images that pods of these tests run: busybox, Debian's Python with busybox, and that with a released NNI.
//!
//! Their files come from Debian's packages, which are unpacked but not installed, and from the package index. No registry is asked.

use super::{
    archive::{Layer, write_image},
    cache,
};
use crate::{
    e2e::{
        Place,
        packages::{self, Lacking, Program},
        python::{self, Release},
    },
    shell,
};
use anyhow::{Context, Error, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the archives depend on besides Debian's packages.
const RECIPE: &[&str] = &[include_str!("images.rs"), include_str!("archive.rs")];

/// Never `latest`, nor without a tag: the kubelet would try to pull it each time.
/// Source: kubernetes v1.20.2, `pkg/apis/core/v1/defaults.go`, `SetDefaults_Container`.
pub(super) const BUSYBOX: &str = "local/busybox:1";
pub(super) const PYTHON: &str = "local/python:1";
pub(super) const NNI: &str = "local/nni:1";
/// What holds a pod's network.
pub(super) const PAUSE: &str = "local/pause:1";

/// The release that [`NNI`] has; a Python of the image's version has to be on this machine to install it.
const RELEASE: &Release = &python::RELEASES[1];
/// Debian 12's.
const PYTHON_VERSION: &str = "3.11";
/// Parts of that release's environment that no trial uses and that are the larger half of it.
const UNUSED: &[&str] = &["nni_node", "pip", "scipy", "scipy.libs"];

/// Besides Python what compiled packages of the index expect of every system.
const PYTHON_PACKAGES: &[&str] = &["python3", "libstdc++6"];

/// Folders below `/usr/share` that nobody reads in a pod.
const UNREAD: &[&str] = &["doc", "man", "lintian", "locale"];

const PROGRAMS: &[Program] = &[("dpkg", "dpkg"), ("apt-get", "apt"), ("chroot", "coreutils")];

/// The archives of [`PAUSE`], [`BUSYBOX`] and [`PYTHON`].
#[derive(Debug)]
pub(super) struct Images {
    folder: PathBuf,
}

impl Images {
    /// Makes them, or finds those made before.
    ///
    /// # Errors
    /// [`Lacking`] if there are no Debian packages here.
    pub(super) fn provide() -> Result<Self> {
        let folder = cache::provide("images", RECIPE, |folder| {
            packages::provide(PROGRAMS)?;
            println!("making images of Debian's packages");
            make(folder)
        })?;
        Ok(Self { folder })
    }

    /// Those that every node has.
    pub(super) fn basic(&self) -> Vec<PathBuf> {
        ["pause", "busybox", "python"]
            .iter()
            .map(|name| self.archive(name))
            .collect()
    }

    /// The archive of [`NNI`], for `load_image`.
    ///
    /// # Errors
    /// If no fitting Python is here, or the package index cannot be reached.
    pub(super) fn nni(&self, place: &Place) -> Result<PathBuf> {
        let packages = python::site_packages(place, RELEASE, PYTHON_VERSION)?;
        let stamp = python::stamp(RELEASE);
        let folder = cache::provide("image-nni", &[RECIPE[0], RECIPE[1], &stamp], |folder| {
            let mut layer = Layer::default();
            let path = format!("usr/local/lib/python{PYTHON_VERSION}/dist-packages");
            layer.add(&packages, &path, &|name| UNUSED.contains(&name))?;
            let file = folder.join("nni.layer");
            layer.write(&file)?;
            let layers = [self.layer("busybox"), self.layer("python"), file.clone()];
            write_image(&folder.join("nni.tar"), NNI, &layers, &["python3"])?;
            Ok(fs::remove_file(file)?)
        })?;
        Ok(folder.join("nni.tar"))
    }

    fn archive(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.tar"))
    }

    fn layer(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.layer"))
    }
}

fn make(folder: &Path) -> Result<()> {
    let busybox = folder.join("busybox.layer");
    let unpacked = unpack(&folder.join("busybox"), &["busybox-static"])?;
    busybox_layer(&unpacked)?.write(&busybox)?;
    let layers = [busybox.clone()];
    write_image(&folder.join("busybox.tar"), BUSYBOX, &layers, &["sh"])?;
    write_image(&folder.join("pause.tar"), PAUSE, &layers, &["sleep", "infinity"])?;
    let python = folder.join("python.layer");
    let unpacked = unpack(&folder.join("python"), PYTHON_PACKAGES)?;
    compile(&unpacked)?;
    let mut layer = Layer::default();
    layer.add(&unpacked, "", &|name| UNREAD.contains(&name))?;
    layer.write(&python)?;
    write_image(&folder.join("python.tar"), PYTHON, &[busybox, python], &["python3"])?;
    for scratch in ["busybox", "python"] {
        fs::remove_dir_all(folder.join(scratch))?;
    }
    Ok(())
}

fn busybox_layer(unpacked: &Path) -> Result<Layer> {
    let program = unpacked.join("bin/busybox");
    let mut layer = Layer::default();
    for path in ["dev", "etc", "proc", "root", "sys", "var"] {
        layer.folder(path, 0o755);
    }
    layer.folder("tmp", 0o1777);
    layer.text(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    );
    layer.text("etc/group", "root:x:0:\nnogroup:x:65534:\n");
    layer.add(&program, "bin/busybox", &|_| false)?;
    for applet in shell::output(Command::new(&program).arg("--list"))?.lines() {
        if applet != "busybox" {
            layer.link(&format!("bin/{applet}"), "busybox");
        }
    }
    Ok(layer)
}

/// The files of packages and of everything that they depend on, whatever this machine has installed.
fn unpack(scratch: &Path, packages: &[&str]) -> Result<PathBuf> {
    let (archives, root) = (scratch.join("archives"), scratch.join("root"));
    fs::create_dir_all(archives.join("partial"))?;
    fs::create_dir_all(&root)?;
    // A machine with nothing installed, so that apt wants all of it.
    let status = scratch.join("status");
    fs::write(&status, "")?;
    let fetch = || {
        let mut fetch = Command::new("apt-get");
        fetch.args([
            "-qq",
            "-y",
            "-o",
            "APT::Install-Recommends=false",
            "-o",
            "APT::Sandbox::User=root",
        ]);
        fetch.args([
            "-o",
            "Debug::NoLocking=true",
            "-o",
            "Dir::Cache::pkgcache=",
            "-o",
            "Dir::Cache::srcpkgcache=",
        ]);
        fetch.arg("-o").arg(format!("Dir::State::status={}", status.display()));
        fetch
            .arg("-o")
            .arg(format!("Dir::Cache::archives={}", archives.display()));
        fetch.args(["install", "--download-only"]).args(packages);
        fetch
    };
    if shell::output(&mut fetch()).is_err() {
        // The lists of packages may be missing, or older than the archive.
        let _ = shell::output(Command::new("apt-get").args(["update", "-qq"]));
        shell::output(&mut fetch()).map_err(|why| {
            Error::new(Lacking(format!(
                "Debian's packages {packages:?} are not to be had: {why}"
            )))
        })?;
    }
    for entry in fs::read_dir(&archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            shell::output(Command::new("dpkg").arg("-x").arg(&path).arg(&root))?;
        }
    }
    Ok(root)
}

/// Compiles Python's library, as the package's install script would have, but for good: whatever time the files get.
fn compile(root: &Path) -> Result<()> {
    let library = format!("/usr/lib/python{PYTHON_VERSION}");
    let mut compile = Command::new("chroot");
    compile.arg(root).arg(format!("/usr/bin/python{PYTHON_VERSION}"));
    compile.args(["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]);
    compile.args(["-x", "/(test|lib2to3|idlelib)/", &library]);
    compile
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8");
    shell::output(&mut compile)
        .map(drop)
        .context("Python's library does not compile")
}
