//! The life of a trial as the loop drives it: made, submitted, reported on, asked to end, ended, tried again.

use crate::{
    deadlines::Due,
    live::Live,
    manager::{Manager, describe},
    notice::Notice,
    store::Change,
    turn::Turn,
};
use std::{sync::Arc, time::Duration};
use ts_core::{
    CancelReason, ErrorKind, Parameters, Reason, ReasonCode, Result, Retry, RetryPolicy, Submitted, Timestamp, TrialId,
    TrialSpec, TrialStatus,
};

impl Manager {
    /// A trial has ended: stores it, tells the source, and makes the next attempt if the rules say so.
    pub(crate) async fn end(
        &mut self,
        id: &TrialId,
        at: Timestamp,
        status: TrialStatus,
        why: Option<Reason>,
        turn: &mut Turn,
    ) {
        let Some(live) = self.live.remove(id) else { return };
        self.snapshot.send_modify(|s| s.moved(live.status, status));
        turn.changes.push(Change::TrialStatus {
            trial: id.clone(),
            at,
            status,
            reason: why.clone(),
        });
        if live.phases.are_several() {
            self.end_next(id, status, &live.phases.further(), turn).await;
        }
        let again = !self.pool.stopping && self.retry.again(status, why.as_ref(), live.attempt);
        self.note_hopeless(status, why.as_ref(), turn);
        turn.notices.push(Notice::Trial {
            trial: id.clone(),
            sequence_id: live.spec.sequence_id,
            status,
            why,
            result: live.result,
        });
        if again {
            let (parameters, gpus) = (live.spec.parameters, live.spec.gpus);
            let next = self.create(parameters, gpus, Some(id), live.attempt + 1, turn).await;
            turn.submit.push(next);
            return;
        }
        match self.queue.iter().position(|queued| queued == id) {
            Some(at) => {
                self.queue.remove(at);
                self.pool.left_queue();
            }
            None => self.pool.ended(),
        }
        if let Some(assessor) = &mut self.assessor {
            assessor.ended(id, status);
        }
        if let Err(error) = self.source.ended(id, status, &live.spec.parameters.text).await {
            self.fail(error, turn);
        }
    }

    /// Makes a trial, which is stored with this turn; whoever calls it submits or queues it.
    pub(crate) async fn create(
        &mut self,
        parameters: Parameters,
        gpus: ts_core::GpuCount,
        retry_of: Option<&TrialId>,
        attempt: u32,
        turn: &mut Turn,
    ) -> TrialId {
        let id = loop {
            let id = self.ctx.ids.trial();
            if self.known_ids.insert(id.clone()) {
                break id;
            }
        };
        let mut spec = TrialSpec::new(&self.spec, id.clone(), self.next_sequence_id, parameters);
        spec.gpus = gpus;
        self.next_sequence_id += 1;
        let at = self.ctx.clock.now();
        turn.changes.push(Change::TrialCreated {
            spec: spec.clone(),
            at,
            retry_of: retry_of.cloned(),
        });
        self.snapshot.send_modify(|s| s.add(TrialStatus::Waiting, 1));
        let (parameters, sequence_id) = (Arc::clone(&spec.parameters.text), spec.sequence_id);
        turn.notices.push(Notice::Trial {
            trial: id.clone(),
            sequence_id,
            status: TrialStatus::Waiting,
            why: None,
            result: None,
        });
        self.live.insert(Live::new(spec, attempt));
        if let Err(error) = self.source.assigned(&id, &parameters).await {
            self.fail(error, turn);
        }
        id
    }

    /// Gives queued trials the places that are free; they are submitted behind this turn.
    pub(crate) async fn start_queued(&mut self, turn: &mut Turn) {
        while !self.queue.is_empty() && self.pool.start() {
            let Some(id) = self.queue.pop_front() else { return };
            match self.live.get(&id).and_then(|live| live.cancel) {
                None => turn.submit.push(id),
                Some(why) => self.end_before_start(&id, why, turn).await,
            }
        }
    }

    pub(crate) async fn status(
        &mut self,
        id: &TrialId,
        at: Timestamp,
        status: TrialStatus,
        why: Option<Reason>,
        turn: &mut Turn,
    ) {
        let Some(live) = self.live.get_mut(id) else { return };
        live.seen = true;
        if status.is_terminal() {
            return self.end(id, at, status, why, turn).await;
        }
        let same = live.status == status;
        if same && why.is_none() || !same && !live.status.may_become(status) {
            return;
        }
        let from = std::mem::replace(&mut live.status, status);
        let sequence_id = live.spec.sequence_id;
        if status == TrialStatus::Running {
            self.limit_time(id, Some(at));
        }
        self.snapshot.send_modify(|s| s.moved(from, status));
        turn.changes.push(Change::TrialStatus {
            trial: id.clone(),
            at,
            status,
            reason: why.clone(),
        });
        turn.notices.push(Notice::Trial {
            trial: id.clone(),
            sequence_id,
            status,
            why,
            result: None,
        });
    }

    /// Known to the platform before this watch began, and not listed by it: lost.
    pub(crate) async fn synced(&mut self, turn: &mut Turn) {
        let lost: Vec<_> = self
            .live
            .iter()
            .filter(|l| l.submitted && !l.seen)
            .map(|l| l.spec.id.clone())
            .collect();
        for id in lost {
            self.lose(&id, turn).await;
        }
    }

