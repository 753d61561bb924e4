//! What a resumed experiment is rebuilt from: the trials that had not ended, and the past of its parameter source.

use super::{PastTrial, StoreReader, rows};
use crate::source::ImportedResult;
use ts_core::{Parameters, Result, TrialRecord, TrialStatus};

impl StoreReader {
    /// The trials that have not ended, in the order of their numbers; what `TrainingService::recover` is asked about.
    pub fn unfinished(&self) -> Result<Vec<TrialRecord>> {
        let live: Vec<TrialStatus> = TrialStatus::ALL.into_iter().filter(|s| !s.is_terminal()).collect();
        let sql = format!(
            "{} WHERE t.status IN (SELECT value FROM json_each(?1)) ORDER BY t.sequence_id",
            rows::TRIAL
        );
        self.all(&sql, (serde_json::json!(live).to_string(),), rows::record)
    }

    /// The results that were imported, a list for each time, oldest first. Reads the whole event log.
    ///
    /// # Errors
    /// `Io` if the file is damaged.
    pub fn imports(&self) -> Result<Vec<Vec<ImportedResult>>> {
        let sql = "SELECT data FROM event WHERE kind = ?1 AND data IS NOT NULL ORDER BY number";
        let lists: Vec<Option<Vec<ImportedResult>>> =
            self.all(sql, (super::apply::IMPORT,), |row| rows::json(row, 0))?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// Gives every trial with its metrics to `each`, in the order of their numbers, one at a time: memory does not grow
    /// with the experiment. All are of one state of the store.
    ///
    /// # Errors
    /// `Io` if the file is damaged, and the first error of `each`, which ends it.
    pub fn history(&self, mut each: impl FnMut(PastTrial) -> Result<()>) -> Result<()> {
        self.snapshot(|reader| {
            let mut trials = reader
                .db
                .prepare_cached(
                    "SELECT sequence_id, id, parameters, parameter_index, status FROM trial ORDER BY sequence_id",
                )
                .map_err(|e| reader.failed(e))?;
            let mut trials = trials.query(()).map_err(|e| reader.failed(e))?;
            while let Some(row) = trials.next().map_err(|e| reader.failed(e))? {
                let mut past = past_trial(row).map_err(|e| reader.failed(e))?;
                let sql = format!("{} WHERE trial = ?1 ORDER BY seq", rows::METRIC);
                past.metrics = reader.all(&sql, (past.sequence_id,), rows::metric)?;
                each(past)?;
            }
            Ok(())
        })
    }
}

fn past_trial(row: &rusqlite::Row<'_>) -> rusqlite::Result<PastTrial> {
    Ok(PastTrial {
        id: rows::trial_id(row, 1)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?,
        sequence_id: row.get(0)?,
        parameters: Parameters {
            text: row.get(2)?,
            index: row.get(3)?,
        },
        status: rows::named(row, 4, TrialStatus::parse)?,
        metrics: Vec::new(),
    })
}
