//! What a trial reports: stored once, told to the source and the assessor, results before the end of their trial.

use crate::{
    assess::Judgment,
    manager::{Manager, describe},
    notice::Notice,
    source::Observation,
    store::{Change, MetricKind, MetricPlace, Optimize},
    turn::Turn,
};
use std::sync::Arc;
use ts_core::{CancelReason, JournalCursor, Metric, Timestamp, TrialId};

/// How a report came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// Through the trial's journal, which goes on behind this position.
    Journal(JournalCursor),
    /// By a request of whoever took it from the trial.
    Apart,
}

impl Manager {
    pub(crate) async fn metric(
        &mut self,
        id: &TrialId,
        at: Timestamp,
        cursor: JournalCursor,
        body: &str,
        turn: &mut Turn,
    ) {
        let Some(live) = self.live.get_mut(id) else { return };
        if cursor.seq() <= live.cursor.seq() {
            return;
        }
        live.cursor = cursor;
        if let Err(problem) = self.reported(id, at, Way::Journal(cursor), body, turn).await {
            self.skipped(id, at, cursor, body.len() as u64, problem, turn);
        }
    }

    /// Takes one report of a live trial.
    ///
    /// # Errors
    /// What is wrong with it; nothing was done then.
    pub(crate) async fn reported(
        &mut self,
        id: &TrialId,
        at: Timestamp,
        way: Way,
        body: &str,
        turn: &mut Turn,
    ) -> Result<(), String> {
        let metric = Metric::parse(body).map_err(|error| describe(&error))?;
        match metric.kind {
            ts_core::MetricKind::Final => self.result(id, at, way, MetricKind::Final, &metric, turn).await,
            ts_core::MetricKind::Periodical => {
                self.result(id, at, way, MetricKind::Intermediate, &metric, turn).await;
            }
            ts_core::MetricKind::RequestParameter => return self.requested(id, at, way, &metric, turn).await,
            kind => return Err(format!("reports of kind `{kind}` are not known")),
        }
        Ok(())
    }

    async fn result(
        &mut self,
        id: &TrialId,
        at: Timestamp,
        way: Way,
        kind: MetricKind,
        metric: &Metric,
        turn: &mut Turn,
    ) {
        let optimize = self.optimize;
        let Some(live) = self.live.get_mut(id) else { return };
        let (number, sequence_id) = (metric.number(), live.spec.sequence_id);
        let sequence = u32::try_from(metric.sequence).unwrap_or(u32::MAX);
        let (parameter_index, parameters) = live.phases.of(metric.parameter_id.as_ref());
        let (trial, value) = (id.clone(), metric.value.to_string());
        let place = match way {
            Way::Journal(cursor) => MetricPlace::Journal(cursor),
            Way::Apart => {
                live.next_report += 1;
                MetricPlace::Apart(live.next_report - 1)
            }
        };
        turn.changes.push(Change::Metric {
            trial,
            at,
            place,
            kind,
            sequence,
            value,
            number,
            parameter_index,
        });
        let is_final = kind == MetricKind::Final;
        if is_final {
            let value = Arc::clone(&metric.value);
            let chosen = live.phases.result(parameter_index, value, number, optimize);
            live.result = live.phases.value(chosen);
            if chosen != parameter_index {
                turn.changes.push(Change::ResultChosen {
                    trial: id.clone(),
                    index: chosen,
                });
            }
            if let Some(number) = number.filter(|n| n.is_finite()) {
                self.note_best(number, id);
            }
        } else {
            let value = Arc::clone(&metric.value);
            turn.notices.push(Notice::Intermediate {
                trial: id.clone(),
                sequence_id,
                value,
            });
        }
        let observation = Observation {
            trial: id,
            sequence_id,
            parameters: &parameters,
            is_final,
            sequence,
            value: &metric.value,
            number,
        };
        if let Err(error) = self.source.observe(observation).await {
            return self.fail(error, turn);
        }
        if !is_final
            && let Some(assessor) = &mut self.assessor
            && assessor.intermediate(id, sequence, number) == Judgment::Bad
        {
            self.request_cancel(id, CancelReason::EarlyStop, turn).await;
        }
    }

    pub(crate) fn note_best(&self, number: f64, id: &TrialId) {
        let optimize = self.optimize;
        self.snapshot.send_if_modified(|s| {
            let better = s.best.as_ref().is_none_or(|(best, _)| match optimize {
                Optimize::Minimize => number < *best,
                _ => number > *best,
            });
            if better {
                s.best = Some((number, id.clone()));
            }
            better
        });
    }

    pub(crate) fn skipped(
        &mut self,
        id: &TrialId,
        at: Timestamp,
        cursor: JournalCursor,
        n_bytes: u64,
        problem: String,
        turn: &mut Turn,
    ) {
        let Some(live) = self.live.get_mut(id) else { return };
        live.cursor = cursor;
        turn.notices.push(Notice::Warning(format!("trial {id}: {problem}")));
        turn.changes.push(Change::JournalSkipped {
            trial: id.clone(),
            at,
            cursor,
            n_bytes,
            problem,
        });
    }
}
