//! Conditional headers.
//!
//! Source: "Specifying conditional headers for Blob service operations", Microsoft Learn.

use super::store::Blob;
use crate::{call::Call, clock, reply::Reply};

/// Whether a read goes on: 304 for what has not changed, 412 for what is not as wished.
pub(super) fn for_reading(call: &Call, blob: &Blob) -> Result<(), Reply> {
    check(call, Some(blob), true)
}

/// Whether a write goes on.
pub(super) fn for_writing(call: &Call, blob: Option<&Blob>) -> Result<(), Reply> {
    check(call, blob, false)
}

fn check(call: &Call, blob: Option<&Blob>, is_read: bool) -> Result<(), Reply> {
    let not_met = || {
        Reply::blob(
            412,
            "ConditionNotMet",
            "The condition specified using HTTP conditional header(s) is not met.",
        )
    };
    let unchanged = |blob: &Blob| {
        if is_read {
            Reply::empty(304)
                .with("etag", blob.etag.clone())
                .with("x-ms-error-code", "ConditionNotMet")
        } else {
            not_met()
        }
    };
    let time = |name: &str| call.header(name).and_then(clock::parse_http_date);
    if let Some(wanted) = call.header("if-match") {
        let fits = |blob: &Blob| wanted == "*" || wanted == blob.etag;
        if !blob.is_some_and(fits) {
            return Err(not_met());
        }
    }
    let Some(blob) = blob else { return Ok(()) };
    if let Some(unwanted) = call.header("if-none-match") {
        if unwanted == "*" && !is_read {
            return Err(Reply::blob(
                409,
                "BlobAlreadyExists",
                "The specified blob already exists.",
            ));
        }
        if unwanted == "*" || unwanted == blob.etag {
            return Err(unchanged(blob));
        }
    }
    // Times in headers are whole seconds.
    let modified = blob.modified.as_second();
    if time("if-modified-since").is_some_and(|since| modified <= since.as_second()) {
        return Err(unchanged(blob));
    }
    if time("if-unmodified-since").is_some_and(|since| modified > since.as_second()) {
        return Err(not_met());
    }
    Ok(())
}
