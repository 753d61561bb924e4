//! Connections that the operations of one service share: those that `validate` has made and that the first links take over,
//! and those to jump hosts. So nobody logs in twice.

use crate::{
    ssh::{Connection, Outers},
    worker::Shell,
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Shared connections. They end with the service if nobody takes them.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    /// Those with a shell that answers, by the index of their machine.
    kept: Mutex<HashMap<usize, (Connection, Shell)>>,
    pub(crate) outers: Outers,
}

impl Warm {
    pub(crate) fn keep(&self, index: usize, connection: Connection, shell: Shell) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(index, (connection, shell));
    }

    /// The connection to a machine, if it still stands.
    pub(crate) fn take(&self, index: usize) -> Option<(Connection, Shell)> {
        let taken = self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&index);
        taken.filter(|(connection, shell)| !connection.is_lost() && !shell.is_ended())
    }
}
