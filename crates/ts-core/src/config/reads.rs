//! What was read where: the keys with their places in schema 2, and which values are paths. What migrating a file needs.
//!
//! Readers of a section know both spellings of a key, so that there is no second table of keys.

use super::node::Entry;

/// All that was read of a configuration.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// The platform whose section is being read.
    pub(super) reader: Option<&'static str>,
    pub(super) keys: Vec<KeyRead>,
    pub(super) paths: Vec<(u32, u32)>,
    pub(super) additions: Vec<Addition>,
}

/// A key that was read.
#[derive(Debug)]
pub(super) struct KeyRead {
    pub(super) platform: Option<&'static str>,
    /// Line and column of the key.
    pub(super) place: (u32, u32),
    /// Where schema 2 has it; empty: nowhere.
    pub(super) written: &'static str,
    /// Why it has no effect.
    pub(super) why: Option<String>,
}

/// What schema 2 must spell out.
#[derive(Debug)]
pub(super) struct Addition {
    pub(super) platform: Option<&'static str>,
    pub(super) place: &'static str,
    pub(super) value: serde_json::Value,
}

impl Reads {
    pub(super) fn key(&mut self, entry: &Entry, written: &'static str, why: Option<&str>) {
        self.keys.push(KeyRead {
            platform: self.reader,
            place: (entry.line, entry.column),
            written,
            why: why.map(str::to_owned),
        });
    }

    pub(super) fn path(&mut self, line: u32, column: u32) {
        self.paths.push((line, column));
    }

    pub(super) fn addition(&mut self, place: &'static str, value: serde_json::Value) {
        self.additions.push(Addition {
            platform: self.reader,
            place,
            value,
        });
    }

    /// What schema 2 makes of the key of `entry`; what says more than its own spelling counts more. `None`: nobody asked.
    pub(super) fn find(&self, platform: Option<&str>, entry: &Entry) -> Option<&KeyRead> {
        let mut found: Option<&KeyRead> = None;
        let here = self.keys.iter().filter(|read| read.place == (entry.line, entry.column));
        for read in here.filter(|read| read.platform.is_none() || read.platform == platform) {
            let is_plain = |read: &KeyRead| read.written == entry.key;
            if found.is_none_or(|before| read.why.is_some() || is_plain(before)) {
                found = Some(read);
            }
        }
        found
    }
}
