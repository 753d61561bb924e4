//! The task behind a source: keeps a dispatcher running, relays between it and the trial loop, and starts it again from the
//! history when it crashes.

use crate::{
    endings::Endings,
    history::{History, member, quoted},
    life::Life,
    message::{
        ADD_CUSTOMIZED, ERROR, IMPORT, KILL, METRIC, Message, NEW_TRIAL, NEXT_PARAMETERS, NO_MORE, PING, REQUEST,
        TRIAL_END, UPDATE_SEARCH_SPACE,
    },
    python::Nni,
    requests::{For, NoMore, Requests},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use ts_core::{Clock, Error, ErrorKind, Result, TrialId, TrialStatus};
use ts_manager::source::{ImportedResult, Proposal, SourceEvent};

/// How often a dispatcher is started again after a crash, in one run of the manager.
const MOST_RESTARTS: u32 = 3;
/// A failed thread of a dispatcher shows only when the next message comes, so one is sent this often.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// How often held-back ends are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Time for an end to bring new parameters before "no more" is the last word.
const SETTLED: Duration = Duration::from_secs(1);

/// How long a wish may be open while no trial runs before it is asked for once more; twice as long each time. Hyperband of
/// nni v3.0 now and then gives no answer between two brackets, and "no more" of some is never the last word. What comes twice is
/// kept for later.
const UNHEARD: Duration = Duration::from_secs(10);

/// What the trial loop tells.
#[derive(Debug)]
pub(crate) enum Order {
    /// So many more, of a loop that was told so often that there is nothing.
    Request(u32, u64),
    Next(TrialId, u32),
    NextEnded(TrialId, TrialStatus, Vec<Arc<str>>),
    Assigned(TrialId, Arc<str>),
    Metric {
        trial: TrialId,
        parameters: Arc<str>,
        is_final: bool,
        sequence: u32,
        value: Arc<str>,
    },
    Ended(TrialId, TrialStatus, Arc<str>),
    Import(Vec<ImportedResult>),
    SearchSpace(serde_json::Value),
}

/// What the trial loop is told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) event: Result<SourceEvent>,
    /// How many requests of the loop had come by then: that there is nothing is not true any more for a later one.
    pub(crate) n_requests: u64,
}

/// The task.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) nni: Nni,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) events: mpsc::UnboundedSender<Told>,
    /// Resolves when the source is closed or gone.
    pub(crate) closing: oneshot::Receiver<()>,
    pub(crate) state: State,
}

/// What is known, whichever process runs.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) history: History,
    pub(crate) requests: Requests,
    pub(crate) endings: Endings<Message>,
    /// Running trials that a dispatcher with phases makes further parameters for, of this index.
    pub(crate) relayed: Vec<(TrialId, u32)>,
    /// Requests of the loop.
    n_requests: u64,
    /// How often the loop was told that there is nothing more for now.
    n_exhausted: u64,
    /// When the dispatcher was last told of an end.
    told_end: Option<Duration>,
    /// Whether "no more" is to be heard again before it is passed on.
    doubts: bool,
    /// Since when a wish is open while no trial runs, and how long that may last.
    unheard: Option<(Duration, Duration)>,
}

impl State {
    pub(crate) fn new(history: History) -> Self {
        Self {
            history,
            requests: Requests::default(),
            endings: Endings::new(),
            relayed: Vec::new(),
            n_requests: 0,
            n_exhausted: 0,
            told_end: None,
            doubts: false,
            unheard: None,
        }
    }
}

/// Why a process is over.
enum Over {
    Closed,
    /// With what the dispatcher said about it.
    Crashed(Option<String>),
}

impl Dispatcher {
    /// Runs until the source is closed or nothing can go on.
    pub(crate) async fn run(mut self) {
        let mut restarts = 0;
        loop {
            let begun = tokio::select! {
                life = begin(&self.nni, &*self.clock, &self.state.history) => life,
                _ = &mut self.closing => return,
            };
            let mut life = match begun {
                Ok(life) => life,
                Err(error) => return self.tell(Err(error)),
            };
            let over = match self.relay(&mut life).await {
                Ok(over) => over,
                Err(error) => {
                    tracing::debug!("{error}");
                    Over::Crashed(None)
                }
            };
            let said = match over {
                Over::Closed => return life.finish(&*self.clock).await,
                Over::Crashed(said) => said,
            };
            let error = life.cause_of_death(&self.nni.spec, &*self.clock, said).await;
            if restarts == MOST_RESTARTS {
                return self.tell(Err(error));
            }
            restarts += 1;
            let cause = std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default();
            tracing::warn!(
                "{error}; it is started again with what is known so far ({restarts} of {MOST_RESTARTS}): {cause}"
            );
            self.state.history.begin_again();
            self.state.endings.forget();
        }
    }

    pub(crate) fn tell(&self, event: Result<SourceEvent>) {
        // Nobody listens any more only when the source is gone, which ends this task too.
        let n_requests = self.state.n_requests;
        let _ = self.events.send(Told { event, n_requests });
    }

