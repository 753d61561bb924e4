//! Trials and metrics one row at a time, borrowed from SQLite: for lists that may be long and are written out at once.
//!
//! The rows as values of their own are in `rows`.

use super::{MetricKind, Phase, StoreReader, TrialFilter, rows};
use rusqlite::{Row, params_from_iter, types::Value};
use std::collections::HashMap;
use ts_core::{CancelReason, Reason, Result, Timestamp, TrialId, TrialStatus};

/// A metric, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MetricLine<'r> {
    /// Position in the journal.
    pub seq: u64,
    /// When it was read.
    pub at: Timestamp,
    /// Intermediate or final.
    pub kind: MetricKind,
    /// The trial's own number of it.
    pub sequence: u32,
    /// JSON text as the trial wrote it.
    pub value: &'r str,
    /// What it is compared by.
    pub number: Option<f64>,
    /// Index of the parameters that it is of.
    pub parameter_index: u32,
}

/// A trial, borrowed; without its specification, of which [`StoreReader::templates`] has the part that trials share.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrialLine<'r> {
    /// Its number.
    pub sequence_id: u32,
    /// Its id.
    pub id: &'r str,
    /// The trial that this one tries again.
    pub retry_of: Option<&'r str>,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Number of its template.
    pub template: i64,
    /// Packed parameters as the source gave them.
    pub parameters: &'r str,
    /// Its status.
    pub status: TrialStatus,
    /// Why it waits or ended so.
    pub reason: Option<Reason>,
    /// Why it was asked to end.
    pub cancel_requested: Option<CancelReason>,
    /// Where a person finds the job.
    pub url: Option<&'r str>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When the platform's receipt was stored.
    pub submitted_at: Option<Timestamp>,
    /// When it was first reported to run.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How many metrics are stored.
    pub n_metrics: u64,
    /// The newest metric.
    pub newest: Option<MetricLine<'r>>,
    /// The trial's result: the final metric that was reported last; of a trial with several phases the best of theirs.
    pub last_final: Option<MetricLine<'r>>,
    /// Whether it has further parameters, of which [`StoreReader::phases_of`] knows.
    pub has_phases: bool,
}

/// What trials share: the part of their specification that lists show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Template {
    /// Id of the experiment.
    pub experiment: String,
    /// The command.
    pub command: String,
}

/// The last final metric mostly is the newest one, whose columns are here already; only where it is not, it is looked up.
const TRIAL_LINE: &str = "SELECT t.sequence_id, t.id, original.id, t.attempt, t.template, t.parameters, t.status,
        t.reason_json, t.cancel_reason, t.url, t.created_ms, t.submitted_ms, t.started_ms, t.ended_ms, t.n_metrics,
        t.newest_seq, t.newest_ms, t.newest_kind, t.newest_sequence, t.newest_value, t.newest_number, t.newest_index,
        f.seq, f.at_ms, f.kind, f.sequence, f.value, f.number, f.parameter_index, t.final_seq, t.n_phases
    FROM trial t LEFT JOIN trial original ON original.sequence_id = t.retry_of
    LEFT JOIN metric f ON f.trial = t.sequence_id AND f.seq = nullif(t.final_seq, t.newest_seq)";

