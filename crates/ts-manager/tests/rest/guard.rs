//! Who is refused.

use crate::{
    client::{get, request, send},
    world::{World, config, limits, stored, write},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use ts_core::ErrorKind;
use ts_manager::rest::{Listen, Port, address};

#[tokio::test]
async fn a_name_that_leads_here_by_dns_is_refused() {
    let (_world, at, _served) = stored(config()).await;
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8080"] {
        send(at, "GET", "/api/v2/experiment", &[("Host", host)], b"")
            .await
            .is(200);
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "user@localhost.evil",
    ] {
        for path in ["/api/v2/experiment", "/api/v1/nni/experiment", "/", "/metrics"] {
            let reply = send(at, "GET", path, &[("Host", host)], b"").await.is(403);
            assert!(!reply.text().contains("mnist"), "{host}");
        }
    }
    let reply = send(at, "GET", "/api/v1/nni/experiment", &[("Host", "evil.example")], b"")
        .await
        .json();
    assert!(reply["error"].is_string(), "NNI's clients expect a text: {reply}");
}

#[tokio::test]
async fn a_page_from_elsewhere_changes_nothing_and_may_not_read_replies() {
    let (_world, at, _served) = stored(config()).await;
    let own = format!("http://{at}");
    for origin in ["http://evil.example", "null", "http://localhost:1", "http://127.0.0.1"] {
        for (method, path) in [
            ("POST", "/api/v2/experiment/stop"),
            ("PATCH", "/api/v2/experiment"),
            ("POST", "/api/v2/trials"),
            ("DELETE", "/api/v1/nni/experiment"),
            ("PUT", "/api/v1/nni/experiment?update_type=MAX_TRIAL_NUM"),
        ] {
            send(at, method, path, &[("Origin", origin)], b"{}").await.is(403);
        }
        let read = send(at, "GET", "/api/v2/experiment", &[("Origin", origin)], b"")
            .await
            .is(200);
        assert!(!read.headers.keys().any(|name| name.starts_with("access-control-")));
        let asked = send(at, "OPTIONS", "/api/v2/experiment", &[("Origin", origin)], b"").await;
        assert!(asked.status >= 400 && !asked.headers.keys().any(|name| name.starts_with("access-control-")));
    }
    let same = send(at, "POST", "/api/v2/experiment/stop", &[("Origin", &own)], b"").await;
    assert_eq!(
        same.status,
        409,
        "it goes as far as the manager, of which there is none: {}",
        same.text()
    );
    send(
        at,
        "POST",
        "/api/v2/experiment/stop",
        &[("Sec-Fetch-Site", "cross-site")],
        b"",
    )
    .await
    .is(403);
}

/// An address that is not loopback: the wildcard, reached over the loopback interface.
fn open() -> Listen {
    Listen {
        address: Ipv4Addr::UNSPECIFIED.into(),
        ..Listen::on_port(0)
    }
}

fn near(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), at.port())
}

#[tokio::test]
async fn elsewhere_than_on_loopback_a_token_is_needed() {
    let world = World::new(config(), limits(1, 1));
    let (at, served) = world.serve_stored(&open());
    let at = near(at);
    let file = served.address().token_file.clone().unwrap();
    assert_eq!(file, world.directory.path().join("rest.token"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(token.len(), 64);
    let right = format!("Bearer {token}");
    for path in [
        "/api/v2/experiment",
        "/api/v2/events",
        "/api/v1/nni/trial-jobs",
        "/api/v1/nni/version",
        "/metrics",
        "/logs/nnimanager.log",
        "/api",
    ] {
        for wrong in [
            None,
            Some("Bearer x"),
            Some(token.as_str()),
            Some("Bearer "),
            Some(&right[..right.len() - 1]),
        ] {
            let headers: Vec<_> = wrong.map(|wrong| ("Authorization", wrong)).into_iter().collect();
            let reply = send(at, "GET", path, &headers, b"").await.is(401);
            if !path.contains("v1") {
                assert_eq!(reply.headers["www-authenticate"], "Bearer");
            }
            assert!(!reply.text().contains(&token));
        }
    }
    let reply = send(
        at,
        "GET",
        "/api/v2/experiment",
        &[("Authorization", &right), ("Host", "lab.example")],
        b"",
    )
    .await;
    reply.is(200);
    drop(served);
    assert_eq!(address(&world.directory), None, "the address is gone with the server");
    let (_, again) = world.serve_stored(&open());
    assert_eq!(again.address().token_file.as_ref(), Some(&file));
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), token, "the token stays");
}

