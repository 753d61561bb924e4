//! What the tests of this module stand on: the fake Azure with one vault, an environment, `az`, and a clock without waiting.
//!
//! Whatever fails here is also searched for secrets. What is expected belongs to the tests.

use super::{
    KEY,
    fake::{ASSERTION, CLIENT, Fake, NoNames, PASSWORD, Reroute, Scene, TENANT},
    fetch_through,
    wire::{Outside, metadata_client},
};
use async_trait::async_trait;
use azure_core::http::HttpClient;
use azure_identity::Executor;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Output},
    sync::{Arc, Mutex},
    time::Duration,
};
use ts_core::{Clock, Ctx, Error, ErrorKind, Result, Secret, SecretSource, Timestamp};

pub(super) const VAULT: &str = "my-vault.vault.azure.net";
pub(super) const ENTRA: &str = "login.microsoftonline.com";
pub(super) const METADATA: &str = "169.254.169.254";

/// Whoever sleeps on it wakes at once, that much later.
#[derive(Debug, Default)]
pub(super) struct Waits(pub(super) Mutex<Vec<Duration>>);

#[async_trait]
impl Clock for Waits {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap().iter().sum()
    }
    async fn sleep(&self, d: Duration) {
        self.0.lock().unwrap().push(d);
    }
}

#[derive(Debug)]
struct Variables(HashMap<&'static str, String>);

#[async_trait]
impl SecretSource for Variables {
    async fn resolve(&self, reference: &str) -> Result<Secret> {
        let name = reference.trim_start_matches("${env:").trim_end_matches('}');
        let found = self.0.get(name).map(Secret::new);
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("`{name}` is not set")))
    }
}

/// `az` with a prepared answer.
#[derive(Debug, Default)]
pub(super) struct Az {
    pub(super) answer: Mutex<Option<(i32, String, String)>>,
    pub(super) seen: Mutex<Vec<String>>,
}

#[async_trait]
impl Executor for Az {
    async fn run(&self, _: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        self.seen.lock().unwrap().push(args[1].to_string_lossy().into_owned());
        let (code, out, err) =
            self.answer
                .lock()
                .unwrap()
                .clone()
                .unwrap_or((127, String::new(), "sh: az: not found".into()));
        Ok(Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: out.into_bytes(),
            stderr: err.into_bytes(),
        })
    }
}

pub(super) struct World {
    pub(super) fake: Fake,
    pub(super) az: Arc<Az>,
    pub(super) clock: Arc<Waits>,
    pub(super) variables: HashMap<&'static str, String>,
    pub(super) vault: &'static str,
}

pub(super) fn key() -> String {
    STANDARD.encode([42; 64])
}

impl World {
    /// A vault with the secret `storage-key`, and an application in the environment that may read it.
    pub(super) async fn new() -> Self {
        let secrets = [
            ("storage-key", Some(format!("{}\n", key()))),
            ("old-key", None),
            ("no-key", Some("hunter2!".to_owned())),
        ];
        let fake = Fake::start(Scene {
            vault: VAULT.to_owned(),
            entra: ENTRA.to_owned(),
            secrets: secrets.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Scene::default()
        });
        let variables = [
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_CLIENT_SECRET", PASSWORD),
        ];
        Self {
            fake: fake.await,
            az: Arc::default(),
            clock: Arc::default(),
            variables: variables.map(|(name, value)| (name, value.to_owned())).into(),
            vault: "my-vault",
        }
    }

    /// As [`World::new`], with nothing in the environment.
    pub(super) async fn bare() -> Self {
        let mut world = Self::new().await;
        world.variables.clear();
        world
    }

    pub(super) fn scene<T>(&self, work: impl FnOnce(&mut Scene) -> T) -> T {
        work(&mut self.fake.scene.lock().unwrap())
    }

    pub(super) fn trouble(&self, host: &str, status: u16, after: Option<u64>, body: &str) {
        self.scene(|s| s.troubles.push((host.to_owned(), status, after, body.to_owned())));
    }

    pub(super) async fn fetch(&self, secret: &str) -> Result<Secret> {
        let client = metadata_client(reqwest::Client::builder().dns_resolver(Arc::new(NoNames)))?;
        let fake = self.fake.clone();
        let way: Arc<dyn HttpClient> = Arc::new(Reroute { fake, client });
        let outside = Outside {
            azure: Arc::clone(&way),
            metadata: way,
            shell: Arc::clone(&self.az) as Arc<dyn Executor>,
        };
        let mut ctx = Ctx::new("/nowhere");
        ctx.clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        ctx.secrets = Arc::new(Variables(self.variables.clone()));
        let fetched = fetch_through(&ctx, &outside, self.vault, secret).await;
        if let Err(error) = &fetched {
            assert_eq!(error.key(), Some(KEY), "{error:?}");
            let shown = format!("{error} {error:#?}");
            for hidden in [PASSWORD, ASSERTION, "eyJ0eXAi", "hunter2", &key()] {
                assert!(!shown.contains(hidden), "{shown}");
            }
        }
        fetched
    }

    /// Fails with this kind; gives message and help.
    pub(super) async fn fails(&self, secret: &str, kind: ErrorKind) -> String {
        let error = self.fetch(secret).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        format!("{error}\n{}", error.help().unwrap_or_default())
    }
}

pub(super) fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}
