//! Shared access signatures: making them, and checking them.
//!
//! Source: "Create a service SAS", Microsoft Learn, for the fields, their order in what is signed, and the permissions.

use super::{auth::hmac, store::Store};
use crate::{
    call::{Call, encode},
    clock,
    reply::Reply,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use std::time::Duration;

/// What a SAS is to allow.
#[derive(Debug)]
pub(crate) struct Grant {
    container: String,
    blob: Option<String>,
    permissions: &'static str,
    life: Duration,
}

impl Grant {
    /// For all blobs of a container.
    pub(crate) fn container(container: &str, permissions: &'static str, life: Duration) -> Self {
        Self {
            container: container.to_owned(),
            blob: None,
            permissions,
            life,
        }
    }

    /// For one blob.
    pub(crate) fn blob(container: &str, blob: &str, permissions: &'static str, life: Duration) -> Self {
        Self {
            blob: Some(blob.to_owned()),
            ..Self::container(container, permissions, life)
        }
    }
}

/// The version whose form of signing is used here.
const VERSION: &str = "2021-08-06";

/// The query of a SAS, without a question mark.
pub(crate) fn sign(store: &Store, grant: &Grant) -> String {
    // Five minutes for clocks that differ.
    let start = clock::seconds(clock::now() - jiff::SignedDuration::from_mins(5));
    let end = clock::seconds(clock::after(grant.life));
    let kind = if grant.blob.is_some() { "b" } else { "c" };
    let query = [
        ("sv", VERSION.to_owned()),
        ("st", start),
        ("se", end),
        ("sr", kind.to_owned()),
        ("sp", grant.permissions.to_owned()),
    ];
    let resource = resource(store, &grant.container, grant.blob.as_deref());
    let text = to_sign(&resource, |name| {
        let found = query.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    });
    let signature = STANDARD.encode(hmac(&store.key, text.unwrap_or_default().as_bytes()));
    let mut parts: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    parts.push(format!("sig={}", encode(&signature)));
    parts.join("&")
}

fn resource(store: &Store, container: &str, blob: Option<&str>) -> String {
    let blob = blob.map(|blob| format!("/{blob}")).unwrap_or_default();
    format!("/blob/{}/{container}{blob}", store.account)
}

/// What is signed, for the versions whose form is known here.
fn to_sign(resource: &str, field: impl Fn(&str) -> String) -> Option<String> {
    let version = field("sv");
    let mut fields = vec![field("sp"), field("st"), field("se"), resource.to_owned(), field("si")];
    fields.extend(["sip", "spr", "sv", "sr"].map(&field));
    // The time of a snapshot, and since 2020-12-06 the scope of encryption.
    fields.push(String::new());
    // Versions are dates, which order as text.
    if version.as_str() < "2018-11-09" {
        return None;
    }
    if version.as_str() >= "2020-12-06" {
        fields.push(field("ses"));
    }
    fields.extend(["rscc", "rscd", "rsce", "rscl", "rsct"].map(&field));
    Some(fields.join("\n"))
}

/// Checks the SAS of a request that needs one of these permissions.
pub(super) fn check(
    store: &Store,
    call: &Call,
    container: &str,
    blob: Option<&str>,
    needed: &str,
) -> Result<(), Reply> {
    let field = |name: &str| call.query(name).unwrap_or_default().to_owned();
    let refused = |detail: &str| {
        let text = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly \
                    including the signature.";
        Err(Reply::blob(403, "AuthenticationFailed", &format!("{text} {detail}")))
    };
    let scope = match field("sr").as_str() {
        "c" => resource(store, container, None),
        "b" if blob.is_some() => resource(store, container, blob),
        _ => return refused("The resource of the signature does not match."),
    };
    let Some(text) = to_sign(&scope, field) else {
        return refused("The version of the signature is not supported.");
    };
    if field("sig") != STANDARD.encode(hmac(&store.key, text.as_bytes())) {
        return refused("Signature did not match.");
    }
    let now = clock::now();
    let Some(end) = moment(&field("se")) else {
        return refused("se is mandatory. Cannot be empty");
    };
    let is_early = moment(&field("st")).is_some_and(|start| now < start);
    if is_early || now >= end {
        return refused("Signature not valid in the specified time frame.");
    }
    if field("spr") == "https" && !call.headers.contains_key("x-forwarded-proto") {
        let text = "This request is not authorized to perform this operation using this protocol.";
        return Err(Reply::blob(403, "AuthorizationProtocolMismatch", text));
    }
    let permissions = field("sp");
    if needed.chars().any(|one| permissions.contains(one)) {
        return Ok(());
    }
    let text = "This request is not authorized to perform this operation using this permission.";
    Err(Reply::blob(403, "AuthorizationPermissionMismatch", text))
}

/// Source: "Create a service SAS": ISO 8601 in UTC, as a day, to the minute, or to the second.
fn moment(text: &str) -> Option<Timestamp> {
    let full = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        17 => format!("{}:00Z", text.strip_suffix('Z')?),
        _ => text.to_owned(),
    };
    full.parse().ok()
}
