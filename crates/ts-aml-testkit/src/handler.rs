//! From an HTTP request to its answer: which part of the platform it is for, what a test wants to go wrong, and then that part.

use crate::{
    arm, blob,
    call::{self, Call},
    clock,
    connection::Peer,
    entra,
    faults::{self, Fault},
    history, imds,
    log::{Area, Request},
    metrics, mlflow, open,
    reply::Reply,
    shared::Shared,
    world::ACCOUNT,
};
use axum::{
    body::{self, Body},
    extract::{ConnectInfo, State},
    http::Request as HttpRequest,
    response::Response,
};
use futures_util::{StreamExt as _, stream};
use std::{io, sync::Arc};

/// Most bytes of a request's body: a block of a block blob may have 4000 MiB, more than a test has.
const MOST_BODY: usize = 512 << 20;

/// Answers a request, and notes it.
pub(crate) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: HttpRequest<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = body::to_bytes(body, MOST_BODY).await else {
        peer.reset.cancel();
        return std::future::pending().await;
    };
    let path = Call::segments(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let call = Call {
        area: area(&path),
        method: parts.method.to_string(),
        query: call::pairs(query),
        path,
        headers: parts.headers,
        body: bytes,
    };
    let head = call.method == "HEAD";
    let request = Request {
        area: call.area,
        method: call.method.clone(),
        path: parts.uri.path().to_owned(),
        query: query.to_owned(),
        body: String::from_utf8(call.body.to_vec()).unwrap_or_default(),
        status: 0,
    };
    let (number, fault) = {
        let mut world = shared.world();
        let fault = faults::take(&mut world.faults, &request);
        world.requests.push(request);
        (world.requests.len() - 1, fault)
    };
    let told = |reply: Reply| {
        let mut world = shared.world();
        // The log may have been cleared meanwhile.
        if let Some(request) = world.requests.get_mut(number) {
            request.status = reply.status;
        }
        reply.response(head)
    };
    match &fault {
        Some(Fault::Status { code, retry_after }) => {
            let reply = Reply::refused(call.area, *code);
            return told(match retry_after {
                Some(seconds) => reply.with("retry-after", seconds.to_string()),
                None => reply,
            });
        }
        Some(Fault::ThrottledByArm { retry_after }) => return told(arm::throttled(&call, *retry_after)),
        Some(Fault::ThrottledByService) => return told(Reply::refused(call.area, 429)),
        Some(Fault::Html) => return told(web_page()),
        Some(Fault::ResetBefore) => {
            peer.reset.cancel();
            return std::future::pending().await;
        }
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::Slow(duration)) => clock::sleep(*duration).await,
        Some(Fault::ResetAfter | Fault::CutBody) | None => {}
    }
    let reply = answer(&shared, &call);
    match fault {
        Some(Fault::ResetAfter) => {
            peer.reset.cancel();
            std::future::pending().await
        }
        Some(Fault::CutBody) => cut(told(reply)).await,
        _ => told(reply),
    }
}

/// The part of the platform that a path is for. On the real one it is told by the host.
fn area(path: &[String]) -> Area {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match parts[..] {
        [first, ..] if first.eq_ignore_ascii_case("subscriptions") => Area::Arm,
        ["metadata", "identity", ..] | ["MSI", ..] => Area::Imds,
        ["metadata", "endpoints"] | ["discovery", ..] => Area::Open,
        ["history" | "metric", ..] => Area::History,
        ["mlflow", ..] => Area::Mlflow,
        [account, ..] if account == ACCOUNT => Area::Blob,
        _ => Area::Entra,
    }
}

fn answer(shared: &Arc<Shared>, call: &Call) -> Reply {
    match call.area {
        Area::Entra => entra::answer(shared, call),
        Area::Imds => imds::answer(shared, call),
        Area::Arm => arm::answer(shared, call),
        Area::History if call.path[0] == "metric" => metrics::answer(shared, call),
        Area::History => history::answer(shared, call),
        Area::Mlflow => mlflow::answer(shared, call),
        Area::Blob => blob::answer(shared, call),
        Area::Open => open::answer(shared, call),
    }
}

fn web_page() -> Reply {
    Reply {
        status: 502,
        headers: vec![("content-type", "text/html".to_owned())],
        metadata: Vec::new(),
        body: "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>".into(),
    }
}

async fn cut(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half = bytes.slice(..bytes.len() / 2);
    let broken = stream::once(async move { Ok(half) })
        .chain(stream::once(async { Err(io::Error::other("the answer was cut")) }));
    Response::from_parts(parts, Body::from_stream(broken))
}
