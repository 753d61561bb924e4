//! What the manager does when somebody asks for something: through its handle or over the control socket.

use crate::{
    control::{Request, Response},
    manager::{Manager, describe},
    store::Change,
    turn::Turn,
};
use ts_core::CancelReason;

impl Manager {
    pub(crate) async fn command(&mut self, request: Request, turn: &mut Turn) -> Response {
        let mut response = Response::default();
        match request {
            Request::Cancel { trials } => {
                for id in trials {
                    if self.live.get(&id).is_some() {
                        self.request_cancel(&id, CancelReason::User, turn).await;
                        response.done.push(id);
                    } else if self.known_ids.contains(&id) {
                        response.problems.push(format!("trial `{id}` has ended"));
                    } else {
                        response.problems.push(format!("the experiment has no trial `{id}`"));
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
        }
        response
    }

    pub(crate) async fn stop(&mut self, turn: &mut Turn) {
        self.pool.stopping = true;
        for id in self.live.ids() {
            self.request_cancel(&id, CancelReason::Shutdown, turn).await;
        }
    }
}
