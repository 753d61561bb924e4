//! One turn of the loop: takes what happened, decides, stores all of it in one transaction, and only then acts.

use crate::{
    control::Response,
    deadlines::Due,
    manager::{Input, Manager, describe},
    notice::Notice,
    observe::Call,
    placement::gpu_wish,
    source::{Proposal, SourceEvent},
    store::{Applied, COUNTED_EVERY, Change, ExperimentStatus},
};
use futures_util::{FutureExt, StreamExt};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;
use ts_core::{
    CancelReason, Clock, Error, ErrorKind, Event, Parameters, Reason, ReasonCode, Result, Retry, TrialId, TrialStatus,
};

/// Configuration failures in a row, with no success before, after which going on would only repeat them.
const HOPELESS: u32 = 5;

/// Longest wait for a platform's answer to one request; it is asked again then, and must find what it did before.
const PATIENCE: Duration = Duration::from_mins(2);

/// Most turns that are handed to the store before one waits, so that memory stays bounded while the disk is full.
const MAX_UNANSWERED: usize = 64;

/// What a turn has decided.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) changes: Vec<Change>,
    pub(crate) submit: Vec<TrialId>,
    pub(crate) cancel: Vec<(TrialId, CancelReason)>,
    /// Further parameters that are stored by then, by their index.
    pub(crate) send: Vec<(TrialId, u32)>,
    pub(crate) notices: Vec<Notice>,
    replies: Vec<(oneshot::Sender<Response>, Response)>,
}

impl Turn {
    /// Whether nobody does anything because of it.
    fn only_takes_notes(&self) -> bool {
        self.submit.is_empty() && self.cancel.is_empty() && self.send.is_empty() && self.replies.is_empty()
    }
}

impl Manager {
    pub(crate) async fn turn(&mut self, input: Vec<Input>) -> Result<()> {
        let mut turn = Turn::default();
        for input in input {
            self.take(input, &mut turn).await?;
        }
        self.finish_turn(turn).await
    }

    /// Asks for more trials, stores, acts.
    pub(crate) async fn finish_turn(&mut self, mut turn: Turn) -> Result<()> {
        self.ask_for_more(&mut turn).await;
        self.start_queued(&mut turn).await;
        self.note_status(&mut turn);
        if self.ctx.clock.monotonic().saturating_sub(self.stored_until) >= COUNTED_EVERY {
            let change = self.duration_change();
            turn.changes.push(change);
        }
        self.store_turn(&mut turn).await?;
        self.act(turn);
        Ok(())
    }

    /// Hands the changes to the store, and waits until they are kept if anybody acts on them.
    ///
    /// A turn that only takes notes does not wait: what follows is stored behind it, so whoever waits later waits for it too.
    async fn store_turn(&mut self, turn: &mut Turn) -> Result<()> {
        if !turn.changes.is_empty() {
            self.decided(&turn.changes);
            let stored = self.store.apply(std::mem::take(&mut turn.changes));
            self.unanswered.push(Box::pin(stored));
        }
        if turn.only_takes_notes() && self.unanswered.len() < MAX_UNANSWERED {
            return Ok(());
        }
        self.wait_for_store().await
    }

    /// Waits until all that was handed to the store is kept.
    pub(crate) async fn wait_for_store(&mut self) -> Result<()> {
        while let Some(stored) = self.unanswered.next().await {
            self.note_revision(&stored?);
        }
        Ok(())
    }

    /// Nobody is woken by it: who is told of what it holds looks it up then.
    pub(crate) fn note_revision(&self, applied: &Applied) {
        self.snapshot.send_if_modified(|s| {
            s.revision = s.revision.max(applied.revision);
            false
        });
    }

