//! Talks in which nothing is said for long, over the API server of the tests. Time moves by hand.

use super::*;
use kube::{Api, api::PostParams};
use serde_json::json;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{Mutex, mpsc, oneshot};
use ts_k8s_testkit::{ApiServer, Node, PodRef, Setting};
use ts_testkit::{TestClock, conformance::DEADLINE};

/// A command as it is seen from within its container.
struct Command {
    stdin: mpsc::Receiver<Option<Bytes>>,
    says: mpsc::Sender<(u8, Bytes)>,
    _end: oneshot::Sender<i32>,
}

impl Command {
    async fn hears(&mut self) -> Bytes {
        self.stdin.recv().await.flatten().expect("an open stream")
    }

    async fn says(&self, line: &'static str) {
        self.says
            .send((STDOUT, Bytes::from_static(line.as_bytes())))
            .await
            .expect("an open stream");
    }
}

/// A node that leaves its commands to the test.
struct Stage(mpsc::UnboundedSender<Command>);

impl Node for Stage {
    fn log(
        &self,
        _: &PodRef,
        _: &HashMap<String, String>,
    ) -> std::result::Result<BoxStream<'static, Bytes>, (u16, String)> {
        Err((404, "there is no log".to_owned()))
    }

    fn exec(&self, _: &PodRef, _: &str, _: &[String]) -> std::result::Result<ts_k8s_testkit::Exec, (u16, String)> {
        let (input, stdin) = mpsc::channel(4);
        let (says, output) = mpsc::channel(4);
        let (end, code) = oneshot::channel();
        let command = Command { stdin, says, _end: end };
        self.0.send(command).map_err(|_| (500, "the test is over".to_owned()))?;
        let output = stream::unfold(output, async |mut output| Some((output.recv().await?, output)));
        Ok(ts_k8s_testkit::Exec {
            stdin: input,
            output: output.boxed(),
            code,
        })
    }
}

struct World {
    server: ApiServer,
    cluster: Cluster,
    commands: Mutex<mpsc::UnboundedReceiver<Command>>,
    clock: TestClock,
}

impl World {
    async fn new() -> Self {
        let server = ApiServer::start(Setting::default()).await.expect("a port");
        let (sender, commands) = mpsc::unbounded_channel();
        server.set_node(Arc::new(Stage(sender)));
        let client = server.client("admin");
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let pod = serde_json::from_value(pod).expect("a pod");
        pods.create(&PostParams::default(), &pod).await.expect("room");
        let binding = json!({"metadata": {"name": "p"}, "target": {"name": "n1"}});
        let _: serde_json::Value = pods
            .create_subresource("binding", "p", &PostParams::default(), &binding)
            .await
            .expect("a node");
        Self {
            cluster: Cluster {
                streams: client.clone(),
                client,
                namespace: "default".to_owned(),
                address: server.address().to_string(),
            },
            server,
            commands: Mutex::new(commands),
            clock: TestClock::new(),
        }
    }

    async fn talk(&self) -> (Talk<'_>, Command) {
        let talk = Talk::start(&self.clock, &self.cluster, ("p", "c"), &["listen"]).await;
        let command = self.commands.lock().await.recv().await;
        (talk.expect("a stream"), command.expect("a command"))
    }

    /// Lets time pass once the waiting side has gone to sleep, for its next message and for its patience.
    async fn passes(&self, time: Duration) {
        self.clock.until_sleepers(2).await;
        self.clock.advance(time);
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("in time")
}

#[tokio::test]
async fn a_stream_on_which_an_answer_is_awaited_carries_an_empty_message_every_half_minute() {
    let world = World::new().await;
    let (mut talk, mut command) = world.talk().await;
    let passes = async {
        for _ in 0..9 {
            world.passes(PULSE).await;
            assert_eq!(command.hears().await, Bytes::new(), "the command notices nothing");
        }
        command.says("placed\n").await;
    };
    let (heard, ()) = in_time(future::join(talk.hear(), passes)).await;
    assert_eq!(heard.expect("a line"), "placed");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_not_awaited_for_ever() {
    let world = World::new().await;
    let (mut talk, mut command) = world.talk().await;
    let passes = async {
        for _ in 0..9 {
            world.passes(PULSE).await;
            command.hears().await;
        }
        world.passes(PULSE).await;
    };
    let (heard, ()) = in_time(future::join(talk.hear(), passes)).await;
    let error = heard.expect_err("nobody spoke");
    assert!(error.message().contains("no answer comes"), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_stream_that_is_cut_while_it_is_quiet_may_be_opened_anew() {
    let world = World::new().await;
    let (mut talk, mut command) = world.talk().await;
    let cut = async {
        world.passes(PULSE).await;
        command.hears().await;
        world.server.cut_commands();
    };
    let (heard, ()) = in_time(future::join(talk.hear(), cut)).await;
    let error = heard.expect_err("the stream is cut");
    assert!(error.message().contains("the stream was cut off"), "{error}");
    assert!(error.is_retryable());
    let (mut talk, command) = in_time(world.talk()).await;
    let (heard, ()) = in_time(future::join(talk.hear(), command.says("there\n"))).await;
    assert_eq!(heard.expect("a line"), "there");
}
