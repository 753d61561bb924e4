//! Versions of the tables and the way from one to the next. `docs/store.md` explains the tables.

use super::error::from_sql;
use rusqlite::Connection;
use std::path::Path;
use ts_core::Result;

/// Marks the file as ours: `NNIs` in ASCII, at byte 68 of the file.
pub(super) const APPLICATION_ID: i32 = 0x4e4e_4973;

/// `MIGRATIONS[n]` leads from version `n` to version `n + 1`. Never edited once released; only appended to.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema_v1.sql")];

/// The version that this build reads and writes.
pub(super) fn version() -> usize {
    MIGRATIONS.len()
}

/// Brings the tables to the newest version of `migrations`, each step in a transaction.
pub(super) fn migrate(db: &mut Connection, path: &Path, migrations: &[&str]) -> Result<()> {
    let failed = |e| from_sql("migrate", path, e);
    loop {
        let step = db
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(failed)?;
        let at: usize = step
            .query_row("PRAGMA user_version", (), |row| row.get(0))
            .map_err(failed)?;
        let Some(sql) = migrations.get(at) else {
            return Ok(());
        };
        step.execute_batch(sql).map_err(failed)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(failed)?;
        step.pragma_update(None, "user_version", at + 1).map_err(failed)?;
        step.commit().map_err(failed)?;
    }
}
