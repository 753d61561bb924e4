//! Ways in: passwords, questions, every kind of key, jumps; what is said where there is none; and few sessions.

use crate::{
    machine::{Machine, PASSWORD},
    server::{Server, Setting, USER},
};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, ssh_key::LineEnding};
use std::{os::unix::fs::PermissionsExt as _, path::Path};
use ts_core::{ErrorKind, Result, Secret, TrialStatus, Warnings, config::SecretRef};
use ts_remote::{HostKeyPolicy, MachineConfig};
use ts_testkit::{
    ReservedPort,
    conformance::{Behavior, Client, Fixture as _},
};

async fn validate(machine: &Machine, config: MachineConfig) -> Result<Warnings> {
    let ctx = machine.ctx();
    let service = machine.service_of(&ctx, vec![config]);
    let result = service.validate(&machine.spec).await;
    drop(service);
    ctx.tasks.close().await;
    result
}

fn key(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), algorithm).expect("randomness")
}

fn save(key: &PrivateKey, path: &Path) {
    std::fs::write(path, key.to_openssh(LineEnding::LF).expect("a key").as_bytes()).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("our file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_given_to_the_method_or_to_the_question() {
    for only_asks in [false, true] {
        let machine = Machine::with(|setting, _| setting.only_asks = only_asks).await;
        validate(&machine, machine.config()).await.expect("the right password");
        let mut wrong = machine.config();
        wrong.password = Some(SecretRef::Literal(Secret::new("wrong horse")));
        let error = validate(&machine, wrong).await.expect_err("the wrong password");
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert_eq!(error.key(), Some("machineList[0].password"));
        assert!(error.to_string().contains("worker@127.0.0.1"), "{error}");
        assert!(!format!("{error:?}").contains("wrong horse"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_lets_us_in_with_and_without_a_passphrase() {
    let keys = [
        Algorithm::Ed25519,
        Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP256,
        },
        Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP521,
        },
        Algorithm::Rsa {
            hash: Some(HashAlg::Sha256),
        },
    ]
    .map(key);
    let machine = Machine::with(|setting, _| {
        setting.password = None;
        setting.authorized = keys.iter().map(|key| key.public_key().clone()).collect();
    })
    .await;
    let mut config = machine.config();
    config.password = None;
    for (n, key) in keys.iter().enumerate() {
        let path = machine.path(&format!("key{n}"));
        save(key, &path);
        config.ssh_key_file = Some(path.clone());
        let name = key.algorithm();
        validate(&machine, config.clone())
            .await
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        save(&key.encrypt(&mut rand::rng(), PASSWORD).expect("a cipher"), &path);
        let error = validate(&machine, config.clone()).await.expect_err("it is locked");
        assert_eq!(error.key(), Some("machineList[0].sshPassphrase"), "{name}: {error}");
        let mut open = config.clone();
        open.ssh_passphrase = Some(SecretRef::Literal(Secret::new(PASSWORD)));
        validate(&machine, open)
            .await
            .unwrap_or_else(|e| panic!("{name} with a passphrase: {e}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_authorized_or_not_there_is_named() {
    let machine = Machine::with(|setting, _| setting.password = None).await;
    let path = machine.path("key");
    save(&key(Algorithm::Ed25519), &path);
    let mut config = machine.config();
    config.password = None;
    config.ssh_key_file = Some(path.clone());
    let error = validate(&machine, config.clone()).await.expect_err("nobody knows it");
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert!(error.help().is_some_and(|help| help.contains("authorized_keys")));
    config.ssh_key_file = Some(machine.path("absent"));
    let error = validate(&machine, config).await.expect_err("it is not there");
    assert_eq!(error.key(), Some("machineList[0].sshKeyFile"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_jumps_leads_to_the_machine_and_a_closed_one_is_named() {
    let inner = Machine::with(|_, _| {}).await;
    let id = key(Algorithm::Ed25519);
    save(&id, &inner.path("jump_key"));
    let jump = |allow: bool| {
        let mut setting = Setting::new(inner.path("home"));
        setting.authorized = vec![id.public_key().clone()];
        setting.allow_forwarding = allow;
        setting
    };
    let (first, second, closed) = (
        Server::start(jump(true)).await,
        Server::start(jump(true)).await,
        Server::start(jump(false)).await,
    );
    let known: String = [&first, &second, &closed].map(Server::known_host).concat();
    std::fs::write(inner.path("known"), known).expect("a file");
    let host = |name: &str, server: &Server, more: &str| {
        format!(
            "Host {name}\n HostName {}\n Port {}\n User {USER}\n IdentityFile {}\n UserKnownHostsFile {}\n{more}\n",
            server.address.ip(),
            server.address.port(),
            inner.path("jump_key").display(),
            inner.path("known").display(),
        )
    };
    let text = [
        host("first", &first, ""),
        host("second", &second, " ProxyJump first"),
        host("closed", &closed, ""),
        host("gpu", &inner.server, " ProxyJump second"),
        host("unreachable", &inner.server, " ProxyJump closed"),
        host("detour", &second, " ProxyJump closed"),
        host("chained", &inner.server, " ProxyJump first,detour"),
    ];
    std::fs::write(inner.path("ssh_config"), text.concat()).expect("a file");
    let mut config = inner.config();
    (config.host, config.port) = ("gpu".into(), None);
    validate(&inner, config.clone()).await.expect("by way of two");
    assert_eq!((first.n_connections(), second.n_connections()), (1, 1));
    config.host = "chained".into();
    validate(&inner, config.clone())
        .await
        .expect("the chain counts, and not the second host's own way");
    assert_eq!((first.n_connections(), second.n_connections()), (2, 2));
    assert_eq!(closed.n_connections(), 0);
    config.host = "unreachable".into();
    let error = validate(&inner, config).await.expect_err("it forwards nothing");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(&closed.address.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_behind_the_same_host_share_the_way_to_it() {
    let inner = Machine::with(|_, _| {}).await;
    let id = key(Algorithm::Ed25519);
    save(&id, &inner.path("jump_key"));
    let mut setting = Setting::new(inner.path("home"));
    setting.authorized = vec![id.public_key().clone()];
    let jump = Server::start(setting).await;
    let known = jump.known_host() + &inner.server.known_host();
    std::fs::write(inner.path("known"), known).expect("a file");
    let text = format!(
        "Host jump\n HostName {}\n Port {}\n User {USER}\n IdentityFile {}\n\
         Host gpu*\n HostName {}\n Port {}\n ProxyJump jump\n\
         Host *\n UserKnownHostsFile {}\n",
        jump.address.ip(),
        jump.address.port(),
        inner.path("jump_key").display(),
        inner.server.address.ip(),
        inner.server.address.port(),
        inner.path("known").display(),
    );
    std::fs::write(inner.path("ssh_config"), text).expect("a file");
    let machines = (1..=6).map(|n| {
        let mut config = inner.config();
        (config.host, config.port) = (format!("gpu{n}"), None);
        config.host_key_policy = None;
        config
    });
    let ctx = inner.ctx();
    let service = inner.service_of(&ctx, machines.collect());
    service.validate(&inner.spec).await.expect("all are in");
    assert_eq!(inner.server.n_connections(), 6);
    assert_eq!(jump.n_connections(), 1, "one way for six machines");
    drop(service);
    ctx.tasks.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_allows_one_or_two_sessions_is_enough() {
    for (max_sessions, n_connections) in [(1, 3), (2, 2), (3, 1)] {
        let machine = Machine::with(|setting, _| setting.max_sessions = max_sessions).await;
        std::fs::write(machine.path("code/a"), vec![7; 100_000]).expect("a file");
        let client = Client::start(&machine).await;
        let mut seen = client.watch();
        let trial = client
            .submit(&Behavior::Exit {
                metrics: vec!["1".into()],
                code: 0,
            })
            .await;
        let history = seen.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded));
        assert_eq!(machine.server.n_connections(), n_connections, "with {max_sessions}");
        client.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_machines_is_enough_and_the_other_is_named() {
    let machine = Machine::with(|_, _| {}).await;
    let mut absent = machine.config();
    absent.host_key_policy = Some(HostKeyPolicy::Off);
    let closed = ReservedPort::new().expect("a free port");
    absent.port = Some(closed.address().port());
    let ctx = machine.ctx();
    let service = machine.service_of(&ctx, vec![absent.clone(), machine.config()]);
    let warnings = service.validate(&machine.spec).await.expect("one can be used");
    let text = format!("{warnings:?}");
    assert!(text.contains(&format!("{}", absent.port.unwrap_or_default())), "{text}");
    drop(service);
    ctx.tasks.close().await;
    let error = validate(&machine, absent).await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}
