//! Events: in order, at once, and an honest word to those who are too slow.

use crate::{
    client::{get, request},
    world::{World, config, limits, stored, within},
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use ts_manager::{
    control::Request,
    store::{Change, ExperimentStatus},
};

/// A client that listens.
struct Listener {
    lines: tokio::io::Lines<BufReader<TcpStream>>,
}

#[derive(Debug)]
struct Event {
    id: u64,
    name: String,
    data: Value,
}

impl Listener {
    async fn new(at: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(at).await.unwrap();
        let text = request(at, "GET", "/api/v2/events", &[], b"");
        socket.write_all(&text).await.unwrap();
        let mut lines = BufReader::new(socket).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        assert_eq!(first, "HTTP/1.1 200 OK");
        let mut is_stream = false;
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            is_stream |= line == "content-type: text/event-stream";
            if line.is_empty() {
                assert!(is_stream);
                return Self { lines };
            }
        }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        let (mut id, mut name, mut data) = (None, None, None);
        // Sizes of pieces and comments are passed over.
        while let Ok(Some(line)) = self.lines.next_line().await {
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.parse().unwrap());
            } else if let Some(text) = line.strip_prefix("event: ") {
                name = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).unwrap());
            }
            if let (Some(id), Some(data)) = (id, &data) {
                return Some(Event {
                    id,
                    name: name.unwrap(),
                    data: Value::clone(data),
                });
            }
        }
        None
    }

    async fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        within(async {
            loop {
                let event = self.next().await.expect("the stream goes on");
                if is_it(&event) {
                    return event;
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn a_trial_is_told_of_from_its_making_to_its_end_in_order_and_what_is_told_is_stored() {
    let world = World::new(config(), limits(1, 1));
    let (manager, cluster) = world.manager("wait");
    let handle = manager.handle();
    let (at, _served) = world.serve(manager.handle());
    let test = async {
        let mut listener = Listener::new(at).await;
        let first = listener.next().await.unwrap();
        assert_eq!(first.name, "snapshot");
        handle
            .ask(Request::AddTrial {
                parameters: json!({"x": 1}),
            })
            .await
            .unwrap();
        let running = listener
            .until(|e| e.name == "trial" && e.data["status"] == "RUNNING")
            .await;
        let trial = running.data["id"].as_str().unwrap().to_owned();
        assert_eq!(running.data["sequenceId"], 0);
        let id = ts_core::TrialId::new(&trial).unwrap();
        cluster
            .metric(
                &id,
                r#"{"parameter_id": 0, "trial_job_id": "x", "type": "PERIODICAL", "sequence": 0, "value": "0.5"}"#,
            )
            .unwrap();
        let metric = listener.until(|e| e.name == "metric").await;
        assert_eq!(metric.data, json!({"id": trial, "sequenceId": 0, "value": 0.5}));
        let stored = get(at, &format!("/api/v2/trials/{trial}/metrics")).await.json();
        assert_eq!(stored["metrics"][0]["number"], 0.5, "who is told can read it");
        cluster
            .metric(
                &id,
                r#"{"parameter_id": 0, "trial_job_id": "x", "type": "FINAL", "sequence": 0, "value": "0.25"}"#,
            )
            .unwrap();
        cluster.finish(&id, 0).unwrap();
        let ended = listener
            .until(|e| e.name == "trial" && e.data["status"] == "SUCCEEDED")
            .await;
        assert_eq!(ended.data["result"], 0.25);
        assert!(ended.id > running.id, "{} {}", ended.id, running.id);
        let done = listener
            .until(|e| e.name == "snapshot" && e.data["status"] == "DONE")
            .await;
        assert_eq!(done.data["counts"]["succeeded"], 1);
        assert_eq!(done.data["best"], json!({"trialId": trial, "number": 0.25}));
        assert!(
            within(listener.next()).await.is_none(),
            "the end of the experiment ends the stream"
        );
    };
    let (outcome, ()) = within(Box::pin(async { tokio::join!(manager.run(), test) })).await;
    assert_eq!(outcome.unwrap().status, ExperimentStatus::Done);
}

#[tokio::test]
async fn changes_that_another_process_made_are_seen() {
    let (world, at, _served) = stored(config()).await;
    let mut listener = Listener::new(at).await;
    let first = listener.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.id), ("snapshot", 6));
    assert_eq!(
        first.data["counts"],
        json!({"waiting": 1, "running": 1, "succeeded": 1, "failed": 1, "canceled": 1})
    );
    let ended = Change::ExperimentStatus {
        status: ExperimentStatus::Stopped,
        at: ts_core::Timestamp(9_000),
        message: None,
    };
    world.store().apply(vec![ended]).await.unwrap();
    let reset = listener.until(|e| e.name == "reset").await;
    assert_eq!(reset.id, 7);
    let now = listener.until(|e| e.name == "snapshot").await;
    assert_eq!(now.data["status"], "STOPPED");
}

#[tokio::test]
async fn there_is_room_for_many_listeners_and_no_more() {
    let (_world, at, _served) = stored(config()).await;
    let mut listeners = Vec::new();
    for _ in 0..64 {
        listeners.push(Listener::new(at).await);
    }
    let refused = get(at, "/api/v2/events").await.is(503).json();
    assert_eq!(refused["error"]["kind"], "noCapacity");
    listeners.pop();
    within(async {
        // The server notices that one has gone when it has something for it, or at its next comment.
        drop(listeners);
        while get(at, "/api/v2/experiment").await.status != 200 {}
    })
    .await;
}
