//! Writes changes into the tables: one function per change, each a few prepared statements.
//!
//! Transactions, waiting and answering belong to `writer`.

use super::{Applied, Change, ExperimentStatus, Limits, MetricKind, MetricPlace, Outcome, error::Failure, phases};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;
use std::time::Duration;
use ts_core::{CancelReason, Error, ErrorKind, JournalCursor, Reason, Timestamp, TrialId, TrialSpec, TrialStatus};

/// Kind of the event that keeps imported results.
pub(super) const IMPORT: &str = "import";

/// Stores all `changes`; the caller rolls back if this fails.
pub(super) fn apply_all(db: &Connection, changes: &[Change]) -> Result<Applied, Failure> {
    let outcomes = changes
        .iter()
        .map(|change| apply(db, change))
        .collect::<Result<Vec<_>, _>>()?;
    let step = i64::from(outcomes.contains(&Outcome::Stored));
    let revision = db
        .prepare_cached("UPDATE experiment SET revision = revision + ?1 RETURNING revision")?
        .query_row((step,), |row| row.get(0))?;
    Ok(Applied { outcomes, revision })
}

fn apply(db: &Connection, change: &Change) -> Result<Outcome, Failure> {
    match change {
        Change::TrialCreated { spec, at, retry_of } => created(db, spec, *at, retry_of.as_ref()),
        Change::TrialSubmitted { trial, at, url } => submitted(db, trial, *at, url),
        Change::TrialStatus {
            trial,
            at,
            status,
            reason,
        } => status_reported(db, trial, *at, *status, reason.as_ref()),
        Change::CancelRequested { trial, at, reason } => cancel_requested(db, trial, *at, *reason),
        Change::ParametersRequested {
            trial,
            at,
            index,
            cursor,
            is_counted,
        } => {
            let request = phases::Request {
                at: *at,
                index: *index,
                cursor: *cursor,
                is_counted: *is_counted,
            };
            phases::requested(db, trial, &request)
        }
        Change::ParametersSent { trial, at, parameters } => phases::given(db, trial, *at, parameters),
        Change::ParametersDelivered { trial, index } => phases::delivered(db, trial, *index),
        Change::ResultChosen { trial, index } => phases::chosen(db, trial, *index),
        Change::Metric {
            trial,
            at,
            place,
            kind,
            sequence,
            value,
            number,
            parameter_index,
        } => {
            let metric = NewMetric {
                at: *at,
                place: *place,
                kind: *kind,
                sequence: *sequence,
                value,
                number: number.filter(|n| !n.is_nan()),
                parameter_index: *parameter_index,
            };
            metric_read(db, trial, &metric)
        }
        Change::JournalSkipped {
            trial,
            at,
            cursor,
            n_bytes,
            problem,
        } => journal_skipped(db, trial, *at, *cursor, *n_bytes, problem),
        Change::ExperimentStatus { status, at, message } => experiment_status(db, *at, *status, message.as_deref()),
        Change::CodePrepared { at, receipt } => {
            let receipt = json!(receipt);
            db.prepare_cached("UPDATE experiment SET code_json = ?1")?
                .execute((receipt.to_string(),))?;
            log(db, *at, None, "code", Some(&receipt))
        }
        Change::LimitsChanged { at, limits } => limits_changed(db, *at, limits),
        Change::SearchSpaceChanged { at, space } => {
            db.prepare_cached("UPDATE experiment SET config_json = json_set(config_json, '$.searchSpace', json(?1))")?
                .execute((space.to_string(),))?;
            log(db, *at, None, "searchSpace", Some(space))
        }
        Change::ResultsImported { at, results } => log(db, *at, None, IMPORT, Some(&json!(results))),
        Change::DurationAccumulated { by, at } => duration(db, *by, *at),
        Change::Note { at, trial, kind, data } => note(db, *at, trial.as_ref(), kind, data),
    }
}

/// What the checks need of a stored trial.
pub(super) struct Known {
    pub(super) sequence_id: u32,
    attempt: u32,
    status: TrialStatus,
    reason: Option<String>,
    cancel: Option<String>,
    url: Option<String>,
    submitted: bool,
    /// Position of its journal.
    pub(super) seq: u64,
}

impl Known {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            sequence_id: row.get(0)?,
            attempt: row.get(1)?,
            status: super::rows::named(row, 2, TrialStatus::parse)?,
            reason: row.get(3)?,
            cancel: row.get(4)?,
            url: row.get(5)?,
            submitted: row.get(6)?,
            seq: row.get::<_, u64>(7)?.saturating_add(row.get(8)?),
        })
    }
}

pub(super) fn find(db: &Connection, id: &TrialId) -> Result<Known, Failure> {
    db.prepare_cached(
        "SELECT sequence_id, attempt, status, reason_json, cancel_reason, url, submitted, journal_base, journal_offset
         FROM trial WHERE id = ?1",
    )?
    .query_row((id.as_str(),), Known::from_row)
    .optional()?
    .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("the store holds no trial `{id}`")).into())
}

