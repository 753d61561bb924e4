//! Writes container images as archives, without a daemon and without a registry.
//!
//! Which files are in an image is for others to say.

use super::cache::hexadecimal;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    env, fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use tar::{Builder, EntryType, Header};

/// A layer of an image, by paths without a slash at either end. All files will belong to root.
#[derive(Debug, Default)]
pub(super) struct Layer(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    mode: u32,
    /// Seconds since 1970. Python trusts what it compiled only while the source is as old as it was.
    modified: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Folder,
    Link(PathBuf),
    Text(&'static str),
    File(PathBuf),
}

impl Layer {
    pub(super) fn folder(&mut self, path: &str, mode: u32) {
        self.put(path, mode, 0, Content::Folder);
    }

    pub(super) fn text(&mut self, path: &str, text: &'static str) {
        self.put(path, 0o644, 0, Content::Text(text));
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.put(path, 0o777, 0, Content::Link(target.into()));
    }

    /// A file, or a folder with all it holds but what `is_left_out`, asked by name, says.
    pub(super) fn add(&mut self, source: &Path, path: &str, is_left_out: &dyn Fn(&str) -> bool) -> Result<()> {
        let facts = fs::symlink_metadata(source).with_context(|| format!("no `{}`", source.display()))?;
        let modified = u64::try_from(facts.mtime()).unwrap_or_default();
        let mode = facts.permissions().mode() & 0o7777;
        let kind = facts.file_type();
        if kind.is_dir() {
            self.put(path, mode, modified, Content::Folder);
            for inner in fs::read_dir(source)? {
                let inner = inner?;
                let name = inner.file_name();
                let name = name.to_str().context("a name that is no UTF-8")?;
                if !is_left_out(name) {
                    self.add(&inner.path(), &format!("{path}/{name}"), is_left_out)?;
                }
            }
        } else if kind.is_symlink() {
            self.put(path, mode, modified, Content::Link(fs::read_link(source)?));
        } else if kind.is_file() {
            self.put(path, mode, modified, Content::File(source.to_owned()));
        } else {
            bail!("`{}` is neither a file nor a folder nor a link", source.display());
        }
        Ok(())
    }

    fn put(&mut self, path: &str, mode: u32, modified: u64, content: Content) {
        let path = path.trim_matches('/');
        if path.is_empty() {
            return;
        }
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.0.contains_key(parent)
        {
            self.put(parent, 0o755, 0, Content::Folder);
        }
        let entry = Entry {
            mode,
            modified,
            content,
        };
        self.0.insert(path.to_owned(), entry);
    }

    /// Writes the layer's own archive.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut archive = Builder::new(io::BufWriter::new(fs::File::create(file)?));
        for (path, entry) in &self.0 {
            let mut header = Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_mtime(entry.modified);
            header.set_size(0);
            match &entry.content {
                Content::Folder => {
                    header.set_entry_type(EntryType::Directory);
                    archive.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Content::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    archive.append_link(&mut header, path, target)?;
                }
                Content::Text(text) => {
                    header.set_size(text.len() as u64);
                    archive.append_data(&mut header, path, text.as_bytes())?;
                }
                Content::File(source) => {
                    let source = fs::File::open(source)?;
                    header.set_size(source.metadata()?.len());
                    archive.append_data(&mut header, path, source)?;
                }
            }
        }
        archive.into_inner()?.into_inner()?.sync_all()?;
        Ok(())
    }
}

/// Writes the archive of an image: `tag` such as `local/busybox:1`, its layers from the lowest up, and what a container of it runs.
///
/// Source: moby v20.10, `image/spec/v1.2.md`, "Combined Image JSON + Filesystem Changeset Format".
pub(super) fn write_image(file: &Path, tag: &str, layers: &[PathBuf], command: &[&str]) -> Result<()> {
    let digests: Vec<String> = layers.iter().map(|layer| digest_of(layer)).collect::<Result<_>>()?;
    let diff_ids: Vec<String> = digests.iter().map(|digest| format!("sha256:{digest}")).collect();
    let config = json!({
        "architecture": architecture()?,
        "os": "linux",
        "config": {
            "Cmd": command,
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"],
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let layer_names: Vec<String> = digests.iter().map(|digest| format!("{digest}/layer.tar")).collect();
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": [format!("docker.io/{tag}")], "Layers": layer_names }]);
    let mut archive = Builder::new(fs::File::create(file)?);
    append(&mut archive, "config.json", &config)?;
    for (name, layer) in layer_names.iter().zip(layers) {
        archive.append_path_with_name(layer, name)?;
    }
    append(&mut archive, "manifest.json", &manifest)?;
    archive.into_inner()?;
    Ok(())
}

fn append(archive: &mut Builder<fs::File>, name: &str, value: &Value) -> Result<()> {
    let text = value.to_string();
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    Ok(archive.append_data(&mut header, name, text.as_bytes())?)
}

fn digest_of(file: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    let mut file = fs::File::open(file)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n_bytes = io::Read::read(&mut file, &mut buffer)?;
        if n_bytes == 0 {
            return Ok(hexadecimal(&digest.finalize()));
        }
        digest.update(&buffer[..n_bytes]);
    }
}

/// This machine's architecture as images call it.
fn architecture() -> Result<&'static str> {
    match env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("images for `{other}` are not made here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_names_the_layers_that_it_holds() {
        let folder = env::temp_dir().join(format!("ts-xtask-image-{}", std::process::id()));
        fs::create_dir_all(folder.join("source/inner")).unwrap();
        fs::write(folder.join("source/inner/file"), "text").unwrap();
        fs::write(folder.join("source/left-out"), "").unwrap();
        let mut layer = Layer::default();
        layer.link("bin/sh", "busybox");
        layer
            .add(&folder.join("source"), "code", &|name| name == "left-out")
            .unwrap();
        let path = folder.join("layer.tar");
        layer.write(&path).unwrap();
        let mut archive = tar::Archive::new(fs::File::open(&path).unwrap());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["bin/", "bin/sh", "code/", "code/inner/", "code/inner/file"]);

        write_image(
            &folder.join("image.tar"),
            "local/it:1",
            std::slice::from_ref(&path),
            &["sh"],
        )
        .unwrap();
        let digest = digest_of(&path).unwrap();
        let mut archive = tar::Archive::new(fs::File::open(folder.join("image.tar")).unwrap());
        let mut texts = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            texts.insert(entry.path().unwrap().to_string_lossy().into_owned(), bytes);
        }
        let manifest: Value = serde_json::from_slice(&texts["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["Layers"][0], format!("{digest}/layer.tar"));
        assert_eq!(manifest[0]["RepoTags"][0], "docker.io/local/it:1");
        let config: Value = serde_json::from_slice(&texts["config.json"]).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{digest}"));
        assert_eq!(texts[&format!("{digest}/layer.tar")], fs::read(path).unwrap());
        fs::remove_dir_all(folder).unwrap();
    }
}