#[tokio::test]
async fn a_token_of_ones_own_serves_on_loopback_too_and_a_short_one_is_refused() {
    let world = World::new(config(), limits(1, 1));
    let file = world.dir.path().join("token");
    let listen = Listen {
        token_file: Some(file.clone()),
        ..Listen::on_port(0)
    };
    write(&file, b"0123456789abcdef\n");
    let (at, _served) = world.serve_stored(&listen);
    get(at, "/api/v2/experiment").await.is(401);
    send(
        at,
        "GET",
        "/api/v2/experiment",
        &[("Authorization", "bearer 0123456789abcdef")],
        b"",
    )
    .await
    .is(200);
    write(&file, b"short");
    let api = |port| {
        ts_manager::rest::serve(
            port,
            ts_manager::rest::Api {
                ctx: world.ctx.clone(),
                directory: world.directory.clone(),
                optimize: ts_manager::store::Optimize::Maximize,
                commands: std::sync::Arc::new(ts_manager::rest::OverSocket::new(
                    world.directory.clone(),
                    world.ctx.tasks.clone(),
                )),
                assets: None,
                trial_channel: false,
            },
        )
    };
    let refused = api(Port::bind(&listen).unwrap()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(!refused.to_string().contains("short"));
}

#[tokio::test]
async fn no_reply_holds_a_secret_of_the_configuration() {
    let (_world, at, _served) = stored(config()).await;
    for path in [
        "/api/v2/experiment",
        "/api/v2/trials",
        "/api/v1/nni/experiment",
        "/api/v1/nni/experiment-metadata",
        "/api/v1/nni/experiments-info",
        "/api/v1/nni/trial-jobs",
    ] {
        assert!(!get(at, path).await.is(200).text().contains("hunter2"), "{path}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_nonsense_is_answered() {
    let (_world, at, _served) = stored(config()).await;
    let mut head = request(at, "PATCH", "/api/v2/experiment", &[], b"");
    let text = String::from_utf8(head)
        .unwrap()
        .replace("Content-Length: 0", "Content-Length: 99999999999");
    head = text.into_bytes();
    let mut socket = TcpStream::connect(at).await.unwrap();
    socket.write_all(&head).await.unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.unwrap();
    let reply = String::from_utf8_lossy(&bytes);
    assert!(reply.starts_with("HTTP/1.1 422"), "{reply}");
    for body in [
        &b"{"[..],
        b"[]",
        b"[[]]",
        b"{\"limits\":[]}",
        b"{\"limits\":{\"concurrency\":null}}",
        b"{\"limits\":{\"x\":1}}",
        b"\xff",
        b"",
        b"{\"limits\":{\"concurrency\":-1}}",
    ] {
        send(at, "PATCH", "/api/v2/experiment", &[], body).await.is(400);
    }
    for n in ["0", "100000", "4294967296", "1.5", "1e30", "\"1\"", "true"] {
        let body = format!("{{\"limits\":{{\"concurrency\":{n}}}}}");
        let refused = send(at, "PATCH", "/api/v2/experiment", &[], body.as_bytes())
            .await
            .is(400);
        assert!(refused.text().contains("from 1 to 99999"), "{}", refused.text());
    }
    let path = "/api/v1/nni/experiment?update_type=TRIAL_CONCURRENCY";
    let body = b"{\"params\":{\"trialConcurrency\":100000}}";
    let refused = send(at, "PUT", path, &[], body).await.is(500);
    assert!(refused.text().contains("99999 at most"), "{}", refused.text());
}

#[tokio::test]
async fn a_prefix_stands_before_all_paths() {
    let world = World::new(config(), limits(1, 1));
    let listen = Listen {
        prefix: Some("/team/a/".into()),
        ..Listen::on_port(0)
    };
    let (at, served) = world.serve_stored(&listen);
    assert_eq!(served.address().url, format!("http://{at}/team/a"));
    for path in [
        "/team/a/api/v2/experiment",
        "/team/a/api/v1/nni/check-status",
        "/api/v2/experiment",
    ] {
        get(at, path).await.is(200);
    }
    get(at, "/team/b/api/v2/experiment").await.is(404);
}
