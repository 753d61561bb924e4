//! Entra ID and managed identities.

use crate::client::{World, entra, post_form, send, token};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use ts_aml_testkit::{AmlServer, Setting};

/// Key and certificate, worth nothing elsewhere.
const APPLICATION: &str = include_str!("../../certificates/application.pem");
const STRANGER: &str = include_str!("../../certificates/stranger.pem");

const PUBLIC_CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const ARM: &str = "https://management.azure.com/.default";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn server(change: impl FnOnce(&mut Setting)) -> AmlServer {
    let mut setting = Setting::default();
    change(&mut setting);
    AmlServer::start(setting).await.expect("a server")
}

#[tokio::test]
async fn secrets() {
    let server = server(|_| ()).await;
    let client = server.setting().client_id.clone();
    let secret = server.setting().client_secret.clone();
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", client.as_str()),
        ("client_secret", secret.as_str()),
        ("scope", ARM),
    ];
    let answer = entra(&server, &good).await.expect(200);
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);

    let changed = |name: &str, value: &'static str| {
        let mut form = good;
        form.iter_mut().find(|(key, _)| *key == name).expect("a field").1 = value;
        form
    };
    let without = |name: &str| good.into_iter().filter(|(key, _)| *key != name).collect::<Vec<_>>();
    entra(&server, &changed("client_secret", "wrong"))
        .await
        .entra(401, "invalid_client", 7_000_215);
    entra(&server, &changed("client_id", "other"))
        .await
        .entra(400, "unauthorized_client", 700_016);
    entra(
        &server,
        &changed("scope", "https://management.azure.com/user_impersonation"),
    )
    .await
    .entra(400, "invalid_scope", 1_002_012);
    entra(&server, &changed("scope", "https://nothing.test/.default"))
        .await
        .entra(400, "invalid_resource", 500_011);
    entra(&server, &changed("grant_type", "password"))
        .await
        .entra(400, "unsupported_grant_type", 70_003);
    entra(&server, &without("grant_type"))
        .await
        .entra(400, "invalid_request", 900_144);
    entra(&server, &without("scope"))
        .await
        .entra(400, "invalid_request", 900_144);
    entra(&server, &without("client_secret"))
        .await
        .entra(401, "invalid_client", 7_000_218);
    server.expire_secret();
    entra(&server, &good).await.entra(401, "invalid_client", 7_000_222);

    let url = format!("{}/nobody/oauth2/v2.0/token", server.login());
    post_form(&url, &good).await.entra(400, "invalid_request", 90_002);
    let url = format!("{}/{}/oauth2/v2.0/token", server.login(), server.setting().tenant);
    send("GET", &url, &[], b"")
        .await
        .expect("an answer")
        .entra(400, "invalid_request", 900_561);
}

