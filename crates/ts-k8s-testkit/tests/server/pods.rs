//! Logs and commands, forwarded to whoever plays the node.

use super::*;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{AsyncReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams, LogParams};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ts_k8s_testkit::{Exec, Node, PodRef};

/// A node whose logs are three lines, and whose only command says its input in capitals, and ends with the code in its name.
#[derive(Default)]
struct Echo {
    asked: Mutex<Vec<String>>,
    /// All that the commands got as input, once it ended.
    heard: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Node for Echo {
    fn log(&self, pod: &PodRef, query: &HashMap<String, String>) -> Result<BoxStream<'static, Bytes>, (u16, String)> {
        let asked = format!("{} {} {:?}", pod.name, query["container"], query.get("tailLines"));
        self.asked.lock().expect("a lock").push(asked);
        match query["container"].as_str() {
            "waits" => Err((
                400,
                "container \"waits\" in pod \"p\" is waiting to start: ContainerCreating".to_owned(),
            )),
            _ => Ok(stream::iter(["one\n", "two\n", "three\n"].map(Bytes::from)).boxed()),
        }
    }

    fn exec(&self, _: &PodRef, container: &str, command: &[String]) -> Result<Exec, (u16, String)> {
        self.asked
            .lock()
            .expect("a lock")
            .push(format!("{container} {}", command.join(" ")));
        let (stdin, mut input) = tokio::sync::mpsc::channel::<Option<Bytes>>(4);
        let (says, output) = tokio::sync::mpsc::channel(4);
        let (ends, code) = tokio::sync::oneshot::channel();
        let wanted: i32 = command[1].parse().map_err(|_| (500, "no code".to_owned()))?;
        let heard = Arc::clone(&self.heard);
        let echo = async move {
            let mut all = Vec::new();
            let _ = says.send((2, Bytes::from_static(b"ready"))).await;
            while let Some(Some(bytes)) = input.recv().await {
                all.extend_from_slice(&bytes);
                let _ = says.send((1, Bytes::from(bytes.to_ascii_uppercase()))).await;
            }
            *heard.lock().expect("a lock") = Some(all);
            let _ = ends.send(wanted);
        };
        let output = stream::unfold(output, async |mut output: tokio::sync::mpsc::Receiver<(u8, Bytes)>| {
            output.recv().await.map(|said| (said, output))
        });
        // The command runs as long as its output is read.
        let running = stream::once(echo).filter_map(async |()| None);
        Ok(Exec {
            stdin,
            output: stream::select(output, running).boxed(),
            code,
        })
    }
}

async fn started(setting: Setting, node: &Arc<Echo>) -> (ApiServer, Api<Pod>) {
    let server = ApiServer::start(setting).await.expect("a port");
    server.set_node(Arc::<Echo>::clone(node));
    let client = server.client("admin");
    let mut wanted = pod("p");
    wanted["spec"]["containers"] = json!([{"name": "c", "image": "i"}, {"name": "waits", "image": "i"}]);
    assert_eq!(post(&client, PODS, &wanted).await.0, 201);
    let binding = json!({"metadata": {"name": "p"}, "target": {"name": "n1"}});
    assert_eq!(post(&client, &format!("{PODS}/p/binding"), &binding).await.0, 201);
    let pods = Api::default_namespaced(client);
    (server, pods)
}

fn log_of(container: &str) -> LogParams {
    LogParams {
        container: Some(container.to_owned()),
        follow: true,
        tail_lines: Some(3),
        ..LogParams::default()
    }
}

#[tokio::test]
async fn logs_stream_from_the_node() {
    let node = Arc::new(Echo::default());
    let (_server, pods) = started(Setting::default(), &node).await;
    let mut text = String::new();
    pods.log_stream("p", &log_of("c"))
        .await
        .expect("a log")
        .read_to_string(&mut text)
        .await
        .expect("text");
    assert_eq!(text, "one\ntwo\nthree\n");
    assert_eq!(*node.asked.lock().expect("a lock"), ["p c Some(\"3\")"]);
}

