//! The parameters that a trial was given beyond its first ones: asked for, there, delivered, and their results.
//!
//! A trial that never asks for more has no row here.

use super::{FIRST_REPORT, Outcome, Phase, StoreReader, apply, error::Failure, rows};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;
use std::sync::Arc;
use ts_core::{JournalCursor, Parameters, Result, Timestamp, TrialId};

impl StoreReader {
    /// The index of the parameters that the trial asked for last, and their packed text once it is there; `None` if it never
    /// asked, or is not stored.
    ///
    /// # Errors
    /// `Io` if the file is damaged.
    pub fn requested_parameters(&self, trial: &TrialId) -> Result<Option<(u32, Option<Arc<str>>)>> {
        self.one(
            "SELECT t.requested_index, iif(t.requested_index = 0, t.parameters, p.parameters)
             FROM trial t LEFT JOIN phase p ON p.trial = t.sequence_id AND p.parameter_index = t.requested_index
             WHERE t.id = ?1 AND t.requested_index IS NOT NULL",
            (trial.as_str(),),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// The place of the next metric that does not come through the trial's journal.
    pub(crate) fn next_report(&self, sequence_id: u32) -> Result<u64> {
        let newest: Option<Option<u64>> = self.one(
            "SELECT max(seq) FROM metric WHERE trial = ?1 AND seq >= ?2",
            (sequence_id, FIRST_REPORT),
            |row| row.get(0),
        )?;
        Ok(newest.flatten().map_or(FIRST_REPORT, |seq| seq + 1))
    }

    /// All parameters of the trial with this number, if it asked for further ones; else none.
    pub(crate) fn phases(&self, sequence_id: u32) -> Result<Vec<Phase>> {
        self.all(
            "SELECT parameter_index, requested_ms, given_ms, parameters, delivered, final_value, final_number
             FROM phase WHERE trial = ?1 ORDER BY parameter_index",
            (sequence_id,),
            phase,
        )
    }
}

fn phase(row: &Row<'_>) -> rusqlite::Result<Phase> {
    Ok(Phase {
        index: row.get(0)?,
        requested_at: Timestamp(row.get(1)?),
        given_at: rows::time(row, 2)?,
        parameters: row.get(3)?,
        delivered: row.get(4)?,
        final_value: row.get(5)?,
        final_number: row.get(6)?,
    })
}

/// A request for parameters.
pub(super) struct Request {
    pub(super) at: Timestamp,
    pub(super) index: u32,
    pub(super) cursor: Option<JournalCursor>,
    pub(super) is_counted: bool,
}

pub(super) fn requested(db: &Connection, id: &TrialId, request: &Request) -> Result<Outcome, Failure> {
    let known = apply::find(db, id)?;
    if let Some(cursor) = request.cursor {
        if cursor.seq() <= known.seq {
            return Ok(Outcome::Repeated);
        }
        apply::advance(db, &known, cursor)?;
    }
    db.prepare_cached("UPDATE trial SET requested_index = ?2, n_requests = n_requests + ?3 WHERE sequence_id = ?1")?
        .execute(params![known.sequence_id, request.index, request.is_counted])?;
    let data = json!({ "index": request.index });
    let is_new = request.index > 0 && open(db, known.sequence_id, request.index, request.at)?;
    if is_new || request.index == 0 {
        return apply::log(
            db,
            request.at,
            Some(known.sequence_id),
            "parametersRequested",
            Some(&data),
        );
    }
    Ok(Outcome::Stored)
}

/// Makes a row for further parameters, and one for the first ones; `false` if it is there.
fn open(db: &Connection, trial: u32, index: u32, at: Timestamp) -> Result<bool, Failure> {
    let first = db
        .prepare_cached(
            "INSERT INTO phase SELECT sequence_id, 0, created_ms, created_ms, parameters, 1, final_seq, final_value, final_number
             FROM trial WHERE sequence_id = ?1 ON CONFLICT DO NOTHING",
        )?
        .execute((trial,))?;
    let further = db
        .prepare_cached(
            "INSERT INTO phase (trial, parameter_index, requested_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![trial, index, at.0])?;
    if first + further > 0 {
        db.prepare_cached("UPDATE trial SET n_phases = n_phases + ?2 WHERE sequence_id = ?1")?
            .execute((trial, first + further))?;
    }
    Ok(further > 0)
}

pub(super) fn given(db: &Connection, id: &TrialId, at: Timestamp, parameters: &Parameters) -> Result<Outcome, Failure> {
    let known = apply::find(db, id)?;
    open(db, known.sequence_id, parameters.index, at)?;
    let n = db
        .prepare_cached(
            "UPDATE phase SET parameters = ?3, given_ms = ?4
             WHERE trial = ?1 AND parameter_index = ?2 AND parameters IS NULL",
        )?
        .execute(params![known.sequence_id, parameters.index, parameters.text, at.0])?;
    if n == 0 {
        return Ok(Outcome::Repeated);
    }
    let data = json!({"index": parameters.index, "text": &*parameters.text});
    apply::log(db, at, Some(known.sequence_id), "parameters", Some(&data))
}

pub(super) fn delivered(db: &Connection, id: &TrialId, index: u32) -> Result<Outcome, Failure> {
    let known = apply::find(db, id)?;
    let n = db
        .prepare_cached("UPDATE phase SET delivered = 1 WHERE trial = ?1 AND parameter_index = ?2 AND NOT delivered")?
        .execute(params![known.sequence_id, index])?;
    Ok(if n == 0 { Outcome::Repeated } else { Outcome::Stored })
}

/// Keeps the last final metric of these parameters, if they are of a trial that has several.
pub(super) fn result(db: &Connection, trial: u32, m: &apply::NewMetric<'_>) -> Result<(), Failure> {
    db.prepare_cached(
        "UPDATE phase SET final_seq = ?3, final_value = ?4, final_number = ?5
         WHERE trial = ?1 AND parameter_index = ?2 AND coalesce(final_seq, -1) < ?3",
    )?
    .execute(params![trial, m.parameter_index, m.place.seq(), m.value, m.number])?;
    Ok(())
}

pub(super) fn chosen(db: &Connection, id: &TrialId, index: u32) -> Result<Outcome, Failure> {
    let known = apply::find(db, id)?;
    let found: Option<u32> = db
        .prepare_cached(
            "UPDATE trial SET final_seq = p.final_seq, final_value = p.final_value, final_number = p.final_number,
                 final_index = p.parameter_index
             FROM phase p WHERE trial.sequence_id = ?1 AND p.trial = ?1 AND p.parameter_index = ?2
                 AND p.final_seq IS NOT NULL RETURNING sequence_id",
        )?
        .query_row(params![known.sequence_id, index], |row| row.get(0))
        .optional()?;
    Ok(found.map_or(Outcome::Repeated, |_| Outcome::Stored))
}
