//! Talking to a running manager from another process: one JSON line each way over a Unix socket in the experiment's
//! directory. No port is opened; the file system's permissions decide who may talk.

use crate::{ExperimentDirectory, source::ImportedResult, store::Limits};
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};
use ts_core::{Error, ErrorKind, IdSource, RandomIds, Result, TaskScope, TrialId};

/// What can be asked of a running manager.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
#[non_exhaustive]
pub enum Request {
    /// Cancel these trials.
    Cancel {
        /// Ids of the trials.
        trials: Vec<TrialId>,
    },
    /// Start no more, cancel what runs, end.
    Stop,
    /// Run ended trials again with their parameters.
    Retry {
        /// Ids of the trials; empty means every failed one.
        trials: Vec<TrialId>,
    },
    /// Change limits.
    Update {
        /// The new limits, all of them.
        limits: Limits,
    },
    /// Run a trial with parameters that a person chose. It waits for a place among the trials that run at a time.
    AddTrial {
        /// Its parameters: an object.
        parameters: serde_json::Value,
    },
    /// Tell the parameter source of results from elsewhere.
    ImportData {
        /// The results.
        results: Vec<ImportedResult>,
    },
    /// Take what a trial reports by another way than its journal, in this order.
    Report {
        /// The trial.
        trial: TrialId,
        /// Bodies as in the records of a journal. A `REQUEST_PARAMETER` without `parameter_index` asks for the next parameters, the
        /// first such request for those that the trial began with.
        bodies: Vec<String>,
    },
    /// Propose from another search space from now on.
    UpdateSearchSpace {
        /// The space, as the configuration has it.
        space: serde_json::Value,
    },
}

/// The manager's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// Ids that the request was carried out for.
    #[serde(default)]
    pub done: Vec<TrialId>,
    /// What could not be done, each a message for people.
    #[serde(default)]
    pub problems: Vec<String>,
}

pub(crate) type Command = (Request, oneshot::Sender<Response>);

/// Imported results may be long.
const LONGEST_LINE: u64 = 64 << 20;
/// `sun_path` holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
const LONGEST_ADDRESS: usize = 100;

/// A socket that is listened on; dropping it removes it.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    address: PathBuf,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = remove_stale(&self.address) {
            tracing::debug!(%error, "the control socket is left behind");
        }
    }
}

/// Listens until the scope is closed.
///
/// # Errors
/// `Io` if the socket cannot be made.
pub(crate) fn serve(
    dir: &ExperimentDirectory,
    tasks: &TaskScope,
    commands: mpsc::Sender<Command>,
) -> Result<ControlSocket> {
    let address = dir.control_address();
    remove_stale(&address)?;
    let real = socket_path(dir)?;
    let listener = UnixListener::bind(&real).map_err(|e| Error::io("listen on", &real, e))?;
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&real, owner_only).map_err(|e| Error::io("protect", &real, e))?;
    if real != address {
        std::os::unix::fs::symlink(&real, &address).map_err(|e| Error::io("link", &address, e))?;
    }
    let scope = tasks.clone();
    tasks.spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => scope.spawn(answer(stream, commands.clone())),
                Err(error) => {
                    tracing::warn!(%error, "the control socket stopped accepting");
                    return;
                }
            }
        }
    });
    Ok(ControlSocket { address })
}

/// The socket lies in the experiment's directory, or, where that path is too long for a socket, in a private temporary
/// directory to which a link in the experiment's directory leads.
fn socket_path(dir: &ExperimentDirectory) -> Result<PathBuf> {
    let here = dir.control_address();
    if here.as_os_str().len() <= LONGEST_ADDRESS {
        return Ok(here);
    }
    let private = std::env::temp_dir().join(format!("ts-control-{}", RandomIds.trial()));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&private)
        .map_err(|e| Error::io("create", &private, e))?;
    Ok(private.join("control.sock"))
}

/// Removes what an earlier manager left, the private directory behind a link included.
fn remove_stale(address: &Path) -> Result<()> {
    if let Ok(socket) = std::fs::read_link(address) {
        // A leftover in the temporary directory is harmless; only the address itself must go.
        let _ = std::fs::remove_file(&socket);
        let _ = socket.parent().map(std::fs::remove_dir);
    }
    match std::fs::remove_file(address) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("replace", address, e)),
        _ => Ok(()),
    }
}

