//! The reading side: a read-only connection that works beside the writer, in this process or another.
//!
//! What a resumed experiment is rebuilt from is in `history`.

use super::{
    ExperimentRow, LoggedEvent, Metric, MetricKind, Optimize, StatusCounts, TrialFilter, TrialRow,
    error::{damaged, from_sql},
    rows, store_file,
};
use rusqlite::{Connection, OptionalExtension, Params, Row, params_from_iter};
use std::path::{Path, PathBuf};
use ts_core::{Result, TrialId, TrialStatus};

/// Reads a store, also while a manager writes it. Every method blocks while it reads; `Send`, for one thread at a time.
///
/// # Errors
/// Every method: `Io` if the file is damaged.
#[derive(Debug)]
pub struct StoreReader {
    pub(super) db: Connection,
    path: PathBuf,
}

impl StoreReader {
    /// Opens a store for reading. Writes nothing but SQLite's shared index beside it; a read-only directory will do.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Conflict` if a newer release or another program wrote it, `Io` if it is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            db: store_file::open_read_only(path, false)?,
            path: path.to_owned(),
        })
    }

    /// Runs several reads on one state of the store.
    pub fn snapshot<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let transaction = self.db.unchecked_transaction().map_err(|e| self.failed(e))?;
        let value = read(self)?;
        transaction.finish().map_err(|e| self.failed(e))?;
        Ok(value)
    }

    /// The experiment.
    pub fn experiment(&self) -> Result<ExperimentRow> {
        self.one(rows::EXPERIMENT, (), rows::experiment)?
            .ok_or_else(|| damaged(&self.path, "it holds no experiment"))
    }

    /// The trials that pass `filter`, in the order of their numbers.
    pub fn trials(&self, filter: &TrialFilter) -> Result<Vec<TrialRow>> {
        let (conditions, values) = super::lines::conditions(filter);
        let sql = format!("{}{conditions}", rows::TRIAL);
        let trials = self.all(&sql, params_from_iter(values), rows::trial)?;
        trials.into_iter().map(|trial| self.with_phases(trial)).collect()
    }

    fn with_phases(&self, (mut trial, has_phases): (TrialRow, bool)) -> Result<TrialRow> {
        if has_phases {
            trial.phases = self.phases(trial.spec.sequence_id)?;
        }
        Ok(trial)
    }

    /// The trial, if it is stored.
    pub fn trial(&self, id: &TrialId) -> Result<Option<TrialRow>> {
        Ok(self.trials(&TrialFilter::all().with_ids([id.clone()]))?.pop())
    }

    /// Metrics of a trial in the order of its journal, of one kind or of both. None for a trial that is not stored.
    pub fn metrics(&self, trial: &TrialId, kind: Option<MetricKind>) -> Result<Vec<Metric>> {
        let sql = format!(
            "{} WHERE trial = (SELECT sequence_id FROM trial WHERE id = ?1) AND kind = coalesce(?2, kind) ORDER BY seq",
            rows::METRIC
        );
        self.all(&sql, (trial.as_str(), kind.map(MetricKind::as_str)), rows::metric)
    }

    /// The newest metric of each trial that has one, in the order of the trials' numbers.
    pub fn latest_metrics(&self) -> Result<Vec<(TrialId, Metric)>> {
        self.all(
            "SELECT newest_seq, newest_ms, newest_kind, newest_sequence, newest_value, newest_number, newest_index, id
             FROM trial WHERE newest_seq IS NOT NULL ORDER BY sequence_id",
            (),
            |row| {
                let id = rows::trial_id(row, 7)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                Ok((id, rows::metric(row)?))
            },
        )
    }

    /// How many trials are in which status.
    pub fn counts_by_status(&self) -> Result<StatusCounts> {
        let counts = self.all("SELECT status, count(*) FROM trial GROUP BY status", (), |row| {
            Ok((rows::named(row, 0, TrialStatus::parse)?, row.get(1)?))
        })?;
        Ok(StatusCounts(counts))
    }

    /// The trial with the best result, whatever its status; the earliest of equals. Infinite metrics do not count.
    pub fn best(&self, optimize: Optimize) -> Result<Option<TrialRow>> {
        let order = match optimize {
            Optimize::Maximize => "DESC",
            Optimize::Minimize => "ASC",
        };
        let sql = format!(
            "{} WHERE t.final_number BETWEEN ?1 AND ?2 ORDER BY t.final_number {order}, t.sequence_id LIMIT 1",
            rows::TRIAL
        );
        self.one(&sql, (f64::MIN, f64::MAX), rows::trial)?
            .map(|trial| self.with_phases(trial))
            .transpose()
    }

    /// The event log of a trial, or of the experiment and all trials, oldest first. Reads the whole log in either case:
    /// an index would cost every change more than it saves a person who looks.
    pub fn events(&self, trial: Option<&TrialId>) -> Result<Vec<LoggedEvent>> {
        match trial {
            None => self.all(&format!("{} ORDER BY event.number", rows::EVENT), (), rows::event),
            Some(id) => self.all(
                &format!(
                    "{} WHERE event.trial = (SELECT sequence_id FROM trial WHERE id = ?1) ORDER BY event.number",
                    rows::EVENT
                ),
                (id.as_str(),),
                rows::event,
            ),
        }
    }

    /// Number of the newest stored change. Grows; the same number means the same content.
    pub fn revision(&self) -> Result<u64> {
        self.one("SELECT revision FROM experiment", (), |row| row.get(0))?
            .ok_or_else(|| damaged(&self.path, "it holds no experiment"))
    }

    /// A number that changes when any other connection commits; the cheapest question whether to look again. Means
    /// nothing to another reader.
    pub fn data_version(&self) -> Result<u64> {
        self.one("PRAGMA data_version", (), |row| row.get(0))?
            .ok_or_else(|| damaged(&self.path, "it gives no data version"))
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> ts_core::Error {
        from_sql("read", &self.path, error)
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        self.db
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(params, read).optional())
            .map_err(|e| self.failed(e))
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        self.db
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(params, read)?.collect())
            .map_err(|e| self.failed(e))
    }
}
