//! Versions of the tables and the way from one to the next. `docs/store.md` explains the tables.

use super::error::from_sql;
use rusqlite::Connection;
use std::path::Path;
use ts_core::Result;

/// Marks the file as ours: `NNIs` in ASCII, at byte 68 of the file.
pub(super) const APPLICATION_ID: i32 = 0x4e4e_4973;

/// `MIGRATIONS[n]` leads from version `n` to version `n + 1`. Never edited once released; only appended to.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema_v1.sql"),
    include_str!("schema_v2.sql"),
    include_str!("schema_v3.sql"),
];

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, file_in};

    /// A file as the first release left it.
    fn version_1() -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().expect("a directory");
        let db = Connection::open(file_in(directory.path())).expect("a file");
        db.execute_batch(include_str!("../../tests/fixtures/store_v1.sql"))
            .expect("the fixture");
        (directory, db)
    }

    fn facts(db: &Connection) -> (usize, String) {
        let sql = "SELECT (SELECT user_version FROM pragma_user_version), value FROM metric";
        db.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("a metric")
    }

    #[test]
    fn a_file_of_version_1_opens() {
        let (directory, db) = version_1();
        drop(db);
        let path = file_in(directory.path());
        let store = Store::open(&path, std::sync::Arc::new(ts_core::SystemClock::new())).expect("migrated");
        let reader = store.reader().expect("readable");
        assert_eq!(reader.unfinished().expect("readable")[0].spec.command, "./train");
        assert_eq!(reader.experiment().expect("readable").config["a"], 1);
    }

    #[test]
    fn further_parameters_that_version_1_knew_as_events_get_rows() {
        let (directory, db) = version_1();
        let event = "INSERT INTO event (at_ms, trial, kind, data)
            VALUES (7, (SELECT sequence_id FROM trial LIMIT 1), 'parameters', '{\"index\": 1, \"text\": \"{}\"}')";
        db.execute(event, ()).expect("an event");
        drop(db);
        let path = file_in(directory.path());
        let store = Store::open(&path, std::sync::Arc::new(ts_core::SystemClock::new())).expect("migrated");
        let trials = store
            .reader()
            .expect("readable")
            .trials(&crate::store::TrialFilter::all());
        let phases = &trials.expect("readable")[0].phases;
        let texts: Vec<_> = phases
            .iter()
            .map(|phase| (phase.index, phase.parameters.is_some()))
            .collect();
        assert_eq!(texts, [(0, true), (1, true)]);
    }

    #[test]
    fn steps_run_once_in_order_and_a_failed_one_changes_nothing() {
        let (directory, mut db) = version_1();
        let path = file_in(directory.path());
        let next = "ALTER TABLE metric ADD COLUMN unit TEXT; UPDATE metric SET value = value || '0'";
        let broken = "UPDATE metric SET value = ''; SELECT nonsense";
        let steps = [MIGRATIONS[0], next, broken];
        assert!(migrate(&mut db, &path, &steps).is_err());
        assert_eq!(
            facts(&db),
            (2, "0.50".into()),
            "the second step is kept, the third undone"
        );
        migrate(&mut db, &path, &steps[..2]).expect("nothing left to do");
        assert_eq!(facts(&db), (2, "0.50".into()));
    }
}
