//! DLTS' refusals in our own words.
//!
//! The dashboard answers errors as plain text; the cluster's own errors come in successful answers of its dashboard.
//!
//! Source: microsoft/DLWorkspace, `src/dashboard/server/api/middlewares/user.js`, `services/cluster.js`;
//! `src/utils/JobRestAPIUtils.py`.

use ts_core::{Error, ErrorKind, Retry, http::Reply};

/// The error of an answer that is no success.
pub(crate) fn of_reply(reply: &Reply) -> Error {
    let said = reply.said();
    let error = reply.refused(&said);
    let (kind, key, help) = match (reply.status(), said.as_str()) {
        (403, "Invalid token") => (
            ErrorKind::Auth,
            "password",
            "the token belongs to one `email`: copy both from the dashboard",
        ),
        (403, _) => (
            ErrorKind::Auth,
            "password",
            "set `email` and `password`, or run within a job of DLTS, where both are known",
        ),
        (404, "Team is not found") => (
            ErrorKind::NotFound,
            "team",
            "the dashboard lists your teams; write one of them",
        ),
        (404, "Cluster is not found") => (
            ErrorKind::NotFound,
            "cluster",
            "the dashboard lists its clusters; write one of them, or remove the key",
        ),
        (404, _) => (
            ErrorKind::NotFound,
            "dashboard",
            "nothing of DLTS is there: compare `dashboard` with the address of the dashboard",
        ),
        _ => return error,
    };
    Error::new(kind, error.message())
        .with_retry(error.retry())
        .with_key(key)
        .with_help(help)
}

/// The error of a job that the cluster did not make, in its own words.
pub(crate) fn of_refused_job(said: &str) -> Error {
    // Its database fails, or has a job with this id: ours, whose answer was lost.
    if said.contains("Cannot add job into database") {
        return Error::new(ErrorKind::Unreachable, format!("DLTS made no job: {}", said.trim()))
            .with_retry(Retry::MaybeApplied { after: None });
    }
    let (kind, help) = if said.contains("Access Denied") {
        (
            ErrorKind::Denied,
            "write a `team` that you are a member of, and ask its administrator for the right to submit",
        )
    } else {
        (ErrorKind::Rejected, "correct what the message names")
    };
    Error::new(kind, format!("DLTS made no job: {}", said.trim()))
        .with_retry(Retry::Never)
        .with_help(help)
}
