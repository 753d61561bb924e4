//! Every way to log in that takes more than one request, and what is said of those that are refused.

use crate::world::World;
use std::time::Duration;
use ts_aml::Credential;
use ts_aml_testkit::{AmlServer, Setting};
use ts_core::{Error, ErrorKind, ReasonCode, Secret, TrialStatus, config::SecretRef};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

const APPLICATION: &str = include_str!("../../../ts-aml-testkit/certificates/application.pem");
const STRANGER: &str = include_str!("../../../ts-aml-testkit/certificates/stranger.pem");
const PUBLIC_CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

async fn world(credential: Credential, change: impl FnOnce(&mut Setting)) -> World {
    let mut world = World::with(|setting| {
        setting.certificates = vec![APPLICATION.to_owned()];
        change(setting);
    })
    .await;
    world.credential = Some(credential);
    world
}

fn certificate(pem: &str) -> Credential {
    let setting = Setting::default();
    Credential::ClientCertificate {
        tenant: setting.tenant,
        client: setting.client_id,
        certificate: SecretRef::Literal(Secret::new(pem)),
    }
}

fn device() -> Credential {
    Credential::DeviceCode {
        tenant: "organizations".to_owned(),
        client: PUBLIC_CLIENT.to_owned(),
    }
}

/// How often a person was asked.
fn n_asked(server: &AmlServer) -> usize {
    let requests = server.requests();
    requests.iter().filter(|one| one.path.ends_with("/devicecode")).count()
}

/// Enters the next code, once it is there.
async fn decide(server: &AmlServer, lets_in: bool) -> String {
    loop {
        if let Some(code) = server.device_codes().pop() {
            server.decide_device(&code, lets_in);
            return code;
        }
        tokio::task::yield_now().await;
    }
}

async fn refusal(world: &World) -> Error {
    let ctx = world.ctx();
    world
        .service(&ctx)
        .validate(&world.spec())
        .await
        .expect_err("a refusal")
}

#[tokio::test]
async fn a_certificate_lets_in_and_is_used_again_for_the_next_token() {
    let world = world(certificate(APPLICATION), |setting| {
        setting.token_life = Duration::from_secs(2);
    })
    .await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    world.server.expire_tokens();
    let before = world.server.requests().len();
    while !world.server.requests()[before..]
        .iter()
        .any(|one| one.path.ends_with("/token") && one.status == 200)
    {
        tokio::task::yield_now().await;
    }
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    client.finish().await;
}

#[tokio::test]
async fn what_is_refused_is_named_with_where_to_get_another() {
    let unknown = refusal(&world(certificate(STRANGER), |_| {}).await).await;
    assert_eq!(
        (unknown.kind(), unknown.key()),
        (ErrorKind::Auth, Some("clientCertificate"))
    );
    assert!(
        unknown.help().expect("advice").contains("upload the certificate"),
        "{unknown:?}"
    );
    assert!(unknown.message().contains("client certificate"), "{unknown}");

    let world = World::with(|_| {}).await;
    world.server.expire_secret();
    let expired = refusal(&world).await;
    assert_eq!((expired.kind(), expired.key()), (ErrorKind::Auth, Some("clientSecret")));
    assert!(
        expired.help().expect("advice").contains("new client secret"),
        "{expired:?}"
    );
    assert!(!format!("{expired:?}").contains(&world.server.setting().client_secret));

    let mut world = World::with(|_| {}).await;
    let setting = world.server.setting();
    for (tenant, client, advice) in [
        ("nobody", setting.client_id.as_str(), "tenantId"),
        (setting.tenant.as_str(), "nobody", "clientId"),
    ] {
        let credential = Credential::ClientSecret {
            tenant: tenant.to_owned(),
            client: client.to_owned(),
            secret: SecretRef::Literal(Secret::new("hunter2-hunter2")),
        };
        world.credential = Some(credential);
        let error = refusal(&world).await;
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(error.help().expect("advice").contains(advice), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_person_is_asked_once_and_again_when_the_login_is_revoked() {
    let world = world(device(), |setting| setting.token_life = Duration::from_secs(3)).await;
    let (client, _) = tokio::join!(Client::start(&world), decide(&world.server, true));
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    world.server.expire_tokens();
    let before = world.server.requests().len();
    let is_renewal = |one: &ts_aml_testkit::Request| one.body.contains("grant_type=refresh_token") && one.status == 200;
    while !world.server.requests()[before..].iter().any(is_renewal) {
        tokio::task::yield_now().await;
    }
    assert_eq!(n_asked(&world.server), 1);

    world.server.revoke_logins();
    let id = trial.id.clone();
    watch
        .until("the request to log in", |seen| {
            let why = seen.of(&id).why;
            why.is_some_and(|why| {
                why.code == ReasonCode::Unreachable && why.unblock.is_some_and(|how| how.contains("enter the code"))
            })
        })
        .await;
    let code = decide(&world.server, true).await;
    watch.until("no request", |seen| seen.of(&id).why.is_none()).await;
    assert_eq!(n_asked(&world.server), 2, "{code}");
    world.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn a_person_who_declines_or_does_not_come_is_told() {
    let declined = world(device(), |_| {}).await;
    let (error, ()) = tokio::join!(refusal(&declined), async {
        decide(&declined.server, false).await;
        // Asked again: a refused token is asked for once more.
        while n_asked(&declined.server) > 1 && declined.server.device_codes().len() < 2 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!((error.kind(), error.key()), (ErrorKind::Auth, Some("credential")));
    assert!(error.message().contains("declined"), "{error}");

    let late = world(device(), |setting| setting.device_life = Duration::from_secs(1)).await;
    let error = refusal(&late).await;
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.message().contains("expired"), "{error}");
}

#[tokio::test]
async fn a_server_that_wants_to_be_asked_less_often_is_obeyed() {
    let world = world(device(), |_| {}).await;
    let entering = async {
        while world.server.device_codes().is_empty() {
            tokio::task::yield_now().await;
        }
        world.server.slow_devices();
        let is_slowed = || {
            world
                .server
                .requests()
                .iter()
                .any(|one| one.path.ends_with("/token") && one.status == 400)
        };
        while !is_slowed() {
            tokio::task::yield_now().await;
        }
        decide(&world.server, true).await;
    };
    let (client, ()) = tokio::join!(Client::start(&world), entering);
    let polls = world
        .server
        .requests()
        .into_iter()
        .filter(|one| one.path.ends_with("/token"));
    let refused = polls.filter(|one| one.status == 400).count();
    // Once, and never again, for it waits longer from then on.
    assert_eq!(refused, 1, "it went on asking too fast");
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    watch.until_end(&trial.id).await;
    client.finish().await;
}
