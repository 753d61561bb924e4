//! What the API server of the tests asks of whoever runs pods: their logs, and commands in their containers.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::collections::HashMap;

/// Runs pods. The server forwards the subresources `log` and `exec` of a pod to it, as the real one does to a kubelet.
pub trait Node: Send + Sync + 'static {
    /// The log of a container, as `GET …/pods/{name}/log` answers it.
    ///
    /// # Errors
    /// HTTP status and message: 400 while the container waits to start, 404 once its files are gone.
    fn log(&self, pod: &PodRef, query: &HashMap<String, String>) -> Result<BoxStream<'static, Bytes>, (u16, String)>;

    /// Runs a command in a container that runs.
    ///
    /// # Errors
    /// HTTP status and message, as for [`Node::log`].
    fn exec(&self, pod: &PodRef, container: &str, command: &[String]) -> Result<Exec, (u16, String)>;
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, by which a pod of the same name is another one.
    pub uid: String,
}

/// A command that runs in a container. Dropping it ends the command.
pub struct Exec {
    /// Where its standard input goes; `None` as a message, or dropping the sender, closes it.
    pub stdin: tokio::sync::mpsc::Sender<Option<Bytes>>,
    /// What it says: channel 1 is standard output, 2 standard error.
    pub output: BoxStream<'static, (u8, Bytes)>,
    /// Its exit code, once the output has ended.
    pub code: tokio::sync::oneshot::Receiver<i32>,
}