    fn act(&mut self, turn: Turn) {
        for id in turn.submit {
            let Some(live) = self.live.get_mut(&id) else { continue };
            live.submitting = true;
            let (service, code, mut spec) = (Arc::clone(&self.service), self.code.clone(), live.spec.clone());
            if let Some(observer) = &mut self.observer {
                spec.traceparent = observer.traceparent(&id);
                observer.asked(Call::Submit, &id, self.ctx.clock.now());
            }
            let clock = Arc::clone(&self.ctx.clock);
            self.submitting.push(Box::pin(async move {
                let result = answered(&*clock, "submit", service.submit(&code, &spec)).await;
                (spec.id, result)
            }));
        }
        for (id, why) in turn.cancel {
            if let Some(observer) = &mut self.observer {
                observer.asked(Call::Cancel, &id, self.ctx.clock.now());
            }
            let (service, clock) = (Arc::clone(&self.service), Arc::clone(&self.ctx.clock));
            self.canceling.push(Box::pin(async move {
                let result = answered(&*clock, "cancel", service.cancel(&id, why)).await;
                (id, why, result)
            }));
        }
        for (id, index) in turn.send {
            // One that the platform may not have yet gets them once it has it.
            let live = self.live.get(&id).filter(|live| live.submitted);
            let Some(text) = live.and_then(|live| live.phases.text(index)).map(Arc::clone) else {
                continue;
            };
            if let Some(observer) = &mut self.observer {
                observer.asked(Call::SendParameters(index), &id, self.ctx.clock.now());
            }
            let (service, clock) = (Arc::clone(&self.service), Arc::clone(&self.ctx.clock));
            self.sending.push(Box::pin(async move {
                let next = Parameters { text, index };
                let result = answered(&*clock, "send_parameters", service.send_parameters(&id, &next)).await;
                (id, index, result)
            }));
        }
        self.untold.extend(turn.notices);
        if self.unanswered.is_empty() {
            self.tell();
        }
        for (reply, response) in turn.replies {
            // Whoever asked may be gone.
            let _ = reply.send(response);
        }
        let (created, elapsed) = (u64::from(self.pool.created), self.elapsed());
        let taken = Some(self.ctx.clock.monotonic());
        self.snapshot.send_modify(|s| {
            s.created = created;
            s.elapsed = elapsed;
            s.taken = taken;
        });
    }

    /// Tells the observer what is decided, before the store has it.
    pub(crate) fn decided(&mut self, changes: &[Change]) {
        if let Some(observer) = &mut self.observer {
            observer.decided(changes);
        }
    }

    fn answered(&mut self, call: Call, trial: &TrialId, error: Option<&Error>) {
        if let Some(observer) = &mut self.observer {
            observer.answered(call, trial, self.ctx.clock.now(), error);
        }
    }

