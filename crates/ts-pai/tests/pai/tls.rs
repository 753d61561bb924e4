//! A cluster behind TLS with an authority of its own, which each test makes for itself: nothing else trusts it.

use crate::world::World;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use ts_core::{ErrorKind, TrainingService as _, TrialStatus, http::Url};
use ts_pai::{PaiConfig, PaiService};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

/// What a server of `localhost` shows, and the authority behind it.
struct Identity {
    /// Of the authority, in PEM.
    authority: String,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["localhost".to_owned()])?;
        Ok(Self {
            authority,
            certificate: params.signed_by(&key, &issuer)?.der().clone(),
            key: key.serialize_der().into(),
        })
    }
}

/// Decrypts and passes on; ends with the runtime of its test.
#[expect(clippy::disallowed_methods, reason = "the tasks end with the test")]
async fn in_front_of(server: SocketAddr, identity: Identity) -> SocketAddr {
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], identity.key.into())
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else {
                    return;
                };
                let Ok(mut server) = TcpStream::connect(server).await else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

/// A cluster at the address of the configuration; its authority lies in `ca.pem`.
async fn encrypted(world: &World) -> PaiConfig {
    let identity = Identity::new().expect("keys and certificates");
    std::fs::write(world.path("ca.pem"), &identity.authority).expect("room");
    let address = in_front_of(world.server.address, identity).await;
    let mut config = world.config();
    config.host = Url::parse(&format!("https://localhost:{}", address.port())).expect("an address");
    config
}

#[tokio::test]
async fn an_authority_of_ones_own_is_accepted() {
    let world = World::fresh().await;
    let mut config = encrypted(&world).await;
    config.ca_file = Some(world.path("ca.pem"));
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    client.service.validate(&client.spec).await.expect("good");
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    assert_eq!(history.bodies(), Behavior::values(0, 1));
    client.finish().await;
}

#[tokio::test]
async fn without_it_nothing_is_sent_and_the_key_is_named() {
    let world = World::fresh().await;
    let config = encrypted(&world).await;
    let service = PaiService::new(world.ctx(), config, world.spec.id.clone());
    let error = service.validate(&world.spec).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.key()),
        (ErrorKind::Auth, Some("caFile")),
        "{error:?}"
    );
    assert!(error.help().is_some_and(|help| help.contains("`caFile`")), "{error:?}");
    assert!(world.server.shared.log.is_empty());
}
