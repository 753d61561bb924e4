//! The assertion by which an application shows that it has the key of one of its certificates.
//!
//! Source: "Microsoft identity platform application authentication certificate credentials", Microsoft Learn.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use ts_core::{Error, ErrorKind, Result, Secret, Timestamp};

/// How long an assertion is good for.
const LIFE: Duration = Duration::from_mins(10);
const SIGNED: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

/// What an assertion says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims<'a> {
    /// Where the token is asked for.
    pub(super) audience: &'a str,
    /// Id of the application.
    pub(super) client: &'a str,
    /// Never used again.
    pub(super) id: &'a str,
    pub(super) now: Timestamp,
}

/// Signs `claims` with the key of `pem`, which holds the key and its certificate.
///
/// # Errors
/// `Config` if there are not both in it, or they do not belong together.
pub(super) fn assertion(pem: &Secret, claims: Claims<'_>) -> Result<Secret> {
    let text = pem.expose();
    if text.contains("ENCRYPTED") {
        return Err(unusable("the key in it is encrypted"));
    }
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(text.as_bytes()).flatten().collect();
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| unusable("there is no private key in it"))?;
    let key = any_supported_type(&key).map_err(|_| unusable("its key is of a kind that is not understood"))?;
    let pair = CertifiedKey::new(certificates, key);
    // Others may be those of authorities.
    let certificate = pair
        .cert
        .first()
        .ok_or_else(|| unusable("there is no certificate in it"))?;
    if pair.keys_match().is_err() {
        return Err(unusable("its first certificate is not that of its key"));
    }
    let signer = pair.key.choose_scheme(&[SIGNED]);
    let signer = signer.ok_or_else(|| unusable("its key is no RSA key, and Entra ID takes no other"))?;
    let seconds = claims.now.0 / 1000;
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": URL_SAFE_NO_PAD.encode(Sha256::digest(certificate)),
    });
    let body = json!({
        "aud": claims.audience,
        "iss": claims.client,
        "sub": claims.client,
        "jti": claims.id,
        "nbf": seconds,
        "exp": seconds + i64::try_from(LIFE.as_secs()).unwrap_or_default(),
    });
    let message = format!("{}.{}", part(header), part(body));
    let signature = signer
        .sign(message.as_bytes())
        .map_err(|e| Error::new(ErrorKind::Internal, "the login cannot be signed").with_source(e))?;
    Ok(Secret::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// Says nothing of the content.
fn unusable(why: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("the client certificate cannot be used: {why}"),
    )
    .with_key("clientCertificate")
    .with_help(super::PEM_HELP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLICATION: &str = include_str!("../../../../ts-aml-testkit/certificates/application.pem");
    const STRANGER: &str = include_str!("../../../../ts-aml-testkit/certificates/stranger.pem");

    fn sign(pem: &str) -> Result<Secret> {
        let claims = Claims {
            audience: "https://login.example/token",
            client: "app",
            id: "1",
            now: Timestamp(5_000),
        };
        assertion(&Secret::new(pem), claims)
    }

    #[test]
    fn key_and_certificate_are_needed_and_belong_together() {
        assert_eq!(sign(APPLICATION).unwrap().expose().split('.').count(), 3);
        let (key, certificate) = APPLICATION.split_at(APPLICATION.find("-----BEGIN CERTIFICATE").unwrap());
        let (_, other) = STRANGER.split_at(STRANGER.find("-----BEGIN CERTIFICATE").unwrap());
        let locked = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        for (pem, expected) in [
            (key.to_owned(), "no certificate"),
            (certificate.to_owned(), "no private key"),
            (format!("{key}{other}"), "not that of its key"),
            (format!("{locked}{certificate}"), "encrypted"),
            ("\u{0}PFX".to_owned(), "no private key"),
        ] {
            let error = sign(&pem).unwrap_err();
            assert!(error.message().contains(expected), "{error}");
            assert!(!error.to_string().contains(&key[40..60]));
        }
    }
}
