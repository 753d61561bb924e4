//! Who may do what with a blob: by SAS, by token, or by the account's key.

use super::{sas, store::Store};
use crate::{
    call::Call,
    entra::tokens::{Audience, Bad},
    reply::Reply,
    world::World,
};
use axum::http::HeaderName;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// Refuses a request that has none of the permissions, each a letter of a SAS.
pub(super) fn check(
    world: &World,
    call: &Call,
    container: &str,
    blob: Option<&str>,
    needed: &str,
) -> Result<(), Reply> {
    if call.query("sig").is_some() {
        return sas::check(&world.blobs, call, container, blob, needed);
    }
    if let Some(token) = call.bearer() {
        return bearer(world, call, token);
    }
    let shared_key = call
        .header("authorization")
        .and_then(|value| value.strip_prefix("SharedKey "));
    if let Some(value) = shared_key {
        let expected = format!("{}:{}", world.blobs.account, shared_key_signature(&world.blobs, call));
        if value == expected {
            return Ok(());
        }
        let text = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly \
                    including the signature.";
        return Err(Reply::blob(403, "AuthenticationFailed", text));
    }
    // Source: "Status and error codes", `NoAuthenticationInformation`.
    let text =
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.";
    Err(Reply::blob(401, "NoAuthenticationInformation", text)
        .with("www-authenticate", "Bearer resource_id=https://storage.azure.com"))
}

fn bearer(world: &World, call: &Call, token: &str) -> Result<(), Reply> {
    // Source: "Authorize with Microsoft Entra ID", Microsoft Learn: version 2017-11-09 or later in a header.
    if call.header("x-ms-version").is_none_or(|version| version < "2017-11-09") {
        let text =
            "Server failed to authenticate the request. Authentication scheme Bearer is not supported in this version.";
        return Err(Reply::blob(403, "AuthenticationFailed", text));
    }
    world.tokens.check(token, Audience::Storage).map_err(|bad| {
        let detail = match bad {
            Bad::Audience(_) => "Audience validation failed. Audience did not match.",
            Bad::Expired => "Lifetime validation failed. The token is expired.",
            Bad::Unknown => "Signature validation failed.",
        };
        let text = format!("Server failed to authenticate the request. {detail}");
        Reply::blob(401, "InvalidAuthenticationInfo", &text)
            .with("www-authenticate", "Bearer resource_id=https://storage.azure.com")
    })
}

/// Source: "Authorize with Shared Key", Microsoft Learn, version 2015-02-21 and later.
fn shared_key_signature(store: &Store, call: &Call) -> String {
    let header = |name: &str| call.header(name).unwrap_or_default().to_owned();
    let mut lines = vec![call.method.clone()];
    for name in [
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
        "date",
    ] {
        lines.push(match header(name).as_str() {
            "0" if name == "content-length" => String::new(),
            value => value.to_owned(),
        });
    }
    for name in [
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ] {
        lines.push(header(name));
    }
    let names = call.headers.keys().map(HeaderName::as_str);
    let mut extra: Vec<&str> = names.filter(|name| name.starts_with("x-ms-")).collect();
    extra.sort_unstable();
    lines.extend(extra.into_iter().map(|name| format!("{name}:{}", header(name))));
    // In addresses with the account in the path its name stands twice.
    let path: Vec<String> = call.path.iter().map(|segment| crate::call::encode(segment)).collect();
    lines.push(format!("/{}/{}", store.account, path.join("/")));
    let mut query: Vec<(String, &str)> = call
        .query
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_str()))
        .collect();
    query.sort();
    lines.extend(query.into_iter().map(|(name, value)| format!("{name}:{value}")));
    STANDARD.encode(hmac(&store.key, lines.join("\n").as_bytes()))
}

/// HMAC with SHA-256 for a key of one block. Source: RFC 2104.
pub(super) fn hmac(key: &[u8; 64], text: &[u8]) -> Vec<u8> {
    let padded = |with: u8| key.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    let outer = Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize();
    outer.to_vec()
}

#[cfg(test)]
mod tests {
    use super::hmac;

    /// Source: `hmac` and `hashlib` of Python 3.11 with a key of 64 bytes `a`.
    #[test]
    fn the_digest_is_that_of_others() {
        let hex = |byte: u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap());
        let digest: String = hmac(&[b'a'; 64], b"text").into_iter().flat_map(hex).collect();
        assert_eq!(
            digest,
            "ca0bbc7dfa99fa4fb6d2071aebe288238850d1d8f6606ee72efc4cb71b9d00b3"
        );
    }
}