/// Signed with the key of the application, or of whoever `pem` is.
fn signed_by(pem: &str, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("a key");
    let key = any_supported_type(&key).expect("a key");
    let scheme = match header["alg"].as_str() {
        Some("RS256") => SignatureScheme::RSA_PKCS1_SHA256,
        _ => SignatureScheme::RSA_PSS_SHA256,
    };
    let signer = key.choose_scheme(&[scheme]).expect("an RSA key");
    let signature = signer.sign(message.as_bytes()).expect("a signature");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn assertion(header: &Value, claims: &Value) -> String {
    signed_by(APPLICATION, header, claims)
}

fn thumbprint(pem: &str) -> String {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    URL_SAFE_NO_PAD.encode(Sha256::digest(certificate))
}

#[tokio::test]
async fn assertions() {
    let server = server(|setting| {
        setting.certificates = vec![APPLICATION.to_owned()];
        setting.federated = Some(("https://issuer.test".to_owned(), "system:serviceaccount:a:b".to_owned()));
    })
    .await;
    let client = server.setting().client_id.clone();
    let audience = format!("{}/{}/oauth2/v2.0/token", server.login(), server.setting().tenant);
    let ask = async |assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client.as_str()),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
            ("scope", ARM),
        ];
        entra(&server, &form).await
    };
    let claims = json!({"aud": audience, "iss": client, "sub": client, "jti": "1", "exp": 4_000_000_000_i64});
    let changed = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let header = json!({"alg": "RS256", "x5t#S256": thumbprint(APPLICATION)});
    ask(&assertion(&header, &claims)).await.expect(200);
    let header = json!({"alg": "PS256", "x5t#S256": thumbprint(APPLICATION)});
    ask(&assertion(&header, &claims)).await.expect(200);
    ask(&signed_by(STRANGER, &header, &claims))
        .await
        .entra(401, "invalid_client", 700_027);
    let other = json!({"alg": "RS256", "x5t#S256": thumbprint(STRANGER)});
    ask(&assertion(&other, &claims))
        .await
        .entra(401, "invalid_client", 700_027);
    ask(&assertion(&json!({"alg": "none"}), &claims))
        .await
        .entra(401, "invalid_client", 50_027);
    ask("no.token").await.entra(401, "invalid_client", 50_027);
    ask(&assertion(&header, &changed("exp", json!(1000))))
        .await
        .entra(401, "invalid_client", 700_024);
    ask(&assertion(&header, &changed("aud", json!("https://else.test"))))
        .await
        .entra(401, "invalid_client", 700_023);

    let header = json!({"alg": "RS256"});
    let federated = |issuer: &str| {
        json!({
            "iss": issuer, "sub": "system:serviceaccount:a:b", "aud": "api://AzureADTokenExchange", "exp": 4_000_000_000_i64,
        })
    };
    ask(&assertion(&header, &federated("https://issuer.test")))
        .await
        .expect(200);
    ask(&assertion(&header, &federated("https://evil.test")))
        .await
        .entra(401, "invalid_client", 70_021);
}

#[tokio::test]
async fn device_codes() {
    let server = server(|_| ()).await;
    let start = async |scope: &str| {
        let url = format!("{}/organizations/oauth2/v2.0/devicecode", server.login());
        post_form(&url, &[("client_id", PUBLIC_CLIENT), ("scope", scope)]).await
    };
    start("https://nothing.test/.default")
        .await
        .entra(400, "invalid_resource", 500_011);
    let begun = start(&format!("{ARM} offline_access")).await.expect(200);
    assert_eq!(begun["interval"], 1);
    let user_code = begun["user_code"].as_str().expect("a code");
    assert!(begun["message"].as_str().expect("a message").contains(user_code));
    let code = begun["device_code"].as_str().expect("a code");
    let poll = async |code: &str| {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", PUBLIC_CLIENT),
            ("device_code", code),
        ];
        entra(&server, &form).await
    };
    poll("other").await.entra(400, "invalid_grant", 70_000);
    poll(code).await.entra(400, "authorization_pending", 70_016);
    let hasty = poll(code).await.expect(400);
    assert_eq!(hasty["error"], "slow_down");

    let begun = start(&format!("{ARM} offline_access")).await.expect(200);
    let code = begun["device_code"].as_str().expect("a code");
    server.decide_device(begun["user_code"].as_str().expect("a code"), true);
    let granted = poll(code).await.expect(200);
    poll(code).await.entra(400, "invalid_grant", 70_000);
    let refresh = granted["refresh_token"].as_str().expect("a token").to_owned();
    let renew = async |refresh: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", PUBLIC_CLIENT),
            ("refresh_token", refresh),
            ("scope", ARM),
        ];
        entra(&server, &form).await
    };
    assert!(renew(&refresh).await.expect(200)["access_token"].is_string());
    renew("other").await.entra(400, "invalid_grant", 50_173);

    let begun = start(ARM).await.expect(200);
    server.decide_device(begun["user_code"].as_str().expect("a code"), false);
    poll(begun["device_code"].as_str().expect("a code"))
        .await
        .entra(400, "authorization_declined", 70_019);
}

