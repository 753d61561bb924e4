//! Whether the store can write at present.

use ts_core::Timestamp;

/// Whether the store can write at present. Changes handed over while it is stalled wait and are not lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreHealth {
    /// It writes.
    Healthy,
    /// It tries again and again: disk full, file system read-only, or another process holds the file.
    Stalled {
        /// Since when.
        since: Timestamp,
        /// What the last try said, with advice.
        error: String,
    },
}
