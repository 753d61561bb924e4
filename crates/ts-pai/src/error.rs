//! OpenPAI's refusals in our own words: one row per code that has advice of its own.
//!
//! The HTTP status alone decides on trying again; the code decides on the kind, for the server gives the same code with several
//! statuses.
//!
//! Source: microsoft/pai v1.8, `src/rest-server/src/utils/error.js`, `error.d.ts`.

use serde::Deserialize;
use serde_json::Value as Json;
use ts_core::{Error, ErrorKind, Retry, http::Reply};

/// Codes that callers ask for.
pub(crate) const NO_JOB: &str = "NoJobError";
pub(crate) const CONFLICT: &str = "ConflictJobError";

#[derive(Debug, Deserialize)]
struct Said {
    code: String,
    message: Json,
}

/// The server's code, if it gave one.
pub(crate) fn code(reply: &Reply) -> Option<String> {
    serde_json::from_slice::<Said>(reply.body()).ok().map(|said| said.code)
}

/// The error of an answer that is no success.
pub(crate) fn of_reply(reply: &Reply) -> Error {
    let Ok(said) = serde_json::from_slice::<Said>(reply.body()) else {
        let error = reply.refused(&reply.said());
        return match reply.status() {
            404 => error.with_help("nothing of OpenPAI is there: compare `host` with the address of the web portal"),
            429 => error.with_help("another client of the same user or machine uses up the cluster's limit; we wait"),
            _ => error,
        };
    };
    let error = reply.refused(&words(&said));
    let Some((kind, help)) = advice(&said.code) else {
        return error.with_context("code", said.code);
    };
    let retry = if kind == error.kind() {
        error.retry()
    } else {
        Retry::Never
    };
    Error::new(kind, error.message())
        .with_retry(retry)
        .with_help(help)
        .with_context("code", said.code)
}

fn advice(code: &str) -> Option<(ErrorKind, &'static str)> {
    Some(match code {
        "UnauthorizedUserError" => (
            ErrorKind::Auth,
            "tokens expire or are revoked: make an application token on the profile page of the web portal and replace it",
        ),
        "IncorrectPasswordError" => (
            ErrorKind::Auth,
            "correct user name or password; where people sign in at another place, there are tokens only",
        ),
        "NoUserError" => (
            ErrorKind::Auth,
            "correct the user name; it is the one that the web portal shows",
        ),
        "ForbiddenUserError" => (
            ErrorKind::Denied,
            "ask the cluster's administrator for the virtual cluster, or name one that is yours",
        ),
        "NoVirtualClusterError" => (
            ErrorKind::Config,
            "correct `virtualCluster`; the home page of the web portal lists those that are yours",
        ),
        "NoStorageError" => (
            ErrorKind::Config,
            "correct the name of the storage; the web portal lists those that are yours",
        ),
        "InvalidProtocolError" => (
            ErrorKind::Rejected,
            "correct what the message names in the job document",
        ),
        "InvalidParametersError" | "BadConfigurationError" => (ErrorKind::Rejected, "correct what the message names"),
        "NoApiError" => (
            ErrorKind::Unsupported,
            "the cluster is older than OpenPAI 1.0, or `host` leads to something else",
        ),
        NO_JOB => (
            ErrorKind::NotFound,
            "the job may have been removed from the cluster's history",
        ),
        CONFLICT => (ErrorKind::Conflict, "a job of that name exists already"),
        _ => return None,
    })
}

/// What the server says to people; of a list of faults in a document each with its place.
fn words(said: &Said) -> String {
    let list = match &said.message {
        Json::String(text) => match serde_json::from_str::<Json>(text) {
            Ok(Json::Array(list)) => list,
            _ => return text.clone(),
        },
        Json::Array(list) => list.clone(),
        other => return other.to_string(),
    };
    let fault = |fault: &Json| {
        let place = fault["dataPath"].as_str().unwrap_or_default();
        let what = fault["message"].as_str().unwrap_or_default();
        format!("{} {what}", place.trim_start_matches('.')).trim().to_owned()
    };
    list.iter().map(fault).collect::<Vec<_>>().join("; ")
}
