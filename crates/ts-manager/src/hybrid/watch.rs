//! The streams of all platforms as one. A platform whose stream ends is watched again, so it costs the others nothing.

use super::members::Members;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use ts_core::{Error, Event, Reason, ReasonCode, Result, Retry, TrialId, TrialStatus, WatchRequest};

/// Wait before a platform whose stream ended is watched again; doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

pub(super) fn watch(members: &Arc<Members>, what: &WatchRequest) -> BoxStream<'static, Result<Event>> {
    let streams = (0..members.list.len()).map(|at| {
        let own = Own::new(Arc::clone(members), at, what);
        stream::unfold(own, |mut own| async move { Some((own.next().await, own)) }).boxed()
    });
    let n_members = members.list.len();
    let mut n_synced = 0;
    stream::select_all(streams)
        .filter_map(move |event| {
            // Each platform says so once; all together when the last one does.
            let is_said = match event {
                Ok(Event::Synced) => {
                    n_synced += 1;
                    n_synced == n_members
                }
                _ => true,
            };
            std::future::ready(is_said.then_some(event))
        })
        .boxed()
}

/// One platform's stream, over and over.
struct Own {
    members: Arc<Members>,
    at: usize,
    /// What to ask for the next time.
    request: WatchRequest,
    stream: Option<BoxStream<'static, Result<Event>>>,
    is_synced: bool,
    failures: u32,
    out: VecDeque<Result<Event>>,
}

impl Own {
    fn new(members: Arc<Members>, at: usize, what: &WatchRequest) -> Self {
        // One that is nowhere yet may come here.
        let is_own = |trial: &TrialId| matches!(members.of(trial), Ok(place) if place.is_none_or(|place| place == at));
        let mut request = WatchRequest::new();
        for (trial, cursor) in what.from.iter().filter(|(trial, _)| is_own(trial)) {
            request = request.resuming(trial.clone(), *cursor);
        }
        for (trial, log) in what.logs.iter().filter(|(trial, _)| is_own(trial)) {
            request = request.with_log(trial.clone(), *log);
        }
        Self {
            members,
            at,
            request,
            stream: None,
            is_synced: false,
            failures: 0,
            out: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.out.pop_front() {
                return event;
            }
            let Some(stream) = &mut self.stream else {
                self.open().await?;
                continue;
            };
            match stream.next().await {
                Some(Ok(event)) => {
                    self.failures = 0;
                    if let Some(event) = self.seen(event) {
                        return Ok(event);
                    }
                }
                Some(Err(error)) if error.is_retryable() => return Err(error),
                Some(Err(error)) => return Err(self.broken(error)),
                None => self.stream = None,
            }
        }
    }

    /// Watches again, once the platform has told what became of the trials that it was not asked about.
    async fn open(&mut self) -> Result<()> {
        if self.failures > 0 {
            let wait = FIRST_WAIT
                .saturating_mul(1 << (self.failures - 1).min(10))
                .min(LONGEST_WAIT);
            self.members.ctx.clock.sleep(wait).await;
        }
        let service = &self.members.list[self.at].service;
        let unasked = self.members.unasked(self.at);
        if !unasked.is_empty() {
            match service.recover(&unasked).await {
                Ok(found) => {
                    self.members.ask_later(self.at, Vec::new());
                    for trial in found.lost {
                        self.out.push_back(Ok(self.lost(trial)));
                    }
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
        self.members.note_up(self.at);
        self.stream = Some(service.watch(self.request.clone()));
        // One that ends at once must not be opened without a pause.
        self.failures += 1;
        Ok(())
    }

    /// Takes an event over; `None` if nobody is to hear it.
    fn seen(&mut self, event: Event) -> Option<Event> {
        match &event {
            Event::Synced => return (!std::mem::replace(&mut self.is_synced, true)).then_some(event),
            Event::Metric { trial, cursor, .. } | Event::Skipped { trial, cursor, .. } => {
                self.request.from.insert(trial.clone(), *cursor);
            }
            Event::Status { trial, status, .. } if status.is_terminal() => {
                self.members.release(self.at, trial);
            }
            _ => {}
        }
        Some(event)
    }

    fn lost(&self, trial: TrialId) -> Event {
        self.members.release(self.at, &trial);
        let at = self.members.ctx.clock.now();
        let name = &self.members.list[self.at].name;
        Event::Status {
            trial,
            at,
            status: TrialStatus::Failed,
            why: Some(Reason::new(
                ReasonCode::Lost,
                format!("the platform `{name}` has no trace of it"),
                at,
            )),
        }
    }

    /// Notes that the platform is away. For the whole it is an error that heals.
    fn broken(&mut self, error: Error) -> Error {
        self.stream = None;
        self.failures += 1;
        self.members.note_down(self.at, &error);
        error.with_retry(Retry::NotApplied { after: None })
    }
}
