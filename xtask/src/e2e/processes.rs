//! Processes of this machine, as far as they can be told by a mark in their environment.
//!
//! Used to see that a test left none, and to end those that a killed one left.

use super::experiment::wait_until;
use anyhow::Result;
use std::fs;

/// Waits until no process carries this in its environment.
pub(super) fn nothing_runs(stamp: &str) -> Result<()> {
    wait_until(&format!("no process has `{stamp}`"), || {
        Ok(with_stamp(stamp)?.is_empty().then_some(()))
    })
}

/// Processes that carry this in their environment, by number.
pub(super) fn with_stamp(stamp: &str) -> Result<Vec<u32>> {
    let mut found = all()?;
    found.retain(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == stamp.as_bytes())
    });
    found.sort_unstable();
    Ok(found)
}

/// Their numbers.
pub(super) fn all() -> Result<Vec<u32>> {
    let names = fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
    Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
}
