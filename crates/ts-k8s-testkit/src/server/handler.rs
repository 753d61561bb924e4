//! From an HTTP request to its answer: who asks, for what, whether they may, what a test wants to go wrong, and then the verb.

use super::auth::{self, User};
use super::call::{Call, Place, Query};
use super::connection::Peer;
use super::failure::Failure;
use super::faults::{self, Fault};
use super::gate::{self, Turn};
use super::log::Request;
use super::shared::Shared;
use super::{create, delete, discovery, exec, logs, pods, read, review, update, watch};
use axum::body::{self, Body};
use axum::extract::{ConnectInfo, Query as UriQuery, State};
use axum::http::request::Parts;
use axum::http::{Request as HttpRequest, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Most bytes of a request's body; kube-apiserver v1.20.2, observed.
const MOST_BODY: usize = 3 << 20;

/// Answers a request, and notes it.
pub(crate) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: HttpRequest<Body>,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let query = Query(
        UriQuery::try_from_uri(&parts.uri)
            .map(|UriQuery(query)| query)
            .unwrap_or_default(),
    );
    let path = parts.uri.path().to_owned();
    let place = Place::parse(&path).filter(|place| !place.plural.is_empty());
    let Noted {
        number,
        user,
        fault,
        turn,
    } = note(&shared, &parts, &query, place.as_ref());
    if let Some(turn) = turn {
        turn.come().await;
    }
    match &fault {
        Some(Fault::Status { code, retry_after }) => {
            return told(&shared, number, overloaded(*code, *retry_after).response());
        }
        Some(Fault::Html) => return told(&shared, number, web_page()),
        Some(Fault::ResetBefore) => {
            peer.reset.cancel();
            return std::future::pending().await;
        }
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::ResetAfter | Fault::CutBody | Fault::CutAfter(_) | Fault::StallAfter(_)) | None => {}
    }
    let answer = if let Ok(bytes) = body::to_bytes(body, MOST_BODY).await {
        answer(&shared, &mut parts, query, place, user, bytes).await
    } else {
        let message = format!("Request entity too large: limit is {MOST_BODY}");
        Err(Failure::new(413, "RequestEntityTooLarge", message))
    };
    let response = answer.unwrap_or_else(|failure| failure.response());
    match fault {
        Some(Fault::ResetAfter) => {
            peer.reset.cancel();
            std::future::pending().await
        }
        Some(Fault::CutBody) => told(&shared, number, cut(response).await),
        Some(Fault::CutAfter(length)) => told(&shared, number, begin_of(response, length, false)),
        Some(Fault::StallAfter(length)) => told(&shared, number, begin_of(response, length, true)),
        _ => told(&shared, number, response),
    }
}

/// A request that is in the log.
struct Noted {
    number: u64,
    user: Option<User>,
    fault: Option<Fault>,
    turn: Option<Turn>,
}

/// Logs the request, and takes the fault and the gate that wait for it.
fn note(shared: &Shared, parts: &Parts, query: &Query, place: Option<&Place>) -> Noted {
    let mut world = shared.world();
    let header = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let user = match header.map(|header| header.strip_prefix("Bearer ").unwrap_or(header)) {
        // Without credentials one is somebody, who may hardly do anything.
        None => Some(User::with_rules("system:anonymous", Vec::new())),
        Some(token) => world.users.iter().find(|user| user.token == token).cloned(),
    };
    let request = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        user: user.as_ref().map(|user| user.name.clone()).unwrap_or_default(),
        verb: place
            .map(|place| place.verb(&parts.method, query).to_owned())
            .unwrap_or_default(),
        resource: place.map(Place::resource).unwrap_or_default(),
        status: 0,
    };
    let fault = faults::take(&mut world.faults, &request);
    let turn = gate::take(&mut world.holds, &request);
    Noted {
        number: world.note(request),
        user,
        fault,
        turn,
    }
}

/// Notes the status of the answer. The log may have been cleared meanwhile.
fn told(shared: &Shared, number: u64, response: Response) -> Response {
    shared.world().answered(number, response.status().as_u16());
    response
}

async fn answer(
    shared: &Arc<Shared>,
    parts: &mut Parts,
    query: Query,
    place: Option<Place>,
    user: Option<User>,
    body: Bytes,
) -> Result<Response, Failure> {
    let user = user.ok_or_else(Failure::unauthorized)?;
    let path = parts.uri.path().to_owned();
    let Some(place) = place else {
        return outside(shared, &user, &path);
    };
    let verb = place.verb(&parts.method, &query);
    if verb.is_empty() {
        return Err(Failure::method_not_allowed());
    }
    // A list by name is a request for that name.
    let by_name = query
        .get("fieldSelector")
        .split(',')
        .find_map(|one| one.strip_prefix("metadata.name="));
    let name = by_name
        .filter(|_| place.name.is_empty())
        .unwrap_or(&place.name)
        .to_owned();
    auth::authorize(&user, &place.attributes(verb, &name))?;
    if place.group == "authorization.k8s.io" {
        return review::answer(&place, verb, &user, &body);
    }
    let kind = {
        let world = shared.world();
        let kind = world
            .kind(&place.group, &place.plural)
            .filter(|kind| kind.versions.contains(&place.version));
        kind.ok_or_else(|| discovery::unserved(&world, &place))?
    };
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let call = Call {
        verb,
        kind,
        place,
        query,
        content_type: content_type.to_owned(),
        body,
    };
    dispatch(shared, call, parts).await
}

