//! The channel over a real port: nothing lost, nothing doubled, nothing told to who has no token.

use super::*;
use crate::{
    Ctx, ErrorKind, Parameters,
    follow::mounted::{AGAIN, READY},
    launch::TrialPaths,
};
use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

struct World {
    ctx: Ctx,
    dir: tempfile::TempDir,
    address: SocketAddr,
    token: String,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let trial = TrialPaths::new(dir.path().join("root/t1"));
        fs::create_dir_all(trial.exchange()).expect("room");
        fs::create_dir_all(dir.path().join("root/code")).expect("room");
        fs::write(trial.exchange().join(READY), "").expect("room");
        fs::write(trial.exchange().join("job"), "not for workers").expect("room");
        Self::over(dir).await
    }

    async fn over(dir: tempfile::TempDir) -> Self {
        let ctx = Ctx::new(dir.path());
        let listener = Listener::bind(&ctx, settings(dir.path())).await.expect("a port");
        let (address, token) = (listener.address(), listener.token().expose().to_owned());
        ctx.tasks.spawn(listener.serve());
        Self {
            ctx,
            dir,
            address,
            token,
        }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join("root/t1").join(name)).unwrap_or_default()
    }

    async fn post(&self, path: &str, body: &[u8]) -> (u16, String) {
        let mut whole = format!("{}\n", self.token).into_bytes();
        whole.extend_from_slice(body);
        self.send(&head("POST", path, whole.len()), &whole).await
    }

    /// Sends these bytes, and gives the status and the body; 0 where the connection ends without any.
    async fn send(&self, head: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("a listener");
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        (status.unwrap_or(0), body.to_owned())
    }

    async fn append(&self, offset: u64, piece: &[u8]) -> String {
        let (status, body) = self.post(&format!("/v1/append/t1/stdout?offset={offset}"), piece).await;
        assert_eq!(status, 200);
        body
    }
}

fn settings(dir: &Path) -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().expect("an address"),
        root: dir.join("root"),
        token_file: dir.join("push.token"),
    }
}

fn head(method: &str, path: &str, length: usize) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn pieces_that_overlap_or_leave_a_gap_give_one_file() {
    let world = World::start().await;
    assert_eq!(world.append(0, b"abc").await, "3\n");
    assert_eq!(world.append(0, b"abc").await, "3\n", "the answer was lost");
    assert_eq!(world.append(1, b"bcde").await, "5\n", "more was there meanwhile");
    assert_eq!(world.append(9, b"xyz").await, "5\n", "a gap");
    assert_eq!(world.append(1, b"b").await, "5\n", "an old piece that comes late");
    assert_eq!(world.append(5, b"\0\xff").await, "7\n");
    assert_eq!(world.file("stdout"), b"abcde\0\xff");
    let hex = " 00 0a\n ff\n";
    let hex = world
        .post("/v1/append/t1/.nni/metrics?offset=0&hex=1", hex.as_bytes())
        .await;
    assert_eq!(hex, (200, "3\n".into()));
    assert_eq!(world.file(".nni/metrics"), b"\0\n\xff");
}

#[tokio::test]
async fn a_connection_that_is_cut_stores_nothing() {
    let world = World::start().await;
    let mut body = format!("{}\n", world.token).into_bytes();
    body.extend_from_slice(b"half");
    let (status, _) = world
        .send(&head("POST", "/v1/append/t1/stdout?offset=0", body.len() + 4), &body)
        .await;
    assert!(status == 0 || status == 400, "{status}");
    assert_eq!(world.append(0, b"half and half").await, "13\n");
    assert_eq!(world.file("stdout"), b"half and half");
}

#[tokio::test]
async fn who_has_another_token_does_and_learns_nothing() {
    let world = World::start().await;
    let short = &world.token[..super::token::LENGTH - 1];
    let tokens = [
        String::new(),
        "\n".into(),
        short.to_owned(),
        format!("{short}\n"),
        format!("{short}.\nabc"),
        format!("{}abc", world.token),
    ];
    for token in &tokens {
        for path in ["/v1/append/t1/stdout?offset=0", "/v1/read/t1/run.sh", "/v1/nothing"] {
            let (status, body) = world.send(&head("POST", path, token.len()), token.as_bytes()).await;
            assert_eq!((status, body.as_str()), (401, ""), "{token:?} {path}");
        }
    }
    assert!(!world.dir.path().join("root/t1/stdout").exists());
    let long = vec![b'x'; 5 << 20];
    let (status, _) = world.post("/v1/append/t1/stdout?offset=0", &long).await;
    assert!(status == 413 || status == 0, "{status}");
}

