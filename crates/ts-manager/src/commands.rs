//! What the manager does when somebody asks for something: through its handle or over the control socket.

use crate::{
    control::{Request, Response},
    manager::{Manager, describe},
    metrics::Way,
    source::pack_custom,
    store::Change,
    turn::Turn,
};
use ts_core::{CancelReason, ErrorKind, TrialId};

/// Why no trial can be added. Source of the words: nni v3.0, `ts/nni_manager/core/nnimanager.ts`, `addCustomizedTrialJob`.
const MAX_TRIALS: &str = "reach maxTrialNum";

impl Manager {
    pub(crate) async fn command(&mut self, request: Request, turn: &mut Turn) -> Response {
        let mut response = Response::default();
        match request {
            Request::Cancel { trials } => {
                for id in trials {
                    if self.live.get(&id).is_some() {
                        self.request_cancel(&id, CancelReason::User, turn).await;
                        response.done.push(id);
                    } else {
                        response.problems.push(self.why_not_live(&id));
                    }
                }
            }
            Request::Stop => self.stop(turn).await,
            Request::Retry { trials } => match self.retry_ended(trials, turn).await {
                Ok(retried) => response = retried,
                Err(error) => response.problems.push(describe(&error)),
            },
            Request::Update { limits } => {
                self.pool.set_limits(limits);
                let now = self.ctx.clock.monotonic();
                self.pool.out_of_time = self.experiment_deadline().is_some_and(|at| now >= at);
                turn.changes.push(Change::LimitsChanged {
                    at: self.ctx.clock.now(),
                    limits,
                });
            }
            Request::AddTrial { parameters } => {
                if !parameters.is_object() {
                    response.problems.push("the parameters of a trial are an object".into());
                } else if self.failure.is_some() || !self.pool.added() {
                    response.problems.push(MAX_TRIALS.into());
                } else {
                    response.done.push(self.enqueue(pack_custom(&parameters), turn).await);
                }
            }
            Request::ImportData { results } => match results.iter().find(|result| !result.parameter.is_object()) {
                Some(_) => response
                    .problems
                    .push("the parameters of a result are an object".into()),
                None => match self.source.import(&results).await {
                    Ok(()) => {
                        let at = self.ctx.clock.now();
                        turn.changes.push(Change::ResultsImported { at, results });
                    }
                    Err(error) => self.refused(error, &mut response, turn),
                },
            },
            Request::Report { trial, bodies } => response = self.report(trial, &bodies, turn).await,
            Request::UpdateSearchSpace { space } => match self.source.update_search_space(&space).await {
                Ok(()) => {
                    let at = self.ctx.clock.now();
                    turn.changes.push(Change::SearchSpaceChanged { at, space });
                    self.pool.source_changed();
                }
                Err(error) => self.refused(error, &mut response, turn),
            },
        }
        response
    }

    /// Takes reports; they are stored when the answer is given.
    async fn report(&mut self, trial: TrialId, bodies: &[String], turn: &mut Turn) -> Response {
        let mut response = Response::default();
        if self.live.get(&trial).is_none() {
            response.problems.push(self.why_not_live(&trial));
            return response;
        }
        let at = self.ctx.clock.now();
        for body in bodies {
            if let Err(problem) = self.reported(&trial, at, Way::Apart, body, turn).await {
                response.problems.push(problem);
            }
        }
        response.done.push(trial);
        response
    }

    fn why_not_live(&self, id: &TrialId) -> String {
        if self.known_ids.contains(id) {
            format!("trial `{id}` has ended")
        } else {
            format!("the experiment has no trial `{id}`")
        }
    }

    /// What the source says to a request is an answer, unless it is gone.
    fn refused(&mut self, error: ts_core::Error, response: &mut Response, turn: &mut Turn) {
        response.problems.push(describe(&error));
        if !matches!(error.kind(), ErrorKind::Config | ErrorKind::Unsupported) {
            self.fail(error, turn);
        }
    }

    pub(crate) async fn stop(&mut self, turn: &mut Turn) {
        self.pool.stopping = true;
        for id in self.live.ids() {
            self.request_cancel(&id, CancelReason::Shutdown, turn).await;
        }
    }
}
