//! Fetching a key from the fake Azure: every identity, every refusal, what is tried again, and that nothing secret shows.

use super::{
    fake::{ASSERTION, TENANT},
    world::{ENTRA, METADATA, VAULT, World, assert_has, key},
};
use std::time::Duration;
use ts_core::{ErrorKind, Retry};

#[tokio::test]
async fn the_application_of_the_environment_gets_the_key_without_its_line_end() {
    let world = World::new().await;
    assert_eq!(world.fetch("storage-key").await.unwrap().expose(), key());
    let expected = [
        format!("POST {ENTRA}/{TENANT}/oauth2/v2.0/token"),
        format!("GET {VAULT}/secrets/storage-key"),
    ];
    assert_eq!(world.scene(|s| s.seen.clone()), expected);
    assert!(world.az.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_pod_with_a_workload_identity_gets_the_key() {
    let mut world = World::new().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ASSERTION).unwrap();
    world.variables.remove("AZURE_CLIENT_SECRET");
    let path = file.path().to_str().unwrap().to_owned();
    world.variables.insert("AZURE_FEDERATED_TOKEN_FILE", path);
    assert_eq!(world.fetch("storage-key").await.unwrap().expose(), key());
    std::fs::write(file.path(), "another").unwrap();
    let text = world.fails("storage-key", ErrorKind::Auth).await;
    assert_has(&text, &["workload identity", "AADSTS", "federated credential"]);
    world
        .variables
        .insert("AZURE_FEDERATED_TOKEN_FILE", "/no/such/file".to_owned());
    assert_has(&world.fails("storage-key", ErrorKind::Config).await, &["/no/such/file"]);
}

#[tokio::test]
async fn a_machine_with_an_identity_gets_the_key() {
    let world = World::bare().await;
    world.scene(|s| s.machine = Some(true));
    assert_eq!(world.fetch("storage-key").await.unwrap().expose(), key());
    assert!(world.az.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn elsewhere_the_login_of_az_gets_the_key() {
    for machine in [None, Some(false)] {
        let mut world = World::bare().await;
        world.scene(|s| s.machine = machine);
        let token = world.fake.token("https://vault.azure.net");
        let printed = format!(
            r#"{{"accessToken":"{token}","expiresOn":"2100-01-01 00:00:00.000000","expires_on":4102444800,
                "subscription":"s","tenant":"{TENANT}","tokenType":"Bearer"}}"#
        );
        *world.az.answer.lock().unwrap() = Some((0, printed, String::new()));
        world.variables.insert("AZURE_TENANT_ID", TENANT.to_owned());
        assert_eq!(world.fetch("storage-key").await.unwrap().expose(), key());
        let seen = world.az.seen.lock().unwrap().join("\n");
        assert_has(
            &seen,
            &[
                "az account get-access-token",
                "https://vault.azure.net/.default",
                TENANT,
            ],
        );
        assert!(world.clock.0.lock().unwrap().is_empty(), "nothing was tried twice");
    }
}

#[tokio::test]
async fn without_any_identity_each_that_was_tried_is_told() {
    let world = World::bare().await;
    let text = world.fails("storage-key", ErrorKind::Auth).await;
    assert_has(
        &text,
        &[
            "managed identity",
            "no metadata service",
            "`az`",
            "not found on PATH",
            "az login",
            "AZURE_CLIENT_SECRET",
        ],
    );
    assert!(world.clock.0.lock().unwrap().is_empty(), "nothing was tried twice");
    *world.az.answer.lock().unwrap() = Some((
        1,
        String::new(),
        "ERROR: Please run 'az login' to setup account.".into(),
    ));
    world.scene(|s| s.machine = Some(false));
    let text = world.fails("storage-key", ErrorKind::Auth).await;
    assert_has(&text, &["not been assigned", "Please run 'az login'"]);
    // An answer without the fields that a token needs, which the parser would quote.
    *world.az.answer.lock().unwrap() = Some((0, r#"{"accessToken": {"a": "eyJ0eXAi"}}"#.into(), String::new()));
    assert_has(&world.fails("storage-key", ErrorKind::Auth).await, &["2.54"]);
}

#[tokio::test]
async fn another_clouds_metadata_service_costs_no_waiting() {
    let world = World::bare().await;
    world.scene(|s| s.machine = Some(true));
    world.trouble(METADATA, 404, None, "<html>404 - Not Found</html>");
    world.fails("storage-key", ErrorKind::Auth).await;
    assert_eq!(world.scene(|s| s.seen.len()), 1);
}

#[tokio::test]
async fn a_metadata_service_that_is_being_renewed_is_asked_again() {
    let world = World::bare().await;
    world.scene(|s| s.machine = Some(true));
    world.trouble(METADATA, 410, None, "");
    world.trouble(METADATA, 429, Some(7), "");
    assert_eq!(world.fetch("storage-key").await.unwrap().expose(), key());
    assert_eq!(world.clock.0.lock().unwrap()[1], Duration::from_secs(7));
}

#[tokio::test]
async fn half_an_environment_names_what_is_missing() {
    let mut world = World::new().await;
    world.variables.remove("AZURE_TENANT_ID");
    assert_has(
        &world.fails("storage-key", ErrorKind::Config).await,
        &["`AZURE_TENANT_ID` is missing"],
    );
    world.variables.remove("AZURE_CLIENT_ID");
    let text = world.fails("storage-key", ErrorKind::Config).await;
    assert_has(&text, &["`AZURE_TENANT_ID` and `AZURE_CLIENT_ID` is missing"]);
    assert!(world.scene(|s| s.seen.is_empty()));
}

#[tokio::test]
async fn a_wrong_client_secret_is_refused_and_not_shown_even_if_repeated() {
    let mut world = World::new().await;
    let wrong = "wrong-but-still-secret";
    world.variables.insert("AZURE_CLIENT_SECRET", wrong.to_owned());
    let error = world.fetch("storage-key").await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Auth, Retry::Never));
    assert_has(
        error.message(),
        &["client secret of the environment", "AADSTS7000215", "***"],
    );
    assert!(!format!("{error:?}").contains(wrong));
    assert_eq!(world.scene(|s| s.seen.len()), 1);
    assert!(world.az.seen.lock().unwrap().is_empty(), "no other identity is tried");
}

#[tokio::test]
async fn entra_is_asked_again_when_that_may_help() {
    let world = World::new().await;
    world.trouble(ENTRA, 503, None, "<html>busy</html>");
    world.trouble(ENTRA, 429, Some(11), "{}");
    assert_eq!(world.fetch("storage-key").await.unwrap().expose(), key());
    assert_eq!(world.clock.0.lock().unwrap()[1], Duration::from_secs(11));
    world.trouble(ENTRA, 200, None, "<html>log in to the guest network</html>");
    assert_has(
        &world.fails("storage-key", ErrorKind::Protocol).await,
        &["not one of Entra", "proxy"],
    );
}

#[tokio::test]
async fn a_vault_of_another_tenant_is_told_from_its_challenge() {
    let world = World::new().await;
    world.scene(|s| s.trusted = Some("11111111-2222-3333-4444-555555555555".to_owned()));
    let text = world.fails("storage-key", ErrorKind::Auth).await;
    assert_has(
        &text,
        &["AKV10032", "client secret of the environment", "--tenant 11111111-2222"],
    );
}

#[tokio::test]
async fn each_reason_to_forbid_has_its_own_advice() {
    let table = [
        ("ForbiddenByRbac", "Key Vault Secrets User"),
        ("ForbiddenByPolicy", "access policies"),
        ("ForbiddenByFirewall", "firewall"),
        ("ForbiddenByConnection", "firewall"),
    ];
    for (inner, advice) in table {
        let world = World::new().await;
        world.scene(|s| s.forbidden = Some(inner));
        let text = world.fails("storage-key", ErrorKind::Denied).await;
        assert_has(&text, &["HTTP 403", "appid=a", advice]);
    }
    let text = World::new().await.fails("old-key", ErrorKind::Rejected).await;
    assert_has(&text, &["`old-key`", "disabled", "enable"]);
}

#[tokio::test]
async fn a_secret_or_a_vault_that_is_not_there_is_named() {
    let mut world = World::new().await;
    let text = world.fails("new-key", ErrorKind::NotFound).await;
    assert_has(&text, &["`new-key`", VAULT]);
    world.vault = "no-vault";
    let text = world.fails("storage-key", ErrorKind::NotFound).await;
    assert_has(
        &text,
        &["no key vault `no-vault.vault.azure.net`", "AZURE_AUTHORITY_HOST"],
    );
    for (vault, secret) in [
        ("my_vault", "a"),
        ("my-vault", "a/b"),
        ("my-vault", "?"),
        ("a..b", "a"),
        (".", "a"),
        ("", "a"),
    ] {
        world.vault = vault;
        world.fails(secret, ErrorKind::Config).await;
    }
}

#[tokio::test]
async fn a_throttled_or_failing_vault_is_asked_again_as_late_as_it_says() {
    let world = World::new().await;
    world.trouble(
        VAULT,
        429,
        Some(9),
        r#"{"error":{"code":"Throttled","message":"Request was not processed"}}"#,
    );
    world.trouble(VAULT, 502, None, "<html>Bad Gateway</html>");
    assert_eq!(world.fetch("storage-key").await.unwrap().expose(), key());
    assert_eq!(world.clock.0.lock().unwrap()[0], Duration::from_secs(9));
    let seen = world.scene(|s| s.seen.clone());
    let tokens = seen.iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!((tokens, seen.len()), (1, 4), "one token serves all tries");
}

#[tokio::test]
async fn tries_are_bounded() {
    let world = World::new().await;
    for _ in 0..9 {
        world.trouble(VAULT, 503, None, "");
    }
    world.fails("storage-key", ErrorKind::Unreachable).await;
    assert_eq!(world.scene(|s| s.troubles.len()), 4);
    let world = World::new().await;
    world.trouble(VAULT, 429, Some(3600), "");
    let error = world.fetch("storage-key").await.unwrap_err();
    let after = Some(Duration::from_hours(1));
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::RateLimited, Retry::NotApplied { after })
    );
}

