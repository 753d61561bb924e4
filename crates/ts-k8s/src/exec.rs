//! Commands in containers, through the API server: what they say and how they end. `talk` has those that are talked with.

use crate::{access::Cluster, error};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use ts_core::{Clock, Error, ErrorKind, Result, Retry};

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_mins(5);
/// Most bytes that are read of what a command says.
const MOST_OUTPUT: u64 = 256 << 20;

/// What a command has done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Done {
    /// What it said, if it succeeded.
    ///
    /// # Errors
    /// `Io` with its own words.
    pub(crate) fn into_stdout(self, what: &str) -> Result<Vec<u8>> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        let said: String = self.stderr.trim().chars().take(500).collect();
        Err(Error::new(
            ErrorKind::Io,
            format!("cannot {what} in the pod (exit code {}): {said}", self.code),
        ))
    }
}

/// Runs a command to its end.
pub(crate) async fn run(
    clock: &dyn Clock,
    cluster: &Cluster,
    pod: &str,
    container: &str,
    command: &[&str],
) -> Result<Done> {
    tokio::select! {
        done = run_to_end(cluster, pod, container, command) => done,
        () = clock.sleep(TIMEOUT) => Err(lost(pod)),
    }
}

async fn run_to_end(cluster: &Cluster, pod: &str, container: &str, command: &[&str]) -> Result<Done> {
    let mut process = start(cluster, pod, container, command).await?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err, status) = (process.stdout(), process.stderr(), process.take_status());
    let read_out = async {
        match out {
            Some(out) => out.take(MOST_OUTPUT).read_to_end(&mut stdout).await.map(drop),
            None => Ok(()),
        }
    };
    let read_err = async {
        match err {
            Some(err) => err.take(64 * 1024).read_to_end(&mut stderr).await.map(drop),
            None => Ok(()),
        }
    };
    let status = async {
        match status {
            Some(status) => status.await,
            None => None,
        }
    };
    let (out, err, status) = tokio::join!(read_out, read_err, status);
    out.and(err).map_err(|e| lost(pod).with_source(e))?;
    Ok(Done {
        code: code_of(status).ok_or_else(|| lost(pod))?,
        stdout,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

async fn start(cluster: &Cluster, pod: &str, container: &str, command: &[&str]) -> Result<AttachedProcess> {
    let pods: Api<Pod> = Api::namespaced(cluster.streams.clone(), &cluster.namespace);
    let parameters = AttachParams {
        max_stdout_buf_size: Some(64 * 1024),
        max_stderr_buf_size: Some(64 * 1024),
        ..parameters(container)
    };
    pods.exec(pod, command.iter().copied(), &parameters)
        .await
        .map_err(|e| not_started(pod, e))
}

/// A command of which both outputs are heard.
pub(crate) fn parameters(container: &str) -> AttachParams {
    AttachParams::default()
        .container(container)
        .stdin(false)
        .stdout(true)
        .stderr(true)
}

/// That the server does not start a command.
pub(crate) fn not_started(pod: &str, error: kube::Error) -> Error {
    let what = format!("run a command in pod `{pod}`");
    match error {
        // The server's words are lost on a refused upgrade.
        kube::Error::UpgradeConnection(kube::client::UpgradeConnectionError::ProtocolSwitch(status)) => {
            let code = status.as_u16();
            let said = match code {
                403 => "the permission `create` and `get` on `pods/exec` is missing",
                404 => "the pod or its container is gone",
                _ => "the server did not open the stream",
            };
            error::of_code(&what, code, said)
        }
        other => error::of_api(&what, other),
    }
}

/// The exit code that a status tells; `None` if the command was cut off.
///
/// Source: kubernetes v1.20, `staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go`.
pub(crate) fn code_of(status: Option<Status>) -> Option<i32> {
    let status = status?;
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let cause = causes
        .iter()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    cause.message.as_deref()?.parse().ok()
}

pub(crate) fn lost(pod: &str) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!("the connection to a command in pod `{pod}` was lost"),
    )
    .with_retry(Retry::MaybeApplied { after: None })
}
