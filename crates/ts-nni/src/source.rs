//! NNI's algorithms as a parameter source: what the trial loop says goes to the dispatcher's task, what that says comes back.

use crate::{
    dispatcher::{Dispatcher, Order, State, Told, gone},
    history::History,
    python::Nni,
};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use ts_core::{Ctx, Error, ErrorKind, Result, TrialId, TrialStatus};
use ts_manager::source::{ImportedResult, Observation, ParameterSource, PastTrial, SourceEvent};

/// A tuner or an advisor of NNI's Python package, perhaps with an assessor, in a process of their own.
///
/// The process is started by [`ParameterSource::start`], which does not wait for it; that it cannot begin is an error of
/// [`ParameterSource::next`].
#[derive(Debug)]
pub struct NniSource {
    nni: Nni,
    ctx: Ctx,
    task: Option<Task>,
}

#[derive(Debug)]
struct Task {
    orders: mpsc::UnboundedSender<Order>,
    events: mpsc::UnboundedReceiver<Told>,
    /// Requests of the loop.
    n_requests: u64,
    /// How often the loop heard that there is nothing more for now.
    n_exhausted: u64,
    close: Option<oneshot::Sender<()>>,
    closed: oneshot::Receiver<()>,
}

impl NniSource {
    /// A source that has not started. Does no I/O. Its task runs on `ctx.tasks`; when that is closed, the process is killed.
    pub fn new(nni: Nni, ctx: Ctx) -> Self {
        Self { nni, ctx, task: None }
    }

    fn order(&self, order: Order) {
        // A task that is gone has said why, which comes out of `next`.
        if let Some(task) = &self.task {
            let _ = task.orders.send(order);
        }
    }
}

#[async_trait]
impl ParameterSource for NniSource {
    fn name(&self) -> &str {
        self.nni.spec.tuner.name()
    }

    async fn start(&mut self, history: &[PastTrial]) -> Result<()> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (told, events) = mpsc::unbounded_channel();
        let (close, closing) = oneshot::channel();
        let (done, closed) = oneshot::channel();
        let dispatcher = Dispatcher {
            nni: self.nni.clone(),
            clock: Arc::clone(&self.ctx.clock),
            orders: ordered,
            events: told,
            closing,
            state: State::new(History::new(history)),
        };
        self.ctx.tasks.spawn(async move {
            dispatcher.run().await;
            // Whoever closed it may not wait.
            let _ = done.send(());
        });
        self.task = Some(Task {
            orders,
            events,
            n_requests: 0,
            n_exhausted: 0,
            close: Some(close),
            closed,
        });
        Ok(())
    }

    async fn request(&mut self, n: u32) -> Result<()> {
        let Some(task) = &mut self.task else { return Ok(()) };
        task.n_requests += 1;
        let order = Order::Request(n, task.n_exhausted);
        self.order(order);
        Ok(())
    }

    async fn request_next(&mut self, trial: &TrialId, index: u32) -> Result<()> {
        self.order(Order::Next(trial.clone(), index));
        Ok(())
    }

    async fn next_ended(&mut self, trial: &TrialId, status: TrialStatus, parameters: &[Arc<str>]) -> Result<()> {
        self.order(Order::NextEnded(trial.clone(), status, parameters.to_vec()));
        Ok(())
    }

    async fn assigned(&mut self, trial: &TrialId, parameters: &str) -> Result<()> {
        self.order(Order::Assigned(trial.clone(), parameters.into()));
        Ok(())
    }

    async fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        self.order(Order::Metric {
            trial: observation.trial.clone(),
            parameters: observation.parameters.into(),
            is_final: observation.is_final,
            sequence: observation.sequence,
            value: observation.value.into(),
        });
        Ok(())
    }

    async fn ended(&mut self, trial: &TrialId, status: TrialStatus, parameters: &str) -> Result<()> {
        self.order(Order::Ended(trial.clone(), status, parameters.into()));
        Ok(())
    }

    async fn import(&mut self, results: &[ImportedResult]) -> Result<()> {
        self.order(Order::Import(results.to_vec()));
        Ok(())
    }

    async fn update_search_space(&mut self, space: &serde_json::Value) -> Result<()> {
        if !space.is_object() {
            return Err(Error::new(ErrorKind::Config, "the search space is no object").with_key("searchSpace"));
        }
        Arc::make_mut(&mut self.nni.spec).search_space = space.clone();
        self.order(Order::SearchSpace(space.clone()));
        Ok(())
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        let Some(task) = &mut self.task else { return Err(gone()) };
        loop {
            let Some(Told { event, n_requests }) = task.events.recv().await else {
                return Err(gone());
            };
            if matches!(event, Ok(SourceEvent::Exhausted)) {
                // The last trials may have ended since, and a new request is on its way: there may be more after all.
                if n_requests < task.n_requests {
                    continue;
                }
                task.n_exhausted += 1;
            }
            return event;
        }
    }

    async fn close(&mut self) {
        if let Some(mut task) = self.task.take() {
            drop(task.close.take());
            // An error means that the task is gone already.
            let _ = task.closed.await;
        }
    }
}