    async fn relay(&mut self, life: &mut Life) -> Result<Over> {
        if let Some(imports) = self.state.history.imports() {
            life.send(&Message::new(IMPORT, imports)).await?;
        }
        if let Some(parameters) = self.state.history.parameters().filter(|_| life.release.continues_ids()) {
            life.send(&Message::new(ADD_CUSTOMIZED, parameters)).await?;
        }
        let owed = self.state.requests.begin_again();
        self.request(life, owed).await?;
        self.ask_again(life).await?;
        let mut ping_at = self.clock.monotonic() + PING_INTERVAL;
        loop {
            let now = self.clock.monotonic();
            while let Some(end) = self.state.endings.due(now) {
                life.send(&end).await?;
                self.state.told_end = Some(now);
            }
            if now >= ping_at {
                life.send(&Message::new(PING, "")).await?;
                ping_at = now + PING_INTERVAL;
            }
            self.settle(life).await?;
            self.repeat(life, now).await?;
            let is_waiting = self.state.endings.is_holding() || self.state.doubts;
            let wait = if is_waiting {
                LOOK_INTERVAL
            } else {
                ping_at.saturating_sub(now)
            };
            let clock = Arc::clone(&self.clock);
            tokio::select! {
                biased;
                _ = &mut self.closing => return Ok(Over::Closed),
                order = self.orders.recv() => match order {
                    Some(order) => self.order(life, order).await?,
                    None => return Ok(Over::Closed),
                },
                message = life.receive(&*clock) => match message? {
                    Some(message) if message.code == ERROR => return Ok(Over::Crashed(Some(message.content))),
                    Some(message) => self.heard(message),
                    None => return Ok(Over::Crashed(None)),
                },
                () = clock.sleep(wait) => {}
            }
        }
    }

    pub(crate) async fn request(&mut self, life: &mut Life, n: u32) -> Result<()> {
        self.state.endings.asked(n);
        for _ in 0..n {
            life.send(&Message::new(REQUEST, "1")).await?;
        }
        Ok(())
    }

    async fn order(&mut self, life: &mut Life, order: Order) -> Result<()> {
        match order {
            Order::Request(n, n_exhausted) => {
                self.state.n_requests += 1;
                if n_exhausted < self.state.n_exhausted {
                    // It asked before it heard the last one, which it passes over now.
                    self.state.n_exhausted = n_exhausted;
                    self.state.requests.not_dry();
                }
                let (kept, missing) = self.state.requests.want(n);
                for text in kept {
                    self.tell(Ok(SourceEvent::Proposal(Proposal { text })));
                }
                self.request(life, missing).await
            }
            Order::Next(trial, index) => self.ask_next(life, trial, index).await,
            Order::NextEnded(trial, status, parameters) => {
                self.next_ended(life, &trial, status, &parameters);
                Ok(())
            }
            Order::Assigned(trial, parameters) => {
                self.state.history.assigned(&trial, &parameters);
                Ok(())
            }
            Order::Metric {
                trial,
                parameters,
                is_final,
                sequence,
                value,
            } => {
                if is_final {
                    self.state.history.result(&trial, &parameters, Arc::clone(&value));
                }
                if !self.state.history.knows(&trial, &parameters) {
                    // To this process its parameters are another's, whose ids it may have used again.
                    return match self.state.history.import(&trial, &parameters).filter(|_| is_final) {
                        Some(import) => life.send(&Message::new(IMPORT, import)).await,
                        None => Ok(()),
                    };
                }
                life.send(&metric(&trial, &parameters, is_final, sequence, &value))
                    .await?;
                if is_final {
                    self.state.endings.result(&trial, self.clock.monotonic());
                }
                Ok(())
            }
            Order::Import(results) => match self.state.history.import_results(&results) {
                Some(imports) => life.send(&Message::new(IMPORT, imports)).await,
                None => Ok(()),
            },
            Order::SearchSpace(space) => {
                let text = space.to_string();
                // A process that takes over is told of it at its start.
                Arc::make_mut(&mut self.nni.spec).search_space = space;
                life.send(&Message::new(UPDATE_SEARCH_SPACE, text)).await
            }
            Order::Ended(trial, status, parameters) => {
                self.state.history.ended(&parameters);
                self.state.requests.trial_ended();
                if self.state.history.knows(&trial, &parameters) {
                    let status = if life.release.has_phases() {
                        status
                    } else {
                        self.status_of(&trial, status, &parameters)
                    };
                    self.state
                        .endings
                        .hold(trial.clone(), trial_end(&trial, status, &parameters));
                }
                Ok(())
            }
        }
    }