    /// Tells people and the observer what is kept by now.
    pub(crate) fn tell(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.kept();
        }
        for notice in self.untold.drain(..) {
            if let Notice::Warning(text) = &notice {
                tracing::warn!("{text}");
            }
            // Nobody listening is fine: the store has it all.
            let _ = self.notices.send(notice);
        }
    }

    async fn take(&mut self, input: Input, turn: &mut Turn) -> Result<()> {
        match input {
            Input::Event(Ok(event)) => self.event(event, turn).await,
            Input::Event(Err(error)) => turn.notices.push(Notice::Warning(describe(&error))),
            Input::Source(Ok(event)) => self.source_event(event, turn).await,
            Input::Source(Err(error)) => self.fail(error, turn),
            Input::Submitted((id, result)) => {
                self.answered(Call::Submit, &id, result.as_ref().err());
                self.submitted(&id, result, turn).await;
            }
            Input::Canceled((id, _, result)) => {
                self.answered(Call::Cancel, &id, result.as_ref().err());
                self.canceled(&id, result, turn);
            }
            Input::Sent((id, index, result)) => {
                self.answered(Call::SendParameters(index), &id, result.as_ref().err());
                self.sent(&id, index, result, turn);
            }
            Input::Command((request, reply)) => {
                let response = self.command(request, turn).await;
                turn.replies.push((reply, response));
            }
            Input::Time => self.time(turn).await,
        }
        Ok(())
    }

    async fn event(&mut self, event: Event, turn: &mut Turn) {
        match event {
            Event::Status { trial, at, status, why } => self.status(&trial, at, status, why, turn).await,
            Event::Metric {
                trial,
                at,
                cursor,
                body,
            } => self.metric(&trial, at, cursor, &body, turn).await,
            Event::Skipped {
                trial,
                at,
                cursor,
                n_bytes,
                problem,
            } => {
                self.skipped(&trial, at, cursor, n_bytes, problem, turn);
            }
            Event::Synced => self.synced(turn).await,
            _ => {}
        }
    }

    async fn source_event(&mut self, event: SourceEvent, turn: &mut Turn) {
        match event {
            SourceEvent::Proposal(Proposal { text, .. }) => {
                if !self.pool.proposed() {
                    return;
                }
                self.enqueue(text, turn).await;
            }
            SourceEvent::Exhausted => self.pool.exhausted(),
            SourceEvent::Next { trial, index, text } => self.answered_next(&trial, index, text, turn),
            SourceEvent::Cancel(id) => {
                if let Some(live) = self.live.get_mut(&id)
                    && live.cancel.is_none()
                {
                    Self::mark_cancel(live, CancelReason::EarlyStop, self.ctx.clock.now(), turn);
                }
            }
        }
    }

    /// Makes a trial that waits for its place.
    pub(crate) async fn enqueue(&mut self, parameters: Arc<str>, turn: &mut Turn) -> TrialId {
        let gpus = gpu_wish(&parameters, self.spec.gpus).unwrap_or_else(|problem| {
            turn.notices.push(Notice::Warning(problem.into()));
            self.spec.gpus
        });
        let id = self.create(Parameters::new(parameters), gpus, None, 1, turn).await;
        self.queue.push_back(id.clone());
        id
    }

    async fn ask_for_more(&mut self, turn: &mut Turn) {
        while self.failure.is_none() {
            let n = self.pool.ask();
            if n > 0
                && let Err(error) = self.source.request(n).await
            {
                return self.fail(error, turn);
            }
            let mut answered = false;
            while let Some(event) = self.source.next().now_or_never() {
                answered = true;
                match event {
                    Ok(event) => self.source_event(event, turn).await,
                    Err(error) => return self.fail(error, turn),
                }
            }
            if !answered {
                return;
            }
        }
    }

    async fn time(&mut self, turn: &mut Turn) {
        let now = self.ctx.clock.monotonic();
        while let Some((due, id)) = self.deadlines.pop_due(now) {
            let Some(live) = self.live.get(&id) else { continue };
            match due {
                Due::TimeLimit => self.request_cancel(&id, CancelReason::TimeLimit, turn).await,
                Due::Submit => match live.cancel {
                    None => turn.submit.push(id),
                    Some(why) => self.end_before_start(&id, why, turn).await,
                },
                Due::Parameters(index) => turn.send.push((id, index)),
                Due::Cancel => turn.cancel.extend(live.cancel.map(|why| (id, why))),
            }
        }
        self.pool.out_of_time = self.experiment_deadline().is_some_and(|at| now >= at);
    }

    /// The experiment cannot go on: starts no more, asks the live trials to end, and keeps the first error.
    pub(crate) fn fail(&mut self, error: Error, turn: &mut Turn) {
        if self.failure.is_some() {
            return;
        }
        turn.notices.push(Notice::Warning(describe(&error)));
        self.failure = Some(error);
        self.pool.stopping = true;
        let at = self.ctx.clock.now();
        for live in self.live.iter_mut().filter(|live| live.cancel.is_none()) {
            Self::mark_cancel(live, CancelReason::Shutdown, at, turn);
            if !live.submitted && !live.submitting {
                // Taken up by the next look at the clock, which submits or ends it.
                self.deadlines.push(Duration::ZERO, Due::Submit, live.spec.id.clone());
            }
        }
    }

    /// Ends the experiment when every trial fails for a reason that only the user can mend.
    pub(crate) fn note_hopeless(&mut self, status: TrialStatus, why: Option<&Reason>, turn: &mut Turn) {
        let code = why.map(|reason| reason.code);
        let configured_wrong = matches!(
            code,
            Some(
                ReasonCode::CommandNotFound
                    | ReasonCode::NotExecutable
                    | ReasonCode::StartFailed
                    | ReasonCode::StartRefused
            )
        );
        if status != TrialStatus::Failed || !configured_wrong {
            self.misconfigured = 0;
            return;
        }
        self.misconfigured += 1;
        let limit = HOPELESS.max(self.pool.limits.concurrency);
        if self.misconfigured == limit && self.snapshot.borrow().succeeded == 0 && !self.pool.stopping {
            let what = why.map(|reason| reason.message.clone()).unwrap_or_default();
            self.fail(
                Error::new(
                    ErrorKind::Config,
                    format!("the first {limit} trials could not run: {what}"),
                )
                .with_key("trialCommand")
                .with_help("mend the command, then `tsctl resume` goes on"),
                turn,
            );
        }
    }

    fn note_status(&mut self, turn: &mut Turn) {
        let status = if self.pool.stopping {
            ExperimentStatus::Stopping
        } else if self.pool.is_full() {
            ExperimentStatus::NoMoreTrial
        } else if self.pool.is_dry() {
            ExperimentStatus::TunerNoMoreTrial
        } else {
            ExperimentStatus::Running
        };
        if status != self.status {
            self.status = status;
            turn.changes.push(Change::ExperimentStatus {
                status,
                at: self.ctx.clock.now(),
                message: None,
            });
            self.snapshot.send_modify(|s| s.status = status);
        }
    }
}

async fn answered<T>(clock: &dyn Clock, op: &'static str, request: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        result = request => result,
        () = clock.sleep(PATIENCE) => Err(Error::new(ErrorKind::TimedOut, "the platform did not answer within 2 min")
            .with_op(op)
            .with_retry(Retry::MaybeApplied { after: None })),
    }
}
