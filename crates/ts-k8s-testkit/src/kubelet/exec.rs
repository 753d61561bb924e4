//! Commands in containers that run, as `kubectl exec` starts them.
//!
//! A command has the variables, the working directory and the mounts of its container, and ends with it. Unlike the real ones it also
//! ends when the connection does. Source: kubernetes v1.20, `pkg/kubelet/kubelet_pods.go`, `GetExec`; messages observed on v1.20.2.

use super::{
    logs,
    process::{self, Victim},
    shared::Shared,
};
use crate::{Exec, PodRef};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin},
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

/// Starts a command in a container.
pub(super) fn exec(shared: &Shared, pod: &PodRef, container: &str, command: &[String]) -> Result<Exec, (u16, String)> {
    if shared.is_lost() {
        return Err(logs::unreachable("exec", pod, container));
    }
    let run = shared.pods().get(&pod.uid).cloned();
    let run = run.ok_or_else(|| (404, format!("pod \"{}\" does not exist", pod.name)))?;
    let live = {
        let state = run.state();
        let mut cells = state.cells();
        cells
            .find(|cell| cell.told.name == container || container.is_empty())
            .and_then(|cell| cell.live.clone())
    };
    let live = live.ok_or_else(|| (500, format!("container not found (\"{container}\")")))?;
    let command: Vec<String> = command.iter().map(|part| live.mounts.apply(part)).collect();
    let child = live.launch.start(&command, true).map_err(|why| {
        let why = why.replace(
            "OCI runtime create failed: runc create failed",
            "OCI runtime exec failed: exec failed",
        );
        (
            500,
            format!("error executing command in container: failed to exec in container: failed to start exec: {why}"),
        )
    })?;
    Ok(serve(shared, child))
}

/// Connects a process with whoever asked for it.
fn serve(shared: &Shared, mut child: Child) -> Exec {
    let (stdin, input) = mpsc::channel(16);
    let (output_sender, output) = mpsc::channel(16);
    let (code_sender, code) = oneshot::channel();
    let dropped = CancellationToken::new();
    let guard = dropped.clone().drop_guard();
    if let Some(pipe) = child.stdin.take() {
        shared.spawn(feed(pipe, input));
    }
    let (out, err) = (child.stdout.take(), child.stderr.take());
    shared.spawn(async move {
        let session = child.id();
        let copied = async {
            tokio::join!(copy(1, out, &output_sender), copy(2, err, &output_sender));
            child.wait().await.map_or(128, process::exit_code)
        };
        tokio::select! {
            // Nobody may listen any more.
            code = copied => drop(code_sender.send(code)),
            () = dropped.cancelled() => {}
        }
        if child.id().is_some() {
            // It has not ended. Only its own session: the mark is that of the whole container.
            let victim = Victim { mark: None, session };
            // It fails only where the whole program ends.
            let _ = tokio::task::spawn_blocking(move || process::kill_all(&[victim])).await;
            let _ = child.wait().await;
        }
    });
    let output = stream::unfold((output, guard), |(mut output, guard)| async {
        let item: (u8, Bytes) = output.recv().await?;
        Some((item, (output, guard)))
    });
    Exec {
        stdin,
        output: output.boxed(),
        code,
    }
}

async fn feed(mut pipe: ChildStdin, mut input: mpsc::Receiver<Option<Bytes>>) {
    while let Some(Some(bytes)) = input.recv().await {
        if pipe.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn copy(channel: u8, from: Option<impl AsyncRead + Unpin>, to: &mpsc::Sender<(u8, Bytes)>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to
            .send((channel, Bytes::copy_from_slice(&buffer[..count])))
            .await
            .is_err()
        {
            return;
        }
    }
}