fn created(db: &Connection, spec: &TrialSpec, at: Timestamp, retry_of: Option<&TrialId>) -> Result<Outcome, Failure> {
    let taken: Option<String> = db
        .prepare_cached("SELECT id FROM trial WHERE id = ?1 OR sequence_id = ?2")?
        .query_row(params![spec.id.as_str(), spec.sequence_id], |row| row.get(0))
        .optional()?;
    if let Some(by) = taken {
        let (id, number) = (&spec.id, spec.sequence_id);
        let message = format!("trial `{id}` with number {number} cannot be stored: trial `{by}` has its id or number");
        return Err(Error::new(ErrorKind::Conflict, message).into());
    }
    let original = retry_of.map(|id| find(db, id)).transpose()?;
    let template = super::rows::template_of(spec)?;
    db.prepare_cached("INSERT INTO template (json) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute((&template,))?;
    db.prepare_cached(
        "INSERT INTO trial (sequence_id, id, retry_of, attempt, template, parameters, parameter_index, status, created_ms)
         VALUES (?1, ?2, ?3, ?4, (SELECT number FROM template WHERE json = ?5), ?6, ?7, 'WAITING', ?8)",
    )?
    .execute(params![
        spec.sequence_id,
        spec.id.as_str(),
        original.as_ref().map(|o| o.sequence_id),
        original.as_ref().map_or(1, |o| o.attempt.saturating_add(1)),
        template,
        spec.parameters.text,
        spec.parameters.index,
        at.0
    ])?;
    db.prepare_cached("UPDATE experiment SET next_sequence_id = max(next_sequence_id, ?1 + 1)")?
        .execute((spec.sequence_id,))?;
    log(db, at, Some(spec.sequence_id), "created", None)
}

fn submitted(db: &Connection, id: &TrialId, at: Timestamp, url: &str) -> Result<Outcome, Failure> {
    let known = find(db, id)?;
    if known.submitted && known.url.as_deref() == Some(url) {
        return Ok(Outcome::Repeated);
    }
    db.prepare_cached(
        "UPDATE trial SET submitted = 1, url = ?2, submitted_ms = coalesce(submitted_ms, ?3) WHERE sequence_id = ?1",
    )?
    .execute(params![known.sequence_id, url, at.0])?;
    log(
        db,
        at,
        Some(known.sequence_id),
        "submitted",
        Some(&json!({ "url": url })),
    )
}

fn status_reported(
    db: &Connection,
    id: &TrialId,
    at: Timestamp,
    status: TrialStatus,
    reason: Option<&Reason>,
) -> Result<Outcome, Failure> {
    let known = find(db, id)?;
    let reason_json = reason.map(|r| json!(r).to_string());
    let same = known.status == status;
    if same && (status.is_terminal() || known.reason == reason_json) {
        return Ok(Outcome::Repeated);
    }
    if !same && !known.status.may_become(status) {
        return Ok(Outcome::Refused(known.status));
    }
    db.prepare_cached(
        "UPDATE trial SET status = ?2, reason_json = ?3, ended_ms = iif(?4, ?5, ended_ms),
             started_ms = iif(?2 = 'RUNNING', coalesce(started_ms, ?5), started_ms) WHERE sequence_id = ?1",
    )?
    .execute(params![
        known.sequence_id,
        status.as_str(),
        reason_json,
        status.is_terminal(),
        at.0
    ])?;
    let data = json!({"status": status, "reason": reason});
    log(db, at, Some(known.sequence_id), "status", Some(&data))
}

fn cancel_requested(db: &Connection, id: &TrialId, at: Timestamp, reason: CancelReason) -> Result<Outcome, Failure> {
    let known = find(db, id)?;
    if known.status.is_terminal() {
        return Ok(Outcome::Refused(known.status));
    }
    if known.cancel.is_some() {
        return Ok(Outcome::Repeated);
    }
    db.prepare_cached("UPDATE trial SET cancel_reason = ?2 WHERE sequence_id = ?1")?
        .execute(params![known.sequence_id, reason.as_str()])?;
    let data = json!({ "reason": reason });
    log(db, at, Some(known.sequence_id), "cancelRequested", Some(&data))
}

/// A metric on its way in.
pub(super) struct NewMetric<'a> {
    at: Timestamp,
    pub(super) place: MetricPlace,
    kind: MetricKind,
    sequence: u32,
    pub(super) value: &'a str,
    pub(super) number: Option<f64>,
    pub(super) parameter_index: u32,
}

