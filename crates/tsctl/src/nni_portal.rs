//! The web page of NNI's own package, where it is installed: read once, whole, so that no path of an address ever names a file.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use ts_core::{Error, ErrorKind, Result};
use ts_manager::rest::{Asset, Assets};

/// Most bytes that are kept; NNI 2.10 and 3.0 have 8 MB without their source maps.
const MOST_BYTES: u64 = 64 << 20;
/// How deep folders may lie.
const DEPTH: usize = 8;
/// The page, which also answers every path that is no file.
///
/// Source: nni v2.0 to v3.0, `ts/nni_manager/rest_server/index.ts`: `router.get('*', … sendFile('index.html'))`.
const PAGE: &str = "index.html";
/// Where its scripts are taken from; its fonts are on other hosts, as ever. It needs inline scripts and evaluated ones.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data: blob:; font-src 'self' data: https:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; object-src 'none'";
/// Prints the folder of the page behind a mark, because packages print.
const ASK: &str = "import os, nni_node; print('--page--' + os.path.join(os.path.dirname(nni_node.__file__), 'static'))";
const MARK: &str = "--page--";

/// NNI's page in memory.
#[derive(Debug)]
pub(crate) struct NniPortal {
    files: BTreeMap<String, Asset>,
}

impl NniPortal {
    /// The page of the package that this Python has; by default `python3`, else `python`.
    ///
    /// # Errors
    /// `NotFound` without Python, without the package, or with one that has no page; those of reading it.
    pub(crate) fn find(python: Option<&str>) -> Result<Self> {
        let names = python.map_or_else(|| vec!["python3", "python"], |name| vec![name]);
        for name in &names {
            if let Some(folder) = folder_of(name)? {
                return Self::read(&folder);
            }
        }
        Err(
            Error::new(ErrorKind::NotFound, format!("there is no `{}`", names.join("`, no `")))
                .with_key("tsctl.python")
                .with_help("install Python with NNI's package, or leave out `--nni-portal`: a page is built in"),
        )
    }

    /// Reads a folder that has the page.
    fn read(folder: &Path) -> Result<Self> {
        let mut portal = Self { files: BTreeMap::new() };
        let mut left = MOST_BYTES;
        portal
            .add(folder, "", DEPTH, &mut left)
            .map_err(|e| Error::io("read NNI's page", folder, e))?;
        if portal.files.contains_key(PAGE) {
            return Ok(portal);
        }
        Err(
            Error::new(ErrorKind::NotFound, format!("`{}` holds no page", folder.display()))
                .with_help("NNI 2.0 and later have one"),
        )
    }

    /// Plain files only: a link could lead anywhere.
    fn add(&mut self, folder: &Path, under: &str, depth: usize, left: &mut u64) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let Some(name) = entry.file_name().to_str().map(|name| format!("{under}{name}")) else {
                continue;
            };
            if kind.is_dir() && depth > 0 {
                self.add(&entry.path(), &format!("{name}/"), depth - 1, left)?;
            } else if kind.is_file() && !is_source_map(&name) {
                let mut bytes = Vec::new();
                let read = fs::File::open(entry.path())?.take(*left + 1).read_to_end(&mut bytes)? as u64;
                *left = left
                    .checked_sub(read)
                    .ok_or_else(|| io::Error::other(format!("it has more than {MOST_BYTES} bytes")))?;
                let asset = Asset {
                    content_type: content_type(&name),
                    bytes: bytes.into(),
                    etag: None,
                };
                self.files.insert(name, asset);
            }
        }
        Ok(())
    }
}

impl Assets for NniPortal {
    fn file(&self, path: &str) -> Option<Asset> {
        self.files.get(path).or_else(|| self.files.get(PAGE)).cloned()
    }

    fn content_security_policy(&self) -> &'static str {
        POLICY
    }
}

/// The folder of the page by this Python; none without that Python.
fn folder_of(python: &str) -> Result<Option<PathBuf>> {
    let asked = Command::new(python).args(["-c", ASK]).stdin(Stdio::null()).output();
    let output = match asked {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::new(ErrorKind::Io, format!("cannot run `{python}`")).with_source(e)),
        Ok(output) => output,
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if let Some((_, folder)) = said.rsplit_once(MARK) {
        return Ok(Some(PathBuf::from(folder.trim_end())));
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.trim_end().lines().next_back().unwrap_or_default();
    Err(Error::new(
        ErrorKind::NotFound,
        format!("`{python}` has no NNI package with a page: {last}"),
    )
    .with_key("tsctl.python")
    .with_help("install `nni` 2.0 or later there, or leave out `--nni-portal`: a page is built in"))
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Three quarters of all bytes, for whoever develops that page.
fn is_source_map(name: &str) -> bool {
    extension(name) == "map"
}

fn content_type(name: &str) -> &'static str {
    match extension(name) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "ttf" => "font/ttf",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_folder_are_served_and_every_other_path_is_the_page() {
        let tmp = tempfile::tempdir().unwrap();
        let folder = tmp.path().join("static");
        fs::create_dir_all(folder.join("js")).unwrap();
        fs::write(tmp.path().join("secret"), "secret").unwrap();
        fs::write(folder.join(PAGE), "page").unwrap();
        fs::write(folder.join("js/main.js"), "code").unwrap();
        fs::write(folder.join("js/main.js.map"), "map").unwrap();
        std::os::unix::fs::symlink(tmp.path().join("secret"), folder.join("link")).unwrap();
        let portal = NniPortal::read(&folder).unwrap();
        let file = |path: &str| portal.file(path).map(|asset| (asset.content_type, asset.bytes));
        assert_eq!(
            file("js/main.js"),
            Some(("text/javascript; charset=utf-8", "code".into()))
        );
        for path in [
            "",
            "oview",
            "detail",
            "../secret",
            "link",
            "/etc/passwd",
            "js/main.js.map",
        ] {
            assert_eq!(file(path), Some(("text/html; charset=utf-8", "page".into())), "{path}");
        }
    }

    #[test]
    fn a_folder_without_a_page_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let error = NniPortal::read(tmp.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_python_that_is_not_there_is_named_with_a_remedy() {
        let error = NniPortal::find(Some("no-such-python")).unwrap_err();
        assert!(error.message().contains("no-such-python"), "{error}");
        assert!(error.help().is_some());
    }
}
