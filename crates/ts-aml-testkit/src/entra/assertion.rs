//! Assertions by which an application shows who it is: signed by its certificate, or by an issuer that it trusts.
//!
//! Those by a certificate are verified; of others' tokens only form and claims are checked, for no key of theirs is known here.

use crate::{clock, reply::Reply, shared::Shared};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, pem::PemObject as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use webpki::{
    EndEntityCert,
    ring::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY},
};

/// Source: "Microsoft identity platform application authentication certificate credentials", and "Workload identity federation",
/// Microsoft Learn, for the claims.
pub(super) fn check(shared: &Shared, tenant: &str, assertion: &str) -> Result<(), Reply> {
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return Err(malformed());
    };
    let signed = format!("{header}.{claims}");
    let (header, claims) = (decode(header)?, decode(claims)?);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    if signature.is_empty() || !matches!(header["alg"].as_str(), Some("RS256" | "PS256")) {
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
        by_certificate(shared, tenant, &header, &claims, (&signed, &signature))
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

fn by_certificate(
    shared: &Shared,
    tenant: &str,
    header: &Value,
    claims: &Value,
    (signed, signature): (&str, &[u8]),
) -> Result<(), Reply> {
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
    // The older `x5t`, of SHA-1, is taken by the real service, too, and not known here.
    let thumbprint = header["x5t#S256"].as_str().unwrap_or_default();
    let certificates = shared.setting.certificates.iter().flat_map(|pem| certificates(pem));
    let Some(known) = certificates
        .into_iter()
        .find(|known| URL_SAFE_NO_PAD.encode(Sha256::digest(known)) == thumbprint)
    else {
        return Err(unverified("The key was not found.", thumbprint));
    };
    let algorithm: &dyn SignatureVerificationAlgorithm = match header["alg"].as_str() {
        Some("PS256") => RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        _ => RSA_PKCS1_2048_8192_SHA256,
    };
    let certificate = EndEntityCert::try_from(&known);
    match certificate.map(|known| known.verify_signature(algorithm, signed.as_bytes(), signature)) {
        Ok(Ok(())) => Ok(()),
        _ => Err(unverified(
            "The key was found, but use of the key to verify the signature failed.",
            thumbprint,
        )),
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).flatten().collect()
}

/// Source of the words: AADSTS700027, "Microsoft Entra authentication and authorization error codes", Microsoft Learn.
fn unverified(why: &str, thumbprint: &str) -> Reply {
    let text = format!(
        "Client assertion contains an invalid signature. [Reason - {why}, Thumbprint of key used by client: '{thumbprint}']"
    );
    Reply::entra(401, "invalid_client", 700_027, &text)
}

fn decode(part: &str) -> Result<Value, Reply> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed())?;
    serde_json::from_slice(&bytes).map_err(|_| malformed())
}

fn malformed() -> Reply {
    Reply::entra(401, "invalid_client", 50_027, "JWT token is invalid or malformed.")
}
