//! Trials that push what they write, where no storage is mounted here: the whole suite again, every client, and what goes wrong.

use crate::world::World;
use async_trait::async_trait;
use std::{os::unix::fs::symlink, path::Path, sync::Arc, time::Duration};
use ts_core::{
    CleanupScope, Ctx, ExperimentSpec, ReasonCode, Secret, Support, TrainingService, TrialId, TrialStatus, http::Url,
};
use ts_pai::{PaiConfig, Push};
use ts_testkit::{
    ReservedPort,
    conformance::{Behavior, Client, Fixture},
};

/// A cluster whose storage is not mounted here.
pub(crate) struct Pushing {
    pub(crate) world: World,
    pub(crate) push: Push,
    port: Option<ReservedPort>,
}

impl Pushing {
    pub(crate) fn of(world: World) -> Self {
        let push = Push {
            listen: "127.0.0.1:0".parse().expect("an address"),
            address: Url::parse("http://127.0.0.1").expect("an address"),
            patience: Duration::from_mins(1),
        };
        Self {
            world,
            push,
            port: None,
        }
    }

    /// Names the port, which nobody else is given while no manager listens there.
    pub(crate) fn reserve(&mut self) {
        let port = ReservedPort::new().expect("a port");
        self.push.listen = port.address();
        self.port = Some(port);
    }

    pub(crate) fn config(&self) -> PaiConfig {
        let mut config = self.world.config();
        config.storage_name = None;
        config.local_mount = "/no/such/mount".into();
        config.container_mount = self.world.path("container").display().to_string();
        config.push = Some(self.push.clone());
        config
    }

    /// The token that trials of the experiment push with, if there is one.
    pub(crate) fn token(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.world.path("work/push.token")).ok()?;
        text.lines().next().map(str::to_owned)
    }

    /// A cluster whose image has these programs only, beside those that every image needs.
    pub(crate) async fn with_client(client: Option<(&str, &str)>) -> Self {
        let fill = |bin: &Path| {
            std::fs::create_dir(bin).expect("a folder");
            let basic = "sh bash tar mv mkdir sleep cat wc head tail date od rm setsid timeout tr";
            for name in basic.split(' ') {
                link(name, &bin.join(name));
            }
            if let Some((name, program)) = client {
                link(program, &bin.join(name));
            }
        };
        let world = World::with(|setting| {
            let bin = setting.node_dir.join("bin");
            fill(&bin);
            setting.path = Some(bin);
        });
        Self::of(world.await)
    }
}

fn link(program: &str, at: &Path) {
    let found = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(program));
    let found = found.iter().find(|path| path.exists());
    symlink(found.unwrap_or_else(|| panic!("no {program} here")), at).expect("a link");
}

#[async_trait]
impl Fixture for Pushing {
    async fn fresh() -> Self {
        Self::of(World::fresh().await)
    }
    fn ctx(&self) -> Ctx {
        self.world.ctx()
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        self.world.service_of(ctx, self.config())
    }
    fn spec(&self) -> ExperimentSpec {
        self.world.spec()
    }
    fn command(&self, behavior: &Behavior) -> String {
        self.world.command(behavior)
    }
    async fn open_gate(&self, gate: &str) {
        self.world.open_gate(gate).await;
    }
    async fn hold_queue(&self, held: bool) -> Support {
        self.world.hold_queue(held).await
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        self.world.running(trial).await
    }
    async fn leftovers(&self) -> Vec<String> {
        let mut left = self.world.leftovers().await;
        if let Ok(entries) = std::fs::read_dir(self.world.path("work/trials")) {
            left.extend(entries.flatten().map(|entry| entry.path().display().to_string()));
        }
        left.extend(self.token().map(|_| "the token of the experiment".to_owned()));
        left
    }
    fn secrets(&self) -> Vec<Secret> {
        self.world.secrets()
    }
}

mod suite {
    use super::Pushing;

    ts_testkit::conformance!(Pushing);
}

#[tokio::test]
async fn every_client_pushes_every_byte() {
    for client in [("curl", "curl"), ("wget", "wget"), ("wget", "busybox")] {
        let world = Pushing::with_client(Some(client)).await;
        let client_here = Client::start(&world).await;
        let mut watch = client_here.watch();
        // Zeros end what busybox's `wget` takes for a file; much needs several pieces.
        let text = "printf 'a\\0b\\n'; head -c 600000 /dev/zero | tr '\\0' x; printf 'end\\n'; exit 3";
        let mut trial = client_here.trial(&Behavior::quick());
        trial.command = text.to_owned();
        client_here.submit_spec(&trial).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Failed), "{client:?} {history:?}");
        let log = world.world.path("work/trials").join(trial.id.as_str()).join("stdout");
        let log = std::fs::read(log).expect("a log");
        assert_eq!(log.len(), 4 + 600_000 + 4, "{client:?}");
        assert!(log.starts_with(b"a\0b\nx") && log.ends_with(b"xend\n"), "{client:?}");
        client_here.finish().await;
    }
}

#[tokio::test]
async fn an_image_without_a_client_is_told() {
    let world = Pushing::with_client(None).await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    let why = history.why.clone().expect("a verdict");
    assert_eq!(why.code, ReasonCode::StartFailed, "{why:?}");
    assert!(why.message.contains("neither curl nor a wget"), "{why:?}");
    client.finish().await;
}

#[tokio::test]
async fn what_is_cleaned_up_takes_its_token_and_port_along() {
    let mut world = Pushing::fresh().await;
    world.reserve();
    let is_free = || ts_core::push::is_free(world.push.listen);
    let client = Client::start(&world).await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let code = client.service.prepare(&client.spec.code).await.expect("delivered");
        let trial = client.trial(&Behavior::quick());
        client.service.submit(&code, &trial).await.expect("submitted");
        let mut watch = client.watch();
        assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
        tokens.push(world.token().expect("a token"));
        is_free().await.expect_err("it listens");
        let report = client.service.cleanup(&CleanupScope::Experiment).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(world.token(), None);
        while is_free().await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    assert_ne!(tokens[0], tokens[1]);
    client.finish().await;
}