async fn answer(mut stream: UnixStream, commands: mpsc::Sender<Command>) {
    let (read, mut write) = stream.split();
    let mut lines = tokio::io::BufReader::new(read.take(LONGEST_LINE)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let response = match serde_json::from_str(&line) {
            Ok(request) => ask(&commands, request).await,
            Err(e) => Response {
                problems: vec![format!("the request is not understood: {e}")],
                ..Response::default()
            },
        };
        let Ok(mut text) = serde_json::to_vec(&response) else {
            return;
        };
        text.push(b'\n');
        if write.write_all(&text).await.is_err() {
            return;
        }
    }
}

async fn ask(commands: &mpsc::Sender<Command>, request: Request) -> Response {
    let (reply, response) = oneshot::channel();
    let sent = commands.send((request, reply)).await.is_ok();
    match response.await {
        Ok(response) if sent => response,
        _ => Response {
            problems: vec!["the manager is ending".into()],
            ..Response::default()
        },
    }
}

/// Sends a request to the manager of an experiment and waits for its answer. Blocking.
///
/// # Errors
/// `NotFound` if no manager runs the experiment; `TimedOut` after 30 s without an answer; `Protocol` if it is not understood.
pub fn call(dir: &ExperimentDirectory, request: &Request) -> Result<Response> {
    let address = dir.control_address();
    let address = std::fs::read_link(&address).unwrap_or(address);
    let stream = std::os::unix::net::UnixStream::connect(&address).map_err(|e| {
        Error::new(
            ErrorKind::NotFound,
            format!("no manager runs the experiment in `{}`", dir.path().display()),
        )
        .with_help("`tsctl resume` runs it again")
        .with_source(e)
    })?;
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            Error::new(ErrorKind::TimedOut, "the manager did not answer within 30 s").with_source(e)
        }
        _ => Error::new(ErrorKind::Unreachable, "the connection to the manager broke").with_source(e),
    };
    let answer = || -> std::io::Result<String> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        (&stream).write_all(&text)?;
        let mut line = String::new();
        BufReader::new((&stream).take(LONGEST_LINE)).read_line(&mut line)?;
        Ok(line)
    };
    let line = answer().map_err(failed)?;
    serde_json::from_str(&line)
        .map_err(|e| Error::new(ErrorKind::Protocol, "the manager's answer is not understood").with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(dir: &ExperimentDirectory) -> (TaskScope, ControlSocket) {
        let tasks = TaskScope::new();
        let (tx, mut rx) = mpsc::channel::<Command>(1);
        let socket = serve(dir, &tasks, tx).unwrap();
        tasks.spawn(async move {
            while let Some((request, reply)) = rx.recv().await {
                let done = match request {
                    Request::Cancel { trials } => trials,
                    _ => vec![],
                };
                let _ = reply.send(Response { done, problems: vec![] });
            }
        });
        (tasks, socket)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_request_is_answered_also_where_the_path_is_too_long_for_a_socket() {
        let tmp = tempfile::tempdir().unwrap();
        for name in ["e".to_string(), "long".repeat(30)] {
            let dir = ExperimentDirectory::at(tmp.path().join(name));
            dir.create().unwrap();
            let (tasks, socket) = echo(&dir);
            let trials = vec![TrialId::new("Abc").unwrap()];
            let request = Request::Cancel { trials: trials.clone() };
            let asked = dir.clone();
            let response = tokio::task::spawn_blocking(move || call(&asked, &request))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(response.done, trials);
            let mode = std::fs::metadata(dir.control_address()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            tasks.close().await;
            drop(socket);
            assert!(
                std::fs::symlink_metadata(dir.control_address()).is_err(),
                "it is removed"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nonsense_is_answered_with_a_problem_and_nobody_with_not_found() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = ExperimentDirectory::at(tmp.path());
        assert_eq!(call(&dir, &Request::Stop).unwrap_err().kind(), ErrorKind::NotFound);
        let (tasks, socket) = echo(&dir);
        let address = dir.control_address();
        let line = tokio::task::spawn_blocking(move || {
            let mut stream = std::os::unix::net::UnixStream::connect(address).unwrap();
            stream.write_all(b"{\"do\":\"fly\"}\n").unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            line
        })
        .await
        .unwrap();
        assert!(line.contains("not understood"), "{line}");
        tasks.close().await;
        drop(socket);
    }
}
