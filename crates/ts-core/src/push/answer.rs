//! From a request to its answer.

use super::{
    body,
    listener::Shared,
    request::{Request, unhex},
    store::Inbox,
};
use crate::TrialId;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header,
};
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::io::AsyncReadExt as _;

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_mins(1);
/// How long a worker is let wait for news, and how often we look for some.
const WAIT: (Duration, Duration) = (Duration::from_secs(20), Duration::from_millis(250));
/// Bytes that are read of a file at a time.
const READ: usize = 64 * 1024;

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

fn said(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

/// Answers a request, whatever it is.
pub(super) async fn answer(shared: &Arc<Shared>, request: hyper::Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let given = tokio::select! {
        given = body::read(body, &shared.token) => given,
        () = shared.ctx.clock.sleep(BODY_TIME) => Err(StatusCode::REQUEST_TIMEOUT),
    };
    let piece = match given {
        Ok(piece) => piece,
        Err(status) => {
            tracing::debug!(%status, "a request to the push listener is refused");
            return said(status, "");
        }
    };
    let query = head.uri.query().unwrap_or_default();
    let asked = Request::parse(head.uri.path(), query).filter(|_| head.method == Method::POST);
    let Some(asked) = asked else {
        return said(StatusCode::BAD_REQUEST, "");
    };
    match carry_out(shared, asked, piece).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%error, "what a trial pushed is not stored; it tries again");
            said(StatusCode::INTERNAL_SERVER_ERROR, "")
        }
    }
}

async fn carry_out(shared: &Arc<Shared>, asked: Request, piece: Vec<u8>) -> io::Result<Answer> {
    let store = Arc::clone(&shared.store);
    let tasks = &shared.ctx.tasks;
    let text = match asked {
        Request::Read(name) => {
            return match store.readable(&name) {
                Some(path) => file(&path).await,
                None => Ok(said(StatusCode::BAD_REQUEST, "")),
            };
        }
        Request::Append {
            trial,
            name,
            offset,
            is_hex,
        } => {
            let piece = if is_hex { unhex(&piece) } else { Some(piece) };
            let Some(piece) = piece else {
                return Ok(said(StatusCode::BAD_REQUEST, ""));
            };
            let stored = tasks
                .blocking(move || store.append(&trial, &name, offset, &piece))
                .await?;
            stored.map_or_else(gone, |length| format!("{length}\n"))
        }
        Request::Claim { trial, by } => match tasks.blocking(move || store.claim(&trial, &by)).await? {
            Some(true) => "yes\n".to_owned(),
            Some(false) => "no\n".to_owned(),
            None => gone(),
        },
        Request::Wait { trial, have } => match news(shared, &trial, have).await? {
            Some(inbox) => {
                let cancel = inbox.is_canceled.then_some("cancel\n");
                let names = inbox.parameters.iter().flat_map(|name| [name.as_str(), "\n"]);
                cancel.into_iter().chain(names).collect()
            }
            None => gone(),
        },
    };
    Ok(said(StatusCode::OK, text))
}

fn gone() -> String {
    "gone\n".to_owned()
}

async fn news(shared: &Arc<Shared>, trial: &TrialId, have: usize) -> io::Result<Option<Inbox>> {
    let until = shared.ctx.clock.monotonic() + WAIT.0;
    loop {
        let (store, own) = (Arc::clone(&shared.store), trial.clone());
        let Some(inbox) = shared.ctx.tasks.blocking(move || store.inbox(&own)).await? else {
            return Ok(None);
        };
        if inbox.is_canceled || inbox.parameters.len() > have {
            return Ok(Some(inbox));
        }
        if shared.ctx.clock.monotonic() >= until {
            return Ok(Some(Inbox::default()));
        }
        shared.ctx.clock.sleep(WAIT.1).await;
    }
}

/// A file, piece by piece.
async fn file(path: &Path) -> io::Result<Answer> {
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(said(StatusCode::NOT_FOUND, "")),
        Err(e) => return Err(e),
    };
    let length = file.metadata().await?.len();
    let pieces = stream::try_unfold(file.take(length), |mut file| async move {
        let mut piece = Vec::with_capacity(READ);
        let n = (&mut file).take(READ as u64).read_to_end(&mut piece).await?;
        io::Result::Ok((n > 0).then(|| (Bytes::from(piece), file)))
    });
    let frames = pieces.map(|piece| piece.map(Frame::data));
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    // With it a reader sees that an answer was cut.
    answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(answer)
}
