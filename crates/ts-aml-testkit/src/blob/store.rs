//! What is stored: containers with block blobs and append blobs.

use crate::{clock, world::uuid};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// What a blob is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The committed blocks, by id.
    Block(Vec<(String, Bytes)>),
    /// How many blocks were appended.
    Append(u32),
}

/// A blob.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) kind: Kind,
    pub(crate) content: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) etag: String,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}

impl Blob {
    pub(crate) fn new(kind: Kind, content: Vec<u8>) -> Self {
        let now = clock::now();
        Self {
            kind,
            content,
            content_type: "application/octet-stream".to_owned(),
            metadata: Vec::new(),
            etag: etag(),
            created: now,
            modified: now,
        }
    }

    /// It changed.
    pub(crate) fn touch(&mut self) {
        self.etag = etag();
        self.modified = clock::now();
    }

    /// The header `x-ms-blob-type`.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Block(_) => "BlockBlob",
            Kind::Append(_) => "AppendBlob",
        }
    }
}

fn etag() -> String {
    format!("\"0x8D{}\"", uuid().replace('-', "")[..13].to_uppercase())
}

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) blobs: BTreeMap<String, Blob>,
    /// Blocks that were sent and are in no list, by blob.
    pub(crate) uncommitted: HashMap<String, Vec<(String, Bytes)>>,
    pub(crate) etag: String,
    pub(crate) modified: Timestamp,
}

/// A storage account.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) account: String,
    pub(crate) key: [u8; 64],
    pub(crate) containers: BTreeMap<String, Container>,
}

impl Store {
    pub(crate) fn new(account: &str) -> Self {
        let (low, high): ([u8; 32], [u8; 32]) = (rand::random(), rand::random());
        let mut key = [0; 64];
        key[..32].copy_from_slice(&low);
        key[32..].copy_from_slice(&high);
        Self {
            account: account.to_owned(),
            key,
            containers: BTreeMap::new(),
        }
    }

    /// The account key as it is given to clients.
    pub(crate) fn key_text(&self) -> String {
        STANDARD.encode(self.key)
    }

    pub(crate) fn create_container(&mut self, name: &str) {
        let container = Container {
            blobs: BTreeMap::new(),
            uncommitted: HashMap::new(),
            etag: etag(),
            modified: clock::now(),
        };
        self.containers.insert(name.to_owned(), container);
    }

    /// Names of the blobs in a folder, or of all in a container for an empty one.
    pub(crate) fn names<'a>(&'a self, container: &str, folder: &'a str) -> impl Iterator<Item = &'a str> {
        let blobs = self.containers.get(container).map(|container| &container.blobs);
        let names = blobs.into_iter().flat_map(|blobs| blobs.keys().map(String::as_str));
        names.filter(move |name| {
            let rest = name.strip_prefix(folder);
            folder.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    pub(crate) fn get(&self, container: &str, name: &str) -> Option<&Blob> {
        self.containers.get(container)?.blobs.get(name)
    }

    /// Stores a whole blob, over what was there; its etag.
    pub(crate) fn put(&mut self, container: &str, name: &str, content: Vec<u8>) -> String {
        let blob = Blob::new(Kind::Block(Vec::new()), content);
        let etag = blob.etag.clone();
        if let Some(container) = self.containers.get_mut(container) {
            container.blobs.insert(name.to_owned(), blob);
        }
        etag
    }

    /// Appends to an append blob, which is made when it is not there.
    pub(crate) fn append(&mut self, container: &str, name: &str, content: &[u8]) {
        let Some(container) = self.containers.get_mut(container) else {
            return;
        };
        let blobs = &mut container.blobs;
        let blob = blobs.entry(name.to_owned()).or_insert_with(|| {
            let mut blob = Blob::new(Kind::Append(0), Vec::new());
            "text/plain".clone_into(&mut blob.content_type);
            blob
        });
        blob.content.extend_from_slice(content);
        if let Kind::Append(count) = &mut blob.kind {
            *count += 1;
        }
        blob.touch();
    }

    pub(crate) fn remove(&mut self, container: &str, name: &str) -> bool {
        let container = self.containers.get_mut(container);
        container.is_some_and(|container| container.blobs.remove(name).is_some())
    }
}