#[tokio::test]
async fn somebody_who_answers_in_the_vaults_place_is_told() {
    for (status, body) in [
        (200, "<html>eyJ0eXAi</html>"),
        (200, r#"{"id": "https://my-vault"}"#),
        (200, r#"{"value": ["hunter2"]}"#),
        // The parser would quote it.
        (200, r#""hunter2""#),
        (403, "<html>blocked by the proxy</html>"),
        (404, "nothing here"),
        (302, ""),
    ] {
        let world = World::new().await;
        world.trouble(VAULT, status, None, body);
        assert_has(
            &world.fails("storage-key", ErrorKind::Protocol).await,
            &["not of a key vault", "proxy"],
        );
    }
}

#[tokio::test]
async fn a_secret_that_is_no_key_is_refused() {
    let text = World::new().await.fails("no-key", ErrorKind::Config).await;
    assert_has(&text, &["`no-key`", "`my-vault`", "not Base64"]);
}

#[tokio::test]
async fn sovereign_clouds_have_their_own_entra_and_vaults() {
    let clouds = [
        (
            "https://login.microsoftonline.us/",
            "login.microsoftonline.us",
            "my-vault.vault.usgovcloudapi.net",
        ),
        (
            "login.chinacloudapi.cn",
            "login.chinacloudapi.cn",
            "my-vault.vault.azure.cn",
        ),
    ];
    for (authority, entra, vault) in clouds {
        let mut world = World::new().await;
        world.variables.insert("AZURE_AUTHORITY_HOST", authority.to_owned());
        world.scene(|s| (entra.clone_into(&mut s.entra), vault.clone_into(&mut s.vault)));
        assert_eq!(world.fetch("storage-key").await.unwrap().expose(), key());
        world.vault = "my-vault.vault.example.org";
        world.scene(|s| world.vault.clone_into(&mut s.vault));
        assert_eq!(
            world.fetch("storage-key").await.unwrap().expose(),
            key(),
            "a whole host name is taken as it is"
        );
    }
    let mut world = World::new().await;
    world
        .variables
        .insert("AZURE_AUTHORITY_HOST", "http://login.microsoftonline.com".to_owned());
    assert_has(
        &world.fails("storage-key", ErrorKind::Config).await,
        &["AZURE_AUTHORITY_HOST"],
    );
}
