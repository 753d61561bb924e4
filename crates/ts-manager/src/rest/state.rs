//! What all handlers share.

use super::{Assets, Commands, readers::Readers, stored::Token};
use crate::{
    ExperimentDirectory,
    store::{ExperimentRow, Optimize, TrialRow},
};
use std::{net::SocketAddr, ops::Deref, sync::Arc, time::Duration};
use tokio::sync::{Mutex, Semaphore};
use ts_core::{Ctx, Result, TrialId};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct State(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ctx: Ctx,
    pub(super) directory: ExperimentDirectory,
    pub(super) readers: Arc<Readers>,
    pub(super) commands: Arc<dyn Commands>,
    pub(super) optimize: Optimize,
    pub(super) assets: Option<Arc<dyn Assets>>,
    pub(super) token: Option<Token>,
    /// In the addresses of the trials' channels, if they have any.
    pub(super) channel: Option<Token>,
    pub(super) bound: SocketAddr,
    /// Without slashes; empty where there is none.
    pub(super) prefix: String,
    /// Who may listen to events.
    pub(super) listeners: Arc<Semaphore>,
    /// Held by whoever reads limits to change some of them.
    pub(super) limits: Mutex<()>,
}

impl State {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// For how long the experiment has run.
    pub(super) fn duration(&self, row: &ExperimentRow) -> Duration {
        row.duration_at(self.ctx.clock.now(), self.directory.manager().is_some())
    }

    /// The trial that a path names.
    pub(super) async fn trial(&self, id: &str) -> Result<TrialRow> {
        let missing = || super::error::no_trial(id);
        let wanted = TrialId::new(id).map_err(|_| missing())?;
        self.readers
            .read(move |reader| reader.trial(&wanted))
            .await?
            .ok_or_else(missing)
    }
}

impl Deref for State {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}