#[tokio::test]
async fn tokens_are_good_for_their_time_and_service() {
    let world = World::with(|setting| setting.token_life = Duration::from_secs(0)).await;
    world
        .arm("GET", "", &Value::Null)
        .await
        .refused(401, "ExpiredAuthenticationToken");

    let mut world = World::with(|setting| setting.token_life = Duration::from_hours(3)).await;
    world.arm("GET", "", &Value::Null).await.expect(200);
    world.server.expire_tokens();
    let expired = world.arm("GET", "", &Value::Null).await;
    expired.refused(401, "ExpiredAuthenticationToken");
    assert!(
        expired
            .header("www-authenticate")
            .expect("a challenge")
            .starts_with("Bearer ")
    );
    world.token = token(&world.server, "https://storage.azure.com").await;
    world
        .arm("GET", "", &Value::Null)
        .await
        .refused(401, "InvalidAuthenticationTokenAudience");
    world.token = "nonsense".to_owned();
    world
        .arm("GET", "", &Value::Null)
        .await
        .refused(401, "InvalidAuthenticationToken");
    let url = format!(
        "{}{}?api-version=2024-10-01",
        world.server.arm(),
        world.server.workspace_path()
    );
    send("GET", &url, &[], b"")
        .await
        .expect("an answer")
        .refused(401, "AuthenticationFailed");
}

#[tokio::test]
async fn the_identity_of_a_machine() {
    let server = server(|setting| setting.managed_identity = Some("me".to_owned())).await;
    let ask = async |query: &str, headers: &[(&str, &str)]| {
        let url = format!("{}/metadata/identity/oauth2/token?{query}", server.imds());
        send("GET", &url, headers, b"").await.expect("an answer")
    };
    let good = "api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F";
    let metadata = [("Metadata", "true")];
    let answer = ask(good, &metadata).await.expect(200);
    assert_eq!(answer["expires_in"], "3600", "numbers are texts");
    let refused = |answer: Value| answer["error"].as_str().expect("an error").to_owned();
    assert_eq!(refused(ask(good, &[]).await.expect(400)), "invalid_request");
    let forwarded = [("Metadata", "true"), ("X-Forwarded-For", "10.0.0.1")];
    assert_eq!(refused(ask(good, &forwarded).await.expect(400)), "invalid_request");
    assert_eq!(
        refused(ask("resource=x", &metadata).await.expect(400)),
        "invalid_request"
    );
    assert_eq!(
        refused(ask("api-version=2018-02-01", &metadata).await.expect(400)),
        "invalid_request"
    );
    let unknown = "api-version=2018-02-01&resource=https://nothing.test";
    assert_eq!(refused(ask(unknown, &metadata).await.expect(400)), "invalid_resource");
    let other = format!("{good}&client_id=you");
    assert_eq!(refused(ask(&other, &metadata).await.expect(400)), "invalid_request");
    server.imds_phases(&[404, 410, 429, 500]);
    for status in [404, 410, 429, 500, 200] {
        ask(good, &metadata).await.expect(status);
    }

    let (url, secret) = server.app_service_identity();
    let query = "resource=https://storage.azure.com&api-version";
    let url = |version: &str| format!("{url}?{query}={version}");
    let answer = async |version: &str, header: (&str, &str)| {
        send("GET", &url(version), &[header], b"").await.expect("an answer")
    };
    answer("2019-08-01", ("X-IDENTITY-HEADER", secret)).await.expect(200);
    answer("2017-09-01", ("secret", secret)).await.expect(200);
    answer("2019-08-01", ("X-IDENTITY-HEADER", "guess")).await.expect(401);
    answer("2000-01-01", ("X-IDENTITY-HEADER", secret)).await.expect(400);
}

#[tokio::test]
async fn a_machine_without_an_identity() {
    let server = server(|_| ()).await;
    let url = format!(
        "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://ml.azure.com",
        server.imds()
    );
    let answer = send("GET", &url, &[("Metadata", "true")], b"")
        .await
        .expect("an answer")
        .expect(400);
    assert_eq!(answer["error_description"], "Identity not found");
}