#[tokio::test]
async fn logs_are_refused_as_the_server_and_the_node_refuse_them() {
    let node = Arc::new(Echo::default());
    let (server, _pods) = started(Setting::default(), &node).await;
    let client = server.client("admin");
    let message = |path: &str| {
        let (client, path) = (client.clone(), format!("{PODS}/{path}"));
        async move {
            let (status, body) = get(&client, &path).await;
            (status, body["message"].as_str().unwrap_or_default().to_owned())
        }
    };
    assert_eq!(
        message("p/log?container=waits").await,
        (
            400,
            "container \"waits\" in pod \"p\" is waiting to start: ContainerCreating".to_owned()
        )
    );
    assert_eq!(
        message("p/log").await,
        (
            400,
            "a container name must be specified for pod p, choose one of: [c waits]".to_owned()
        )
    );
    assert_eq!(
        message("p/log?container=z").await,
        (400, "container z is not valid for pod p".to_owned())
    );
    assert_eq!(message("none/log").await, (404, "pods \"none\" not found".to_owned()));
    assert_eq!(message("p/log?container=c&tailLines=-1").await.0, 422);
    assert_eq!(message("p/log?container=c&tailLines=x").await.0, 400);
    assert_eq!(post(&client, PODS, &pod("q")).await.0, 201);
    assert_eq!(
        get(&client, &format!("{PODS}/q/log")).await.0,
        204,
        "a pod without a node has no log yet"
    );
    assert_eq!(
        message("q/exec?command=a&stdout=true").await,
        (400, "pod q does not have a host assigned".to_owned())
    );
}

fn attach() -> AttachParams {
    AttachParams::default()
        .container("c")
        .stdin(true)
        .stdout(true)
        .stderr(true)
}

#[tokio::test]
async fn a_command_talks_and_tells_its_exit_code_when_its_input_can_be_closed() {
    for (code, reason) in [(0, None), (3, Some("NonZeroExitCode"))] {
        let node = Arc::new(Echo::default());
        let (_server, pods) = started(
            Setting {
                exec_v5: true,
                ..Setting::default()
            },
            &node,
        )
        .await;
        let mut process = pods
            .exec("p", ["echo", &code.to_string()], &attach())
            .await
            .expect("a process");
        let mut stdin = process.stdin().expect("an input");
        stdin.write_all("groß\n".as_bytes()).await.expect("written");
        stdin.shutdown().await.expect("closed");
        drop(stdin);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (process.stdout().expect("an output"), process.stderr().expect("errors"));
        let status = process.take_status().expect("a status");
        stdout.read_to_end(&mut out).await.expect("read");
        stderr.read_to_end(&mut err).await.expect("read");
        assert_eq!(
            (String::from_utf8_lossy(&out).as_ref(), err.as_slice()),
            ("GROß\n", &b"ready"[..])
        );
        let status = status.await.expect("a status");
        assert_eq!(
            status.status.as_deref(),
            Some(if code == 0 { "Success" } else { "Failure" })
        );
        assert_eq!(status.reason.as_deref(), reason);
        if code != 0 {
            let causes = status.details.and_then(|details| details.causes).expect("causes");
            assert_eq!(
                (causes[0].reason.as_deref(), causes[0].message.as_deref()),
                (Some("ExitCode"), Some("3"))
            );
        }
        assert_eq!(*node.asked.lock().expect("a lock"), [format!("c echo {code}")]);
    }
}

#[tokio::test]
async fn in_the_older_protocol_the_end_of_the_connection_is_the_end_of_the_input() {
    let node = Arc::new(Echo::default());
    let (_server, pods) = started(Setting::default(), &node).await;
    let mut process = pods.exec("p", ["echo", "0"], &attach()).await.expect("a process");
    let mut stdin = process.stdin().expect("an input");
    stdin.write_all(b"data").await.expect("written");
    let mut stdout = process.stdout().expect("an output");
    let mut said = [0; 4];
    stdout.read_exact(&mut said).await.expect("read");
    assert_eq!(&said, b"DATA");
    assert_eq!(*node.heard.lock().expect("a lock"), None, "the input is still open");
    stdin.shutdown().await.expect("closed");
    let heard = Arc::clone(&node.heard);
    until("the command saw the end of its input, and went on", async || {
        heard.lock().expect("a lock").is_some()
    })
    .await;
    assert_eq!(node.heard.lock().expect("a lock").as_deref(), Some(&b"data"[..]));
}