    /// Ends a trial of which the platform knows nothing any more.
    pub(crate) async fn lose(&mut self, id: &TrialId, turn: &mut Turn) {
        let now = self.ctx.clock.now();
        let why = Reason::new(
            ReasonCode::Lost,
            "the platform has no trace of the job and no exit code was left",
            now,
        );
        self.end(id, now, TrialStatus::Failed, Some(why), turn).await;
    }

    pub(crate) async fn submitted(&mut self, id: &TrialId, result: Result<Submitted>, turn: &mut Turn) {
        let at = self.ctx.clock.now();
        if let Ok(receipt) = &result {
            turn.changes.push(Change::TrialSubmitted {
                trial: id.clone(),
                at,
                url: receipt.url.clone(),
            });
        }
        let Some(live) = self.live.get_mut(id) else { return };
        live.submitting = false;
        match result {
            Ok(_) => {
                live.submitted = true;
                let waiting = live.phases.undelivered();
                turn.send.extend(waiting.into_iter().map(|index| (id.clone(), index)));
                if let Some(why) = live.cancel {
                    turn.cancel.push((id.clone(), why));
                }
            }
            Err(error) if error.is_retryable() => {
                if let Some(why) = live.cancel {
                    // A job that was started all the same would run on unseen.
                    turn.cancel.push((id.clone(), why));
                    return self.end_before_start(id, why, turn).await;
                }
                live.tries += 1;
                let asked = match error.retry() {
                    Retry::NotApplied { after } | Retry::MaybeApplied { after } => after,
                    Retry::Never => None,
                };
                let wait = RetryPolicy::new()
                    .wait(live.tries, rand::random())
                    .max(asked.unwrap_or_default());
                self.deadlines
                    .push(self.ctx.clock.monotonic() + wait, Due::Submit, id.clone());
                let why = Reason::new(waiting_code(error.kind()), describe(&error), at);
                self.status(id, at, TrialStatus::Waiting, Some(why), turn).await;
            }
            Err(error) => {
                let why = Reason::new(ReasonCode::StartFailed, describe(&error), at);
                self.end(id, at, TrialStatus::Failed, Some(why), turn).await;
            }
        }
    }

    pub(crate) fn canceled(&mut self, id: &TrialId, result: Result<()>, turn: &mut Turn) {
        let (Err(error), true) = (result, self.live.get(id).is_some()) else {
            return;
        };
        turn.notices.push(Notice::Warning(format!(
            "trial {id} could not be asked to end: {}",
            describe(&error)
        )));
        let again = self.ctx.clock.monotonic() + Duration::from_secs(2);
        self.deadlines.push(again, Due::Cancel, id.clone());
    }

    /// Asks for the end of a trial; the first reason stands.
    pub(crate) async fn request_cancel(&mut self, id: &TrialId, why: CancelReason, turn: &mut Turn) {
        let at = self.ctx.clock.now();
        let Some(live) = self.live.get_mut(id) else { return };
        if live.cancel.is_some() {
            return;
        }
        Self::mark_cancel(live, why, at, turn);
        if !live.submitted && !live.submitting {
            self.end_before_start(id, why, turn).await;
        }
    }

    /// Ends a cancelled trial that the platform does not have.
    pub(crate) async fn end_before_start(&mut self, id: &TrialId, why: CancelReason, turn: &mut Turn) {
        turn.submit.retain(|other| other != id);
        let at = self.ctx.clock.now();
        self.end(id, at, why.status(), Some(canceled_reason(why, at)), turn)
            .await;
    }

    /// Sets when the time of a running trial is over; `started` by the wall clock.
    pub(crate) fn limit_time(&mut self, id: &TrialId, started: Option<Timestamp>) {
        let (Some(max), Some(live), Some(started)) = (self.max_trial_duration, self.live.get_mut(id), started) else {
            return;
        };
        if live.deadline.is_none() {
            let ran = self.ctx.clock.now().since(started).min(max);
            let deadline = self.ctx.clock.monotonic() + max.saturating_sub(ran);
            live.deadline = Some(deadline);
            self.deadlines.push(deadline, Due::TimeLimit, id.clone());
        }
    }

    pub(crate) fn mark_cancel(live: &mut Live, why: CancelReason, at: Timestamp, turn: &mut Turn) {
        live.cancel = Some(why);
        let trial = live.spec.id.clone();
        if live.submitted {
            turn.cancel.push((trial.clone(), why));
        }
        turn.changes.push(Change::CancelRequested { trial, at, reason: why });
    }
}

fn canceled_reason(why: CancelReason, at: Timestamp) -> Reason {
    let (code, message) = match why {
        CancelReason::EarlyStop => (ReasonCode::EarlyStopped, "stopped early before the platform had it"),
        CancelReason::TimeLimit => (ReasonCode::TimeLimit, "its time was over before the platform had it"),
        _ => (ReasonCode::Canceled, "cancelled before the platform had it"),
    };
    Reason::new(code, message, at)
}

fn waiting_code(kind: ErrorKind) -> ReasonCode {
    match kind {
        ErrorKind::Io => ReasonCode::DiskFull,
        ErrorKind::NoCapacity | ErrorKind::RateLimited => ReasonCode::Quota,
        _ => ReasonCode::Unreachable,
    }
}
