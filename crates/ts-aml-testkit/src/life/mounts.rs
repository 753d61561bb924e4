//! Folders of a job that are containers' folders: each side's changes reach the other.
//!
//! The real platform mounts by blobfuse; here both sides are compared again and again, which a job cannot tell from a mount that is
//! a little slow. Source: "Access data in a job", Microsoft Learn, for the modes and the addresses.

use crate::{arm::datastore, blob::store::Store, clock, world::ACCOUNT};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How coarse the times of files are, and more.
const TICK: Duration = Duration::from_millis(10);

/// Container and folder of an address of data.
pub(crate) fn place(uri: &str) -> Option<(String, String)> {
    if let Some(rest) = uri.strip_prefix("azureml://") {
        // Both the short form and the long one, with subscription, group and workspace.
        let rest = rest.split_once("datastores/")?.1;
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.strip_prefix("paths/").unwrap_or(path);
        let container = datastore::container(name)?;
        return Some((container.to_owned(), path.trim_matches('/').to_owned()));
    }
    let rest = uri.split_once(&format!("/{ACCOUNT}/"))?.1;
    let (container, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some((container.to_owned(), path.trim_matches('/').to_owned()))
}

/// One state of a file on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    size: u64,
    modified: Option<SystemTime>,
    etag: String,
}

/// A folder and its container's folder.
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) local: PathBuf,
    container: String,
    folder: String,
    /// Whether what the job writes goes to the container.
    writes: bool,
    /// How long what was seen in the container counts.
    expiry: Duration,
    pulled: Option<Timestamp>,
    seen: BTreeMap<String, Seen>,
}

/// Makes a job see what changes on the storage while it runs; without it what is known of a file never expires.
///
/// Source: "Access data in a job", section "Mount settings", Microsoft Learn: "Not set (cache never expires)".
pub(crate) const CACHE_EXPIRES: &str = "DATASET_MOUNT_ATTRIBUTE_CACHE_TTL";

impl Mount {
    pub(crate) fn new(local: PathBuf, place: (String, String), writes: bool) -> io::Result<Self> {
        fs::create_dir_all(&local)?;
        Ok(Self {
            local,
            container: place.0,
            folder: place.1,
            writes,
            expiry: Duration::ZERO,
            pulled: None,
            seen: BTreeMap::new(),
        })
    }

    /// Looks at the container no more often than this.
    pub(crate) fn caching(self, expiry: Duration) -> Self {
        Self { expiry, ..self }
    }