fn metric_read(db: &Connection, id: &TrialId, m: &NewMetric<'_>) -> Result<Outcome, Failure> {
    let known = find(db, id)?;
    let seq = m.place.seq();
    let kind = m.kind.as_str();
    let inserted = db
        .prepare_cached("INSERT INTO metric VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING")?
        .execute(params![
            known.sequence_id,
            seq,
            m.at.0,
            kind,
            m.sequence,
            m.value,
            m.number,
            m.parameter_index
        ])?;
    if inserted == 0 {
        return Ok(Outcome::Repeated);
    }
    db.prepare_cached(
        "UPDATE trial SET n_metrics = n_metrics + 1, newest_seq = ?2, newest_ms = ?3, newest_kind = ?4,
             newest_sequence = ?5, newest_value = ?6, newest_number = ?7, newest_index = ?8
         WHERE sequence_id = ?1 AND coalesce(newest_seq, -1) < ?2",
    )?
    .execute(params![
        known.sequence_id,
        seq,
        m.at.0,
        kind,
        m.sequence,
        m.value,
        m.number,
        m.parameter_index
    ])
    .and_then(|newer| match newer {
        0 => db
            .prepare_cached("UPDATE trial SET n_metrics = n_metrics + 1 WHERE sequence_id = ?1")?
            .execute((known.sequence_id,)),
        n => Ok(n),
    })?;
    if m.kind == MetricKind::Final {
        db.prepare_cached(
            "UPDATE trial SET final_seq = ?2, final_value = ?3, final_number = ?4, final_index = ?5
             WHERE sequence_id = ?1 AND (coalesce(final_seq, -1) < ?2 OR final_index != ?5)",
        )?
        .execute(params![known.sequence_id, seq, m.value, m.number, m.parameter_index])?;
        phases::result(db, known.sequence_id, m)?;
    }
    if let MetricPlace::Journal(cursor) = m.place {
        advance(db, &known, cursor)?;
    }
    Ok(Outcome::Stored)
}

fn journal_skipped(
    db: &Connection,
    id: &TrialId,
    at: Timestamp,
    cursor: JournalCursor,
    n_bytes: u64,
    problem: &str,
) -> Result<Outcome, Failure> {
    let known = find(db, id)?;
    if cursor.seq() <= known.seq {
        return Ok(Outcome::Repeated);
    }
    advance(db, &known, cursor)?;
    let data = json!({"seq": cursor.seq(), "bytes": n_bytes, "problem": problem});
    log(db, at, Some(known.sequence_id), "journalSkipped", Some(&data))
}

/// Moves the journal's cursor forward, never back.
pub(super) fn advance(db: &Connection, known: &Known, to: JournalCursor) -> Result<(), Failure> {
    if to.seq() > known.seq {
        db.prepare_cached(
            "UPDATE trial SET journal_base = ?2, journal_offset = ?3, journal_check = ?4 WHERE sequence_id = ?1",
        )?
        .execute(params![known.sequence_id, to.base, to.offset, to.check])?;
    }
    Ok(())
}

fn experiment_status(
    db: &Connection,
    at: Timestamp,
    status: ExperimentStatus,
    message: Option<&str>,
) -> Result<Outcome, Failure> {
    let running = status == ExperimentStatus::Running;
    let ended = status.is_ended().then_some(at.0);
    db.prepare_cached(
        "UPDATE experiment SET status = ?1, message = ?2, ended_ms = ?3,
             counted_ms = iif(?3 IS NULL, counted_ms, NULL), started_ms = coalesce(started_ms, iif(?4, ?5, NULL))",
    )?
    .execute(params![status.as_str(), message, ended, running, at.0])?;
    let data = json!({"status": status, "message": message});
    log(db, at, None, "experiment", Some(&data))
}

fn duration(db: &Connection, by: Duration, at: Timestamp) -> Result<Outcome, Failure> {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    db.prepare_cached("UPDATE experiment SET duration_ms = min(duration_ms, ?2 - ?1) + ?1, counted_ms = ?3")?
        .execute((by, i64::MAX, at.0))?;
    Ok(Outcome::Stored)
}

fn note(
    db: &Connection,
    at: Timestamp,
    trial: Option<&TrialId>,
    kind: &str,
    data: &serde_json::Value,
) -> Result<Outcome, Failure> {
    let trial = trial.map(|id| find(db, id)).transpose()?;
    let data = Some(data).filter(|data| !data.is_null());
    log(db, at, trial.map(|t| t.sequence_id), kind, data)
}

fn limits_changed(db: &Connection, at: Timestamp, limits: &Limits) -> Result<Outcome, Failure> {
    db.prepare_cached("UPDATE experiment SET concurrency = ?1, max_trials = ?2, max_duration_ms = ?3")?
        .execute(params![limits.concurrency, limits.max_trials, limits.max_duration_ms])?;
    log(db, at, None, "limits", Some(&json!(limits)))
}

/// Appends to the event log.
pub(super) fn log(
    db: &Connection,
    at: Timestamp,
    trial: Option<u32>,
    kind: &str,
    data: Option<&serde_json::Value>,
) -> Result<Outcome, Failure> {
    db.prepare_cached("INSERT INTO event (at_ms, trial, kind, data) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![at.0, trial, kind, data.map(ToString::to_string)])?;
    Ok(Outcome::Stored)
}
