//! `GET …/pods/{name}/exec` over a web socket: frames whose first byte is a channel, and the exit code as a `Status` on channel 3.
//!
//! Source: kubernetes v1.20, `staging/src/k8s.io/apiserver/pkg/util/wsstream/conn.go` and
//! `pkg/kubelet/cri/streaming/remotecommand/{websocket,httpstream}.go`; for version 5, v1.30
//! `apimachinery/pkg/util/remotecommand/constants.go`.

use super::call::Call;
use super::failure::{Cause, Failure};
use super::logs;
use super::shared::Shared;
use crate::Exec;
use axum::body::Body;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::sync::Arc;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const CLOSE: u8 = 255;

/// Answers it.
pub(crate) async fn answer(shared: &Arc<Shared>, call: &Call, parts: &mut Parts) -> Result<Response, Failure> {
    let (pod, node) = {
        let world = shared.world();
        (world.find(&call.kind, &call.key())?, world.node.clone())
    };
    let container = logs::container(&pod, call)?;
    if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
        return Err(Failure::bad_request(format!(
            "pod {} does not have a host assigned",
            call.place.name
        )));
    }
    let command = call.query.all("command");
    let wanted = |name: &str| call.query.flag(name);
    if command.is_empty() {
        let cause = Cause::required("command", "");
        return Err(Failure::invalid("", "PodExecOptions", &call.place.name, &[cause]));
    }
    if !["stdin", "stdout", "stderr"].iter().any(|name| wanted(name)) {
        return Err(Failure::bad_request(
            "you must specify at least 1 of stdin, stdout, stderr",
        ));
    }
    let node = node.ok_or_else(|| logs::no_node(&pod))?;
    let Ok(mut upgrade) = WebSocketUpgrade::from_request_parts(parts, &()).await else {
        return Err(Failure::bad_request("Upgrade request required"));
    };
    let versions: &[&str] = if shared.setting.exec_v5 {
        &["v5.channel.k8s.io", "v4.channel.k8s.io"]
    } else {
        &["v4.channel.k8s.io"]
    };
    let asked: Vec<String> = upgrade
        .requested_protocols()
        .filter_map(|one| one.to_str().ok())
        .map(str::to_owned)
        .collect();
    let Some(version) = versions
        .iter()
        .copied()
        .find(|version| asked.iter().any(|one| one == version))
    else {
        return Ok(StatusCode::FORBIDDEN.into_response());
    };
    let exec = node
        .exec(&logs::pod_ref(&pod), &container, &command)
        .map_err(|(code, message)| logs::from_node(code, &message, "pods/exec", call))?;
    let session = Session {
        exec,
        shared: Arc::clone(shared),
        channels: Channels {
            stdin: wanted("stdin"),
            stdout: wanted("stdout"),
            stderr: wanted("stderr"),
        },
        closes: version.starts_with("v5"),
    };
    upgrade.set_selected_protocol(HeaderValue::from_static(if session.closes {
        versions[0]
    } else {
        "v4.channel.k8s.io"
    }));
    Ok(upgrade.on_upgrade(move |socket| session.run(socket)).map(Body::new))
}

#[derive(Debug, Clone, Copy)]
struct Channels {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl Channels {
    fn carries(self, channel: u8) -> bool {
        match channel {
            STDIN => self.stdin,
            STDOUT => self.stdout,
            STDERR => self.stderr,
            _ => channel == ERROR,
        }
    }
}

struct Session {
    exec: Exec,
    shared: Arc<Shared>,
    channels: Channels,
    /// The protocol can close the standard input.
    closes: bool,
}

impl Session {
    async fn run(self, mut socket: WebSocket) {
        let Self {
            exec,
            shared,
            channels,
            closes,
        } = self;
        let Exec {
            stdin,
            mut output,
            code,
        } = exec;
        let mut stdin = channels.stdin.then_some(stdin);
        let mut cuts = shared.commands.subscribe();
        for channel in [STDOUT, STDERR, ERROR] {
            if channels.carries(channel) && socket.send(frame(channel, &[])).await.is_err() {
                return;
            }
        }
        let mut open = true;
        loop {
            tokio::select! {
                () = shared.stop.cancelled() => return,
                _ = cuts.changed() => return,
                said = output.next() => match said {
                    Some((channel, bytes)) if open && channels.carries(channel) => {
                        open = socket.send(frame(channel, &bytes)).await.is_ok();
                    }
                    Some(_) => {}
                    None => break,
                },
                heard = socket.recv(), if open => match heard {
                    Some(Ok(Message::Binary(bytes))) => hear(&mut stdin, closes, bytes).await,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => {
                        // The command's input ends, and the command goes on unheard.
                        open = false;
                        stdin = None;
                    }
                    Some(Ok(_)) => {}
                },
            }
        }
        let status = status(code.await.ok());
        if open {
            let sent = socket.send(frame(ERROR, status.to_string().as_bytes())).await;
            if sent.is_ok() {
                let normal = CloseFrame {
                    code: 1000,
                    reason: "".into(),
                };
                let closed = socket.send(Message::Close(Some(normal))).await;
                tracing::trace!(?closed, "a command in a container ended");
            }
        }
    }
}

fn frame(channel: u8, bytes: &[u8]) -> Message {
    let mut frame = BytesMut::with_capacity(bytes.len() + 1);
    frame.put_u8(channel);
    frame.put_slice(bytes);
    Message::Binary(frame.freeze())
}

async fn hear(stdin: &mut Option<tokio::sync::mpsc::Sender<Option<Bytes>>>, closes: bool, bytes: Bytes) {
    match bytes.first() {
        // Also of no bytes, which the command does not notice.
        Some(&STDIN) => {
            if let Some(open) = stdin
                && open.send(Some(bytes.slice(1..))).await.is_err()
            {
                *stdin = None;
            }
        }
        Some(&CLOSE) if closes && bytes.get(1) == Some(&STDIN) => *stdin = None,
        // The size of a terminal, and whatever else a client may send.
        _ => {}
    }
}

/// What channel 3 says of the end.
fn status(code: Option<i32>) -> Value {
    match code {
        Some(0) => json!({"metadata": {}, "status": "Success"}),
        Some(code) => json!({"metadata": {}, "status": "Failure",
            "message": format!("command terminated with non-zero exit code: Error executing in Docker Container: {code}"),
            "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}}),
        None => json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": "Internal error occurred: error executing command in container"}),
    }
}
