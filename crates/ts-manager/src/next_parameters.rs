//! Further parameters of a running trial: asked for, stored, sent, and asked for or sent again after a crash.
//!
//! What a trial has of them is in `phases`.

use crate::{
    deadlines::Due,
    manager::{Manager, describe},
    metrics::Way,
    notice::Notice,
    phases::Asked,
    source::pack_no_more,
    store::Change,
    turn::Turn,
};
use std::sync::Arc;
use ts_core::{ErrorKind, Metric, Parameters, Result, Retry, RetryPolicy, Timestamp, TrialId, TrialStatus};

impl Manager {
    /// A trial asks for parameters.
    ///
    /// # Errors
    /// Why it gets none; nothing was done then.
    pub(crate) async fn requested(
        &mut self,
        id: &TrialId,
        at: Timestamp,
        way: Way,
        metric: &Metric,
        turn: &mut Turn,
    ) -> Result<(), String> {
        let multi_phase = self.spec.multi_phase;
        let Some(live) = self.live.get_mut(id) else {
            return Ok(());
        };
        let is_counted = metric.parameter_index.is_none() && multi_phase;
        let index = match metric.parameter_index {
            None if is_counted => live.phases.count_request(),
            None | Some(0) => 0,
            Some(_) if !multi_phase => {
                return Err("it asks for further parameters, which are given with `multiPhase: true` only".into());
            }
            Some(index) => u32::try_from(index).map_err(|_| format!("there are no parameters of index {index}"))?,
        };
        let asked = live.phases.ask(index);
        turn.changes.push(Change::ParametersRequested {
            trial: id.clone(),
            at,
            index,
            cursor: match way {
                Way::Journal(cursor) => Some(cursor),
                Way::Apart => None,
            },
            is_counted,
        });
        match asked {
            Asked::Given => {
                if index > 0 {
                    turn.send.push((id.clone(), index));
                }
                turn.notices.push(Notice::Parameters {
                    trial: id.clone(),
                    sequence_id: live.spec.sequence_id,
                    index,
                });
            }
            Asked::Open => {}
            Asked::New => self.ask_source(id, index, turn).await,
        }
        Ok(())
    }

    async fn ask_source(&mut self, id: &TrialId, index: u32, turn: &mut Turn) {
        if self.failure.is_none()
            && let Err(error) = self.source.request_next(id, index).await
        {
            self.fail(error, turn);
        }
    }

    /// The source has answered; the trial may have ended meanwhile.
    pub(crate) fn answered_next(&mut self, id: &TrialId, index: u32, text: Option<Arc<str>>, turn: &mut Turn) {
        let Some(live) = self.live.get_mut(id) else { return };
        let text = text.unwrap_or_else(|| pack_no_more(index));
        if !live.phases.give(index, Arc::clone(&text)) {
            return;
        }
        turn.changes.push(Change::ParametersSent {
            trial: id.clone(),
            at: self.ctx.clock.now(),
            parameters: Parameters { text, index },
        });
        turn.notices.push(Notice::Parameters {
            trial: id.clone(),
            sequence_id: live.spec.sequence_id,
            index,
        });
        turn.send.push((id.clone(), index));
    }

    /// Takes up what a trial of an earlier run waits for.
    pub(crate) async fn resume_next(&mut self, id: &TrialId, turn: &mut Turn) {
        let Some(live) = self.live.get(id) else { return };
        turn.send
            .extend(live.phases.undelivered().into_iter().map(|index| (id.clone(), index)));
        for index in live.phases.open() {
            self.ask_source(id, index, turn).await;
        }
    }

    /// A send has come back.
    pub(crate) fn sent(&mut self, id: &TrialId, index: u32, result: Result<()>, turn: &mut Turn) {
        let Some(live) = self.live.get_mut(id) else { return };
        let error = match result {
            Ok(()) => {
                live.phases.delivered(index);
                turn.changes.push(Change::ParametersDelivered {
                    trial: id.clone(),
                    index,
                });
                return;
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Conflict && !error.is_retryable() {
            // It has ended, which the platform will report.
            return;
        }
        turn.notices.push(Notice::Warning(format!(
            "trial {id} could not be given its parameters of index {index}: {}",
            describe(&error)
        )));
        if error.is_retryable() {
            let asked = match error.retry() {
                Retry::NotApplied { after } | Retry::MaybeApplied { after } => after.unwrap_or_default(),
                Retry::Never => return,
            };
            let wait = RetryPolicy::new()
                .wait(live.phases.failed(index), rand::random())
                .max(asked);
            let again = self.ctx.clock.monotonic() + wait;
            self.deadlines.push(again, Due::Parameters(index), id.clone());
        }
    }

    /// Tells the source that nobody waits for, or uses, further parameters of a trial any more.
    pub(crate) async fn end_next(&mut self, id: &TrialId, status: TrialStatus, further: &[Arc<str>], turn: &mut Turn) {
        if let Err(error) = self.source.next_ended(id, status, further).await {
            self.fail(error, turn);
        }
    }
}