    fn heard(&mut self, message: Message) {
        match message.code {
            NEW_TRIAL => {
                self.state.doubts = false;
                self.state.endings.answered();
                let text: Arc<str> = message.content.into();
                self.state.history.made(Arc::clone(&text));
                match self.state.requests.proposed(text) {
                    Some((For::New, text)) => self.tell(Ok(SourceEvent::Proposal(Proposal { text }))),
                    Some((For::Running(trial, index), text)) => self.give(trial, index, &text),
                    None => {}
                }
            }
            NO_MORE => {
                self.state.endings.out_of_step();
                match self.state.requests.no_more(self.state.history.any_runs()) {
                    NoMore::Wait => {}
                    NoMore::Running(trial, index) => {
                        let text = None;
                        self.tell(Ok(SourceEvent::Next { trial, index, text }));
                    }
                    NoMore::Final if self.is_unsettled() => self.state.doubts = true,
                    // The wish stays open: what comes later serves it, and `repeat` asks for it. The loop is not told, for it may
                    // have seen the end of the last trial before this is heard, and would end the experiment.
                    NoMore::Dry | NoMore::Final if self.nni.spec.tuner.is_endless() => {}
                    NoMore::Dry | NoMore::Final => {
                        self.state.requests.dry();
                        self.state.n_exhausted += 1;
                        self.tell(Ok(SourceEvent::Exhausted));
                    }
                }
            }
            NEXT_PARAMETERS if self.heard_next(&message.content) => {}
            KILL => match serde_json::from_str::<String>(&message.content).map(|id| TrialId::new(&id)) {
                Ok(Ok(trial)) => self.tell(Ok(SourceEvent::Cancel(trial))),
                _ => unknown(&message),
            },
            _ => unknown(&message),
        }
    }

    /// An end that the dispatcher has not dealt with yet may bring new parameters.
    fn is_unsettled(&self) -> bool {
        let now = self.clock.monotonic();
        self.state.endings.is_holding() || self.state.told_end.is_some_and(|at| now < at + SETTLED)
    }

    /// Asks once more for what nobody answers. A tuner that gives no answer works on it (nni v3.0, `msg_dispatcher.py`: each
    /// request has one), and would have to work on the repetition too.
    async fn repeat(&mut self, life: &mut Life, now: Duration) -> Result<()> {
        let tuner = &self.nni.spec.tuner;
        let may_forget = tuner.is_advisor() || tuner.is_endless();
        if !may_forget || !self.state.requests.is_open() || self.state.history.any_runs() {
            self.state.unheard = None;
            return Ok(());
        }
        let (since, longest) = *self.state.unheard.get_or_insert((now, UNHEARD));
        if now.saturating_sub(since) >= longest {
            tracing::debug!(
                "NNI's dispatcher is asked again: it owes an answer for {} s",
                longest.as_secs()
            );
            self.state.unheard = Some((now, longest * 2));
            self.state.endings.out_of_step();
            self.state.requests.ask_again();
            self.request(life, 1).await?;
        }
        Ok(())
    }

    /// Asks once more, when all ends are dealt with, before "no more" ends the experiment.
    async fn settle(&mut self, life: &mut Life) -> Result<()> {
        if !self.state.doubts || self.is_unsettled() {
            return Ok(());
        }
        self.state.doubts = false;
        if self.state.requests.is_stuck() {
            self.state.requests.ask_again();
            self.request(life, 1).await?;
        }
        Ok(())
    }
}

fn unknown(message: &Message) {
    let code = String::from_utf8_lossy(&message.code);
    let content: String = message.content.chars().take(500).collect();
    tracing::warn!(
        "NNI's dispatcher said what is not understood: `{}` `{}`",
        code.escape_debug(),
        content.escape_debug()
    );
}

async fn begin(nni: &Nni, clock: &dyn Clock, history: &History) -> Result<Life> {
    let installation = nni.installation().await?;
    Life::begin(&nni.spec, installation, !history.is_empty(), clock).await
}

/// The report as the trial's SDK writes it.
///
/// Source: nni v1.9 and v3.0, `nni/trial.py`, `report_final_result`.
fn metric(trial: &TrialId, parameters: &str, is_final: bool, sequence: u32, value: &str) -> Message {
    let kind = if is_final { "FINAL" } else { "PERIODICAL" };
    let id = member(parameters, "parameter_id").unwrap_or("null");
    Message::new(
        METRIC,
        format!(
            "{{\"parameter_id\": {id}, \"trial_job_id\": \"{trial}\", \"type\": \"{kind}\", \"sequence\": {sequence}, \"value\": {}}}",
            quoted(value)
        ),
    )
}

pub(crate) fn trial_end(trial: &TrialId, status: TrialStatus, parameters: &str) -> Message {
    Message::new(
        TRIAL_END,
        format!(
            "{{\"trial_job_id\": \"{trial}\", \"event\": \"{status}\", \"hyper_params\": {}}}",
            quoted(parameters)
        ),
    )
}

/// The error of a source whose task is gone.
pub(crate) fn gone() -> Error {
    Error::new(ErrorKind::Conflict, "NNI's dispatcher has ended")
}