    /// Brings each side's news to the other.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub(crate) fn sync(&mut self, store: &mut Store, is_last: bool) -> io::Result<()> {
        // A real mount sends files in the order in which they are closed. What is written while we look may be seen without what was
        // written before it, and waits for the next time.
        let until = clock::system_now() - TICK;
        let mut local = BTreeMap::new();
        walk(&self.local, "", &mut local)?;
        if self.writes {
            let is_settled = |modified: Option<SystemTime>| is_last || modified.is_none_or(|at| at <= until);
            self.push(store, &local, is_settled)?;
        }
        let now = clock::now();
        let age = |pulled| Duration::try_from(now.duration_since(pulled)).unwrap_or_default();
        if self.pulled.is_some_and(|pulled| age(pulled) < self.expiry) {
            return Ok(());
        }
        self.pulled = Some(now);
        self.pull(store, &local)
    }

    fn push(
        &mut self,
        store: &mut Store,
        local: &BTreeMap<String, (u64, Option<SystemTime>)>,
        is_settled: impl Fn(Option<SystemTime>) -> bool,
    ) -> io::Result<()> {
        for (name, (size, modified)) in local {
            let known = self.seen.get(name);
            if known.is_some_and(|seen| seen.size == *size && seen.modified == *modified) || !is_settled(*modified) {
                continue;
            }
            let content = match fs::read(self.local.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                content => content?,
            };
            let etag = store.put(&self.container, &self.key(name), content);
            let seen = Seen {
                size: *size,
                modified: *modified,
                etag,
            };
            self.seen.insert(name.clone(), seen);
        }
        let gone: Vec<String> = self
            .seen
            .keys()
            .filter(|name| !local.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            store.remove(&self.container, &self.key(&name));
            self.seen.remove(&name);
        }
        Ok(())
    }

    fn pull(&mut self, store: &Store, local: &BTreeMap<String, (u64, Option<SystemTime>)>) -> io::Result<()> {
        let mut remote = Vec::new();
        for key in store.names(&self.container, &self.folder) {
            let Some(blob) = store.get(&self.container, key) else {
                continue;
            };
            let rest = key[self.folder.len()..].trim_start_matches('/');
            // An address of a single file.
            let name = if rest.is_empty() {
                key.rsplit('/').next().unwrap_or(key)
            } else {
                rest
            };
            remote.push(name.to_owned());
            if self.seen.get(name).is_some_and(|seen| seen.etag == blob.etag) {
                continue;
            }
            let path = self.local.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            // Whole or not at all, for whoever reads at this moment.
            let part = self.local.with_extension("part");
            fs::write(&part, &blob.content)?;
            fs::rename(&part, &path)?;
            let found = fs::metadata(&path)?;
            let seen = Seen {
                size: found.len(),
                modified: found.modified().ok(),
                etag: blob.etag.clone(),
            };
            self.seen.insert(name.to_owned(), seen);
        }
        let gone: Vec<String> = self
            .seen
            .keys()
            .filter(|name| !remote.contains(name))
            .cloned()
            .collect();
        for name in gone {
            if local.contains_key(&name) {
                let _ = fs::remove_file(self.local.join(&name));
            }
            self.seen.remove(&name);
        }
        Ok(())
    }

    fn key(&self, name: &str) -> String {
        if self.folder.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.folder)
        }
    }
}

fn walk(root: &Path, below: &str, found: &mut BTreeMap<String, (u64, Option<SystemTime>)>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        // A file may be gone by now.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            match walk(root, &name, found) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                walked => walked?,
            }
        } else if metadata.is_file() {
            found.insert(name, (metadata.len(), metadata.modified().ok()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let folder = |uri: &str| place(uri).map(|(_, folder)| folder);
        assert_eq!(
            folder("azureml://datastores/workspaceblobstore/paths/a/b/"),
            Some("a/b".to_owned())
        );
        assert_eq!(
            folder("azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/workspaceblobstore/paths/a"),
            Some("a".to_owned())
        );
        assert_eq!(
            folder("azureml://datastores/workspaceartifactstore/ExperimentRun/x"),
            Some("ExperimentRun/x".to_owned())
        );
        assert_eq!(folder("azureml://datastores/other/paths/a"), None);
        assert_eq!(
            place(&format!("http://127.0.0.1:1/{ACCOUNT}/c/d")),
            Some(("c".to_owned(), "d".to_owned()))
        );
    }

    #[test]
    fn each_side_sees_the_changes_of_the_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::new("a");
        store.create_container("c");
        store.put("c", "f/there", b"1".to_vec());
        let mut mount = Mount::new(folder.path().join("m"), ("c".to_owned(), "f".to_owned()), true).expect("made");
        let read = |name: &str| fs::read_to_string(folder.path().join("m").join(name)).ok();
        mount.sync(&mut store, true).expect("synced");
        assert_eq!(read("there").as_deref(), Some("1"));

        fs::create_dir(mount.local.join("d")).expect("made");
        fs::write(mount.local.join("d/here"), "22").expect("written");
        store.put("c", "f/there", b"111".to_vec());
        mount.sync(&mut store, true).expect("synced");
        assert_eq!(
            store.get("c", "f/d/here").map(|blob| blob.content.clone()),
            Some(b"22".to_vec())
        );
        assert_eq!(read("there").as_deref(), Some("111"));

        fs::remove_file(mount.local.join("d/here")).expect("removed");
        store.remove("c", "f/there");
        mount.sync(&mut store, true).expect("synced");
        assert!(store.get("c", "f/d/here").is_none());
        assert_eq!(read("there"), None);
    }
}