/// Everything that is none of a kind's paths.
fn outside(shared: &Shared, user: &User, path: &str) -> Result<Response, Failure> {
    let public = ["/version", "/healthz", "/livez", "/readyz"].contains(&path);
    let known = user.name != "system:anonymous";
    let discovers = known && (path == "/" || path.starts_with("/api"));
    if !public && !discovers && user.rules.is_some() {
        let message = format!("forbidden: User {:?} cannot get path {path:?}", user.name);
        let mut failure = Failure::new(403, "Forbidden", message);
        failure = failure.with(serde_json::json!({}));
        return Err(failure);
    }
    if public && path != "/version" {
        let mut response = Response::new(Body::from("ok"));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            "text/plain; charset=utf-8".parse().expect("a header value"),
        );
        return Ok(response);
    }
    match discovery::answer(&shared.world(), &shared.setting, path) {
        Some(answer) => answer.map(|body| json_response(200, &body)),
        None => Err(Failure::page_not_found()),
    }
}

async fn dispatch(shared: &Arc<Shared>, call: Call, parts: &mut Parts) -> Result<Response, Failure> {
    let subresource = call.place.subresource.as_str();
    if !subresource.is_empty() && !call.kind.subresources().contains(&subresource) {
        return Err(Failure::unknown_resource());
    }
    match (subresource, call.verb) {
        ("log", "get") => return logs::answer(shared, &call),
        ("exec", "get") => return exec::answer(shared, &call, parts).await,
        ("exec", "create") => return Err(Failure::bad_request("Upgrade request required")),
        ("", "watch") => return watch::start(shared, call),
        _ => {}
    }
    check_scope(&call)?;
    let mut world = shared.world();
    let (code, body) = match (subresource, call.verb) {
        ("binding", "create") => pods::bind(&mut world, &call)?,
        ("eviction", "create") => pods::evict(&mut world, &call)?,
        ("" | "status", "get") => read::get(&world, &call)?,
        ("" | "status", "update") => update::update(&mut world, &call)?,
        ("" | "status", "patch") => update::patch(&mut world, &call)?,
        ("", "list") => read::list(&world, &call)?,
        ("", "create") => create::create(&mut world, &call)?,
        ("", "delete") => delete::delete(&mut world, &call)?,
        ("", "deletecollection") => delete::delete_collection(&mut world, &call)?,
        _ => return Err(Failure::method_not_allowed()),
    };
    Ok(json_response(code, &body))
}

/// What can only be done with a name, or only without, and within a namespace.
fn check_scope(call: &Call) -> Result<(), Failure> {
    let named = !call.place.name.is_empty();
    let homeless = call.kind.namespaced && call.place.namespace.is_empty();
    let misplaced = !call.kind.namespaced && !call.place.namespace.is_empty() && !call.kind.is("Namespace");
    if misplaced || (homeless && named) {
        return Err(Failure::unknown_resource());
    }
    let wrong = match call.verb {
        "create" => (named && call.place.subresource.is_empty()) || homeless,
        "update" | "patch" => !named,
        "deletecollection" => homeless,
        _ => false,
    };
    if wrong {
        Err(Failure::method_not_allowed())
    } else {
        Ok(())
    }
}

/// An answer with a body.
pub(crate) fn json_response(code: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        "application/json".parse().expect("a header value"),
    );
    response
}

/// Source: kubernetes v1.20, `NewGenericServerResponse` in `apimachinery/pkg/api/errors/errors.go`, `tooManyRequests` in
/// `apiserver/pkg/server/filters/maxinflight.go`.
fn overloaded(code: u16, retry_after: Option<u32>) -> Failure {
    let (reason, message) = match code {
        429 => ("TooManyRequests", "Too many requests, please try again later."),
        500 => ("InternalError", "Internal error occurred: etcdserver: leader changed"),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => (
            "Timeout",
            "Timeout: request did not complete within the allotted timeout",
        ),
        401 => ("Unauthorized", "Unauthorized"),
        // `checkQuotas` in `plugin/pkg/admission/resourcequota/controller.go`, where others were faster each time.
        409 => (
            "Conflict",
            "Operation cannot be fulfilled on resourcequotas \"counts\": the object has been modified; please apply your \
             changes to the latest version and try again",
        ),
        _ => ("", "the server said no"),
    };
    let mut failure = Failure::new(code, reason, message);
    failure = failure.with(serde_json::json!({}));
    failure.retry_after = retry_after;
    failure
}

fn web_page() -> Response {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>";
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, "text/html".parse().expect("a header value"));
    response
}

/// The answer's first half, and then no more.
async fn cut(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half = bytes.slice(..bytes.len() / 2);
    let broken = stream::once(async move { Ok(half) }).chain(stream::once(async {
        sent().await;
        Err(std::io::Error::other("the answer was cut"))
    }));
    Response::from_parts(parts, Body::from_stream(broken))
}

/// So much of the answer as it comes, and then no more: it is cut, or nothing says that.
fn begin_of(response: Response, length: usize, is_silent: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let begin = Some((body.into_data_stream(), length));
    let pieces = stream::unfold(begin, move |state| async move {
        let (mut pieces, left) = state?;
        if left == 0 {
            if is_silent {
                std::future::pending::<()>().await;
            }
            sent().await;
            return Some((Err(std::io::Error::other("the answer was cut")), None));
        }
        match pieces.next().await? {
            Ok(mut piece) => {
                piece.truncate(left);
                let left = left - piece.len();
                Some((Ok(piece), Some((pieces, left))))
            }
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// Waits until what was written is on its way: hyper throws away what it still holds when a body fails.
async fn sent() {
    tokio::time::sleep_until(Instant::now() + Duration::from_millis(20)).await;
}