#[tokio::test]
async fn nothing_else_of_the_folder_is_read_or_written() {
    let world = World::start().await;
    let trial = world.dir.path().join("root/t1");
    fs::write(trial.join("run.sh"), "exit 0").expect("room");
    let bad = [
        "/v1/read/t1/../push.token",
        "/v1/read/../push.token",
        "/v1/read/t1/.nni/job",
        "/v1/read/.nni/job",
        "/v1/read//etc/passwd",
        "/v1/read/t1/%2e%2e",
        "/v1/append/t1/run.sh?offset=0",
        "/v1/append/t1/.nni/job?offset=0",
        "/v1/append/../stdout?offset=0",
        "/v1/append/t1/stdout",
        "/v1/append/t1/stdout?offset=-1",
        "/v1/append/t1/stdout?offset=0&hex=1",
        "/v1/claim/t1?by=../../x",
        "/v1/claim/t1?by=",
        "/v2/read/t1/run.sh",
        "/",
    ];
    for path in bad {
        assert_eq!(world.post(path, b"xyz").await.0, 400, "{path}");
    }
    let body = format!("{}\n", world.token);
    let got = world
        .send(&head("GET", "/v1/read/t1/run.sh", body.len()), body.as_bytes())
        .await;
    assert_eq!(got.0, 400, "a GET");
    assert_eq!(world.post("/v1/read/t1/run.sh", b"").await, (200, "exit 0".into()));
    assert_eq!(world.post("/v1/read/t1/none", b"").await.0, 404);
    let gone = world.post("/v1/append/t2/stdout?offset=0", b"x").await;
    assert_eq!(gone, (200, "gone\n".into()), "a trial that was cleaned up");
    assert!(!world.dir.path().join("root/t2").exists());
}

#[tokio::test]
async fn one_of_many_gets_the_right_to_run_a_trial_and_keeps_it() {
    let world = World::start().await;
    for _ in 0..2 {
        assert_eq!(world.post("/v1/claim/t1?by=a-1", b"").await.1, "yes\n");
    }
    assert!(!world.dir.path().join("root/t1/.nni").join(AGAIN).exists());
    assert_eq!(world.post("/v1/claim/t1?by=b", b"").await.1, "no\n");
    assert!(world.dir.path().join("root/t1/.nni").join(AGAIN).exists());
    assert_eq!(world.post("/v1/claim/t2?by=b", b"").await.1, "gone\n");
}

#[tokio::test]
async fn news_end_the_wait() {
    let world = World::start().await;
    let trial = TrialPaths::new(world.dir.path().join("root/t1"));
    fs::write(trial.parameters(&Parameters::new("{}")), "{}").expect("room");
    assert_eq!(world.post("/v1/wait/t1?have=0", b"").await.1, "parameter.cfg\n");
    let (news, ()) = tokio::join!(world.post("/v1/wait/t1?have=1", b""), async {
        fs::write(trial.cancel(), "user").expect("room");
    });
    assert_eq!(news.1, "cancel\nparameter.cfg\n");
    assert_eq!(world.post("/v1/wait/t2?have=0", b"").await.1, "gone\n");
}

#[tokio::test]
async fn a_manager_that_comes_back_has_port_and_token_again() {
    let world = World::start().await;
    assert_eq!(world.append(0, b"abc").await, "3\n");
    let file = world.dir.path().join("push.token");
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let busy = Listener::bind(&world.ctx, settings(world.dir.path()))
        .await
        .unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Conflict, "{busy}");
    assert!(is_free(world.address).await.is_err());
    let World {
        ctx,
        dir,
        address,
        token,
    } = world;
    ctx.tasks.close().await;
    let world = World::over(dir).await;
    assert_eq!((world.address, &world.token), (address, &token));
    assert_eq!(world.append(0, b"abcd").await, "4\n");
}

#[tokio::test]
async fn a_token_that_is_removed_is_never_used_again() {
    let world = World::start().await;
    let World { ctx, dir, token, .. } = world;
    ctx.tasks.close().await;
    let file = dir.path().join("push.token");
    fs::write(dir.path().join("push.new"), "a save that was cut").expect("room");
    assert!(remove_token(&file).expect("removed"));
    assert!(!remove_token(&file).expect("absent"));
    let left = fs::read_dir(dir.path()).expect("a folder").flatten();
    assert_eq!(left.map(|entry| entry.file_name()).collect::<Vec<_>>(), ["root"]);
    assert_ne!(World::over(dir).await.token, token);
}