impl StoreReader {
    /// Gives the trials that pass `filter` to `each`, in the order of their numbers.
    ///
    /// # Errors
    /// `Io` if the file is damaged, and the first error of `each`, which ends it.
    pub fn each_trial(&self, filter: &TrialFilter, mut each: impl FnMut(TrialLine<'_>) -> Result<()>) -> Result<()> {
        let (conditions, values) = conditions(filter);
        self.each_row(&format!("{TRIAL_LINE}{conditions}"), values, |row| match trial(row) {
            Ok(line) => each(line),
            Err(e) => Err(self.failed(e)),
        })
    }

    /// All parameters of a trial in the order of their indices, if it asked for further ones; else none.
    pub fn phases_of(&self, line: &TrialLine<'_>) -> Result<Vec<Phase>> {
        if line.has_phases {
            self.phases(line.sequence_id)
        } else {
            Ok(Vec::new())
        }
    }

    /// What trials share, by the number of the template.
    pub fn templates(&self) -> Result<HashMap<i64, Template>> {
        let rows = self.all("SELECT number, json FROM template", (), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        Ok(rows
            .into_iter()
            .map(|(number, json)| {
                let fields: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
                let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
                let template = Template {
                    experiment: text("experiment"),
                    command: text("command"),
                };
                (number, template)
            })
            .collect())
    }

    /// Gives metrics of a trial behind position `after` to `each`, in the order of its journal, `limit` at most. None for a trial
    /// that is not stored.
    ///
    /// # Errors
    /// As [`each_trial`](Self::each_trial).
    pub fn each_metric(
        &self,
        trial: &TrialId,
        kind: Option<MetricKind>,
        after: Option<u64>,
        limit: u32,
        mut each: impl FnMut(MetricLine<'_>) -> Result<()>,
    ) -> Result<()> {
        let sql = format!(
            "{} WHERE trial = (SELECT sequence_id FROM trial WHERE id = ?) AND seq > coalesce(?, -1)
                 AND kind = coalesce(?, kind) ORDER BY seq LIMIT ?",
            rows::METRIC
        );
        let values = vec![
            trial.as_str().to_owned().into(),
            after.map_or(Value::Null, |seq| i64::try_from(seq).unwrap_or(i64::MAX).into()),
            kind.map_or(Value::Null, |kind| kind.as_str().to_owned().into()),
            limit.into(),
        ];
        self.each_row(&sql, values, |row| match metric(row, 0) {
            Ok(Some(line)) => each(line),
            Ok(None) => Ok(()),
            Err(e) => Err(self.failed(e)),
        })
    }

    /// Gives metrics of all trials with numbers in `numbers` to `each`, trial by trial, each with the trial's id and the
    /// packed parameters that the metric is of.
    ///
    /// # Errors
    /// As [`each_trial`](Self::each_trial).
    pub fn each_metric_of(
        &self,
        numbers: std::ops::RangeInclusive<u32>,
        kind: Option<MetricKind>,
        mut each: impl FnMut(TrialHead<'_>, MetricLine<'_>) -> Result<()>,
    ) -> Result<()> {
        let sql = "SELECT m.seq, m.at_ms, m.kind, m.sequence, m.value, m.number, m.parameter_index, t.id,
                 coalesce(p.parameters, t.parameters), t.sequence_id
             FROM trial t CROSS JOIN metric m ON m.trial = t.sequence_id
             LEFT JOIN phase p ON p.trial = t.sequence_id AND p.parameter_index = nullif(m.parameter_index, 0)
             WHERE t.sequence_id BETWEEN ? AND ? AND m.kind = coalesce(?, m.kind) ORDER BY t.sequence_id, m.seq";
        let values = vec![
            (*numbers.start()).into(),
            (*numbers.end()).into(),
            kind.map_or(Value::Null, |kind| kind.as_str().to_owned().into()),
        ];
        self.each_row(sql, values, |row| match metric_of(row) {
            Ok(Some((head, line))) => each(head, line),
            Ok(None) => Ok(()),
            Err(e) => Err(self.failed(e)),
        })
    }

    /// Gives the last final and the newest intermediate metric of each trial to `each`, trial by trial.
    ///
    /// # Errors
    /// As [`each_trial`](Self::each_trial).
    pub fn each_latest(&self, mut each: impl FnMut(TrialHead<'_>, MetricLine<'_>) -> Result<()>) -> Result<()> {
        // The newest metric is in the trial's own row; the other one is looked up by its key.
        let sql = "SELECT t.newest_seq, t.newest_ms, t.newest_kind, t.newest_sequence, t.newest_value, t.newest_number,
                 t.newest_index, t.id, coalesce(p.parameters, t.parameters), t.sequence_id,
                 o.seq, o.at_ms, o.kind, o.sequence, o.value, o.number, o.parameter_index,
                 coalesce(q.parameters, t.parameters)
             FROM trial t LEFT JOIN metric o ON o.trial = t.sequence_id AND o.seq = iif(t.newest_kind = 'FINAL',
                 (SELECT n.seq FROM metric n WHERE n.trial = t.sequence_id AND n.kind = 'PERIODICAL'
                     ORDER BY n.seq DESC LIMIT 1),
                 t.final_seq)
             LEFT JOIN phase p ON p.trial = t.sequence_id AND p.parameter_index = nullif(t.newest_index, 0)
             LEFT JOIN phase q ON q.trial = t.sequence_id AND q.parameter_index = nullif(o.parameter_index, 0)
             WHERE t.newest_seq IS NOT NULL ORDER BY t.sequence_id";
        self.each_row(sql, Vec::new(), |row| {
            let read = metric_of(row).and_then(|newest| Ok((metric(row, 10)?, text(row, 17)?, newest)));
            let (other, parameters, newest) = read.map_err(|e| self.failed(e))?;
            let Some((head, newest)) = newest else { return Ok(()) };
            if let Some(other) = other {
                each(TrialHead { parameters, ..head }, other)?;
            }
            each(head, newest)
        })
    }

    fn each_row(&self, sql: &str, values: Vec<Value>, mut each: impl FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
        let mut statement = self.db.prepare_cached(sql).map_err(|e| self.failed(e))?;
        let mut rows = statement.query(params_from_iter(values)).map_err(|e| self.failed(e))?;
        while let Some(row) = rows.next().map_err(|e| self.failed(e))? {
            each(row)?;
        }
        Ok(())
    }
}

/// Whose metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrialHead<'r> {
    /// Its id.
    pub id: &'r str,
    /// Its number.
    pub sequence_id: u32,
    /// Packed parameters that the metric is of.
    pub parameters: &'r str,
}

/// The part of a statement behind its tables, and the values in it.
pub(super) fn conditions(filter: &TrialFilter) -> (String, Vec<Value>) {
    let mut sql = String::from(" WHERE 1");
    let mut values: Vec<Value> = Vec::new();
    if let Some(statuses) = &filter.statuses {
        sql += " AND t.status IN (SELECT value FROM json_each(?))";
        values.push(serde_json::json!(statuses).to_string().into());
    }
    if let Some(ids) = &filter.ids {
        sql += " AND t.id IN (SELECT value FROM json_each(?))";
        values.push(serde_json::json!(ids).to_string().into());
    }
    if let Some(after) = filter.after {
        sql += " AND t.sequence_id > ?";
        values.push(after.into());
    }
    sql += " ORDER BY t.sequence_id";
    if let Some(limit) = filter.limit {
        sql += " LIMIT ?";
        values.push(limit.into());
    }
    (sql, values)
}

fn metric_of<'r>(row: &'r Row<'_>) -> rusqlite::Result<Option<(TrialHead<'r>, MetricLine<'r>)>> {
    let head = TrialHead {
        id: text(row, 7)?,
        parameters: text(row, 8)?,
        sequence_id: row.get(9)?,
    };
    Ok(metric(row, 0)?.map(|line| (head, line)))
}

/// The metric whose columns begin at `first`; none where they are null.
fn metric<'r>(row: &'r Row<'_>, first: usize) -> rusqlite::Result<Option<MetricLine<'r>>> {
    let Some(seq) = row.get(first)? else { return Ok(None) };
    Ok(Some(MetricLine {
        seq,
        at: Timestamp(row.get(first + 1)?),
        kind: rows::named(row, first + 2, MetricKind::parse)?,
        sequence: row.get(first + 3)?,
        value: text(row, first + 4)?,
        number: row.get(first + 5)?,
        parameter_index: row.get(first + 6)?,
    }))
}

fn trial<'r>(row: &'r Row<'_>) -> rusqlite::Result<TrialLine<'r>> {
    let newest = metric(row, 15)?;
    Ok(TrialLine {
        sequence_id: row.get(0)?,
        id: text(row, 1)?,
        retry_of: maybe(row, 2)?,
        attempt: row.get(3)?,
        template: row.get(4)?,
        parameters: text(row, 5)?,
        status: rows::named(row, 6, TrialStatus::parse)?,
        reason: rows::json(row, 7)?,
        cancel_requested: match maybe(row, 8)? {
            None => None,
            Some(_) => Some(rows::named(row, 8, CancelReason::parse)?),
        },
        url: maybe(row, 9)?,
        created_at: Timestamp(row.get(10)?),
        submitted_at: rows::time(row, 11)?,
        started_at: rows::time(row, 12)?,
        ended_at: rows::time(row, 13)?,
        n_metrics: row.get(14)?,
        newest,
        last_final: match newest {
            Some(newest) if row.get::<_, Option<u64>>(29)? == Some(newest.seq) => Some(newest),
            _ => metric(row, 22)?,
        },
        has_phases: row.get::<_, u32>(30)? > 0,
    })
}

fn text<'r>(row: &'r Row<'_>, at: usize) -> rusqlite::Result<&'r str> {
    row.get_ref(at)?.as_str().map_err(|e| rows::misfit(at, e))
}

fn maybe<'r>(row: &'r Row<'_>, at: usize) -> rusqlite::Result<Option<&'r str>> {
    row.get_ref(at)?.as_str_or_null().map_err(|e| rows::misfit(at, e))
}
