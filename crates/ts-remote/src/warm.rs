//! Connections that `validate` has made and that the first links take over, so that nobody logs in twice.

use crate::{ssh::Connection, worker::Shell};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Connections with a shell that answers, by the index of their machine. They end with the service if nobody takes them.
#[derive(Debug, Default)]
pub(crate) struct Warm(Mutex<HashMap<usize, (Connection, Shell)>>);

impl Warm {
    pub(crate) fn keep(&self, index: usize, connection: Connection, shell: Shell) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(index, (connection, shell));
    }

    /// The connection to a machine, if it still stands.
    pub(crate) fn take(&self, index: usize) -> Option<(Connection, Shell)> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&index);
        taken.filter(|(connection, shell)| !connection.is_lost() && !shell.is_ended())
    }
}
