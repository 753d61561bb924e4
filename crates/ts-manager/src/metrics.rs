//! What a trial reports: stored once, told to the source and the assessor, results before the end of their trial.

use crate::{
    assess::Judgment,
    manager::{Manager, describe},
    notice::Notice,
    source::Observation,
    store::{Change, MetricKind, Optimize},
    turn::Turn,
};
use std::sync::Arc;
use ts_core::{CancelReason, JournalCursor, Metric, Timestamp, TrialId};

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
        let metric = match Metric::parse(body) {
            Ok(metric) => metric,
            Err(error) => {
                return self.skipped(id, at, cursor, body.len() as u64, describe(&error), turn);
            }
        };
        let kind = match metric.kind {
            ts_core::MetricKind::Final => MetricKind::Final,
            ts_core::MetricKind::Periodical => MetricKind::Intermediate,
            _ => {
                let problem = "the trial asks for further parameters, which this parameter source does not give".into();
                return self.skipped(id, at, cursor, body.len() as u64, problem, turn);
            }
        };
        let (number, sequence_id) = (metric.number(), live.spec.sequence_id);
        let sequence = u32::try_from(metric.sequence).unwrap_or(u32::MAX);
        let parameters = Arc::clone(&live.spec.parameters.text);
        turn.changes.push(Change::Metric {
            trial: id.clone(),
            at,
            cursor,
            kind,
            sequence,
            value: metric.value.to_string(),
            number,
        });
        let is_final = kind == MetricKind::Final;
        if is_final {
            live.result = Some(Arc::clone(&metric.value));
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
