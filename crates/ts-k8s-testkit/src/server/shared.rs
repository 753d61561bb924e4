//! What the parts of a running server share: the settings, the locked state, and the signals that end streams.

use super::setting::Setting;
use super::world::World;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How watches end when a test says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndOfWatches {
    /// The connection breaks within a frame.
    Cut,
    /// The stream ends as after a time-out.
    Close,
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) setting: Setting,
    world: Mutex<World>,
    /// Counts the ends of watches, and how the last one was.
    pub(crate) watches: watch::Sender<(u64, EndOfWatches)>,
    /// Counts how often the connections of commands were broken.
    pub(crate) commands: watch::Sender<u64>,
    /// Ends all that runs for the server.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// Of a new server.
    pub(crate) fn new(setting: Setting, world: World) -> Self {
        Self {
            setting,
            world: Mutex::new(world),
            watches: watch::Sender::new((0, EndOfWatches::Close)),
            commands: watch::Sender::default(),
            stop: CancellationToken::new(),
        }
    }

    /// The state. A test that panicked elsewhere does not hinder the server.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
