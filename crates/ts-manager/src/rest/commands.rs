//! Whoever carries out what the API is asked to change.

use crate::{
    ExperimentDirectory, ManagerHandle,
    control::{self, Request, Response},
};
use async_trait::async_trait;
use std::fmt::Debug;
use ts_core::{Error, ErrorKind, Result, TaskScope};

/// Carries out requests.
#[async_trait]
pub trait Commands: Debug + Send + Sync + 'static {
    /// Asks for something.
    ///
    /// # Errors
    /// `Conflict` if no manager runs the experiment.
    async fn ask(&self, request: Request) -> Result<Response>;
    /// The manager, if it runs in this process and so can tell of what happens at once.
    fn manager(&self) -> Option<&ManagerHandle>;
}

#[async_trait]
impl Commands for ManagerHandle {
    async fn ask(&self, request: Request) -> Result<Response> {
        Self::ask(self, request).await
    }
    fn manager(&self) -> Option<&ManagerHandle> {
        Some(self)
    }
}

/// The manager in another process, if one runs: looking on from outside, and at experiments that have ended.
#[derive(Debug)]
pub struct OverSocket {
    directory: ExperimentDirectory,
    tasks: TaskScope,
}

impl OverSocket {
    /// The manager of the experiment in a directory.
    pub fn new(directory: ExperimentDirectory, tasks: TaskScope) -> Self {
        Self { directory, tasks }
    }
}

#[async_trait]
impl Commands for OverSocket {
    async fn ask(&self, request: Request) -> Result<Response> {
        let directory = self.directory.clone();
        self.tasks
            .blocking(move || match directory.manager() {
                Some(_) => control::call(&directory, &request),
                None => Err(Error::new(
                    ErrorKind::Conflict,
                    "no manager runs the experiment; it can only be read",
                )
                .with_help("`tsctl resume` runs it again")),
            })
            .await
    }
    fn manager(&self) -> Option<&ManagerHandle> {
        None
    }
}
