//! Assertions by which an application shows who it is: signed by its certificate, or by an issuer that it trusts.
//!
//! Their form and claims are checked, the signature is not: no key of the client is known here.

use crate::{clock, reply::Reply, shared::Shared};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// Source: "Microsoft identity platform application authentication certificate credentials", and "Workload identity federation",
/// Microsoft Learn, for the claims.
pub(super) fn check(shared: &Shared, tenant: &str, assertion: &str) -> Result<(), Reply> {
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return Err(malformed());
    };
    let (header, claims) = (decode(header)?, decode(claims)?);
    let is_signed = URL_SAFE_NO_PAD.decode(signature).is_ok_and(|bytes| !bytes.is_empty());
    if !is_signed || !matches!(header["alg"].as_str(), Some("RS256" | "PS256")) {
        return Err(malformed());
    }
    let now = clock::now().as_second();
    let ends = claims["exp"].as_i64().ok_or_else(malformed)?;
    let begins = claims["nbf"].as_i64().unwrap_or(now);
    // Five minutes of difference between clocks.
    if ends < now - 300 || begins > now + 300 {
        let text = "Client assertion is not within its valid time range.";
        return Err(Reply::entra(401, "invalid_client", 700_024, text));
    }
    let text = |claim: &str| claims[claim].as_str().unwrap_or_default();
    if text("iss") == shared.setting.client_id {
        by_certificate(shared, tenant, &header, &claims)
    } else {
        let trusted = shared.setting.federated.as_ref();
        let is_trusted = trusted.is_some_and(|(issuer, subject)| text("iss") == issuer && text("sub") == subject);
        // Source: "Workload identity federation", for the audience.
        if is_trusted && text("aud") == "api://AzureADTokenExchange" {
            return Ok(());
        }
        let text = "No matching federated identity record found for presented assertion.";
        Err(Reply::entra(401, "invalid_client", 70_021, text))
    }
}

fn by_certificate(shared: &Shared, tenant: &str, header: &Value, claims: &Value) -> Result<(), Reply> {
    let text = |claim: &str| claims[claim].as_str().unwrap_or_default();
    if text("sub") != text("iss") || text("jti").is_empty() {
        return Err(malformed());
    }
    let base = &shared.base;
    let audiences = [
        format!("{base}/{tenant}/oauth2/v2.0/token"),
        format!("{base}/{tenant}/v2.0"),
    ];
    if !audiences.iter().any(|audience| audience == text("aud")) {
        let text = "Client assertion audience claim does not match Realm issuer.";
        return Err(Reply::entra(401, "invalid_client", 700_023, text));
    }
    let names = ["x5t", "x5t#S256"];
    let thumbprint = names.iter().find_map(|name| header[*name].as_str()).unwrap_or_default();
    if shared.setting.certificates.iter().any(|known| known == thumbprint) {
        return Ok(());
    }
    let text = format!(
        "Client assertion contains an invalid signature. [Reason - The key was not found., Thumbprint of key used by client: \
         '{thumbprint}']"
    );
    Err(Reply::entra(401, "invalid_client", 700_027, &text))
}

fn decode(part: &str) -> Result<Value, Reply> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed())?;
    serde_json::from_slice(&bytes).map_err(|_| malformed())
}

fn malformed() -> Reply {
    Reply::entra(401, "invalid_client", 50_027, "JWT token is invalid or malformed.")
}
