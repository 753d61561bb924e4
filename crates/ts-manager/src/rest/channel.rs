//! NNI 3.0's channel for trials: what they report and ask for comes by `PUT`, what they get by `GET`, which waits for it.
//!
//! Whoever knows the address may use it, so it holds a secret of the experiment's; the trial is told it by its environment.
//!
//! Source: nni v3.0, `ts/nni_manager/common/command_channel/http.ts` and its client `nni/runtime/command_channel/http.py`, which takes
//! 200 and 408 for an answer, and does not look at the answer to a `PUT`.

use super::{
    answer,
    error::{Failure, no_trial},
    input::{self, Named},
    state::State,
    stored::Token,
};
use crate::{control::Request, notice::Notice};
use axum::{
    Router,
    body::Body,
    extract,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast::{self, error::RecvError};
use ts_core::{Error, ErrorKind, Result, Secret, TrialId};

/// What the address of a channel begins with, behind the prefix. Source: nni v3.0, `ts/nni_manager/common/trial_keeper/keeper.ts`.
const FOLDER: &str = "env";
/// How long a request for parameters waits before its client is told to ask again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the store is looked at where the manager is another process.
const PACE: Duration = Duration::from_millis(500);
/// The body of a request for parameters, as in a journal; without an index it asks for the next ones.
const NEXT: &str = r#"{"type": "REQUEST_PARAMETER"}"#;

/// The address below which each trial has its channel.
pub(super) fn base(url: &str, secret: &Token) -> Secret {
    Secret::new(format!("{url}/{FOLDER}/{}", secret.expose()))
}

pub(super) fn routes() -> Router<State> {
    Router::new().route(&format!("/{FOLDER}/{{secret}}/{{trial}}"), get(receive).put(send))
}

/// What a trial says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    RequestParameter,
    Metric {
        /// The body of a record of the journal.
        metric: String,
    },
}

/// Answered once it is stored.
async fn send(
    extract::State(state): extract::State<State>,
    Named((secret, id)): Named<(String, String)>,
    body: Body,
) -> Result<Response, Failure> {
    let trial = known(&state, &secret, &id)?;
    let body = match input::parse(&input::body(body, &state).await?)? {
        Said::RequestParameter => NEXT.to_owned(),
        Said::Metric { metric } => metric,
    };
    if state.trial(&id).await?.status.is_terminal() {
        return Ok(gone());
    }
    let report = Request::Report {
        trial,
        bodies: vec![body],
    };
    match state.commands.ask(report).await?.problems.into_iter().next() {
        None => Ok(StatusCode::OK.into_response()),
        Some(problem) => {
            // The client does not look.
            tracing::warn!(trial = id, "what the trial says is not taken: {problem}");
            Err(Error::new(ErrorKind::Rejected, problem).into())
        }
    }
}

/// The parameters that were asked for last.
async fn receive(
    extract::State(state): extract::State<State>,
    Named((secret, id)): Named<(String, String)>,
) -> Result<Response, Failure> {
    let trial = known(&state, &secret, &id)?;
    // Listened to before the store is read, so that nothing falls between the two.
    let mut notices = state.commands.manager().map(crate::ManagerHandle::notices);
    let clock = Arc::clone(&state.ctx.clock);
    let mut patience = std::pin::pin!(clock.sleep(PATIENCE));
    loop {
        let of = trial.clone();
        let asked = state
            .readers
            .read(move |reader| reader.requested_parameters(&of))
            .await?;
        if let Some((_, Some(text))) = asked {
            let document = json!({ "type": "parameter", "parameter": &*text });
            return Ok(answer::json(StatusCode::OK, &document));
        }
        if state.trial(&id).await?.status.is_terminal() {
            return Ok(gone());
        }
        tokio::select! {
            () = changed(notices.as_mut(), &trial, &state) => {}
            () = &mut patience => return Ok(StatusCode::REQUEST_TIMEOUT.into_response()),
        }
    }
}

/// Waits until something may have happened to a trial.
async fn changed(notices: Option<&mut broadcast::Receiver<Notice>>, trial: &TrialId, state: &State) {
    let Some(notices) = notices else {
        return state.ctx.clock.sleep(PACE).await;
    };
    loop {
        match notices.recv().await {
            Ok(Notice::Parameters { trial: of, .. } | Notice::Trial { trial: of, .. }) if of == *trial => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            // The manager has ended; what it has stored last is seen by then, or the client asks again.
            Err(RecvError::Closed) => return state.ctx.clock.sleep(PACE).await,
        }
    }
}

/// The trial that an address names, if it holds the secret.
fn known(state: &State, secret: &str, id: &str) -> Result<TrialId> {
    if !state.channel.as_ref().is_some_and(|own| own.is_same(secret.as_bytes())) {
        return Err(Error::new(ErrorKind::NotFound, "there is no such channel"));
    }
    TrialId::new(id).map_err(|_| no_trial(id))
}

/// The trial has ended, and with it its channel.
fn gone() -> Response {
    StatusCode::GONE.into_response()
}
