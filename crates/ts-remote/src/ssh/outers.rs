//! Connections to jump hosts, one for all machines behind each: a jump host lets few in at a time (sshd_config(5),
//! `MaxStartups`), and channels to other hosts do not count as sessions.

use super::{
    connection::{Connection, Hop, WeakConnection, connect},
    target::Target,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;
use ts_core::Result;

/// The jump hosts that somebody goes through. A connection ends with the last that uses it.
#[derive(Debug, Default)]
pub(crate) struct Outers(Mutex<HashMap<String, Arc<Outer>>>);

/// One jump host.
#[derive(Debug)]
struct Outer {
    /// The turn to connect: whoever comes meanwhile finds the connection.
    turn: Semaphore,
    kept: Mutex<Option<WeakConnection>>,
}

impl Outers {
    /// A connection to the jump host, made or found.
    ///
    /// # Errors
    /// As [`connect`].
    pub(super) async fn connection(&self, jump: &Target, hops: &mut Vec<Hop>) -> Result<Connection> {
        let outer = self.outer(jump);
        // Nobody closes the semaphore.
        let _turn = outer.turn.acquire().await;
        if let Some(kept) = outer.kept() {
            return Ok(kept);
        }
        let connection = connect(jump, self, hops).await?;
        *outer.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.downgrade());
        Ok(connection)
    }

    fn outer(&self, jump: &Target) -> Arc<Outer> {
        // What is trusted and who logs in may differ between two machines behind the same host.
        let key = format!("{} {} {:?}", jump.address(), jump.key_name, jump.policy);
        let mut outers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outer = outers.entry(key).or_insert_with(|| {
            Arc::new(Outer {
                turn: Semaphore::new(1),
                kept: Mutex::default(),
            })
        });
        Arc::clone(outer)
    }
}

impl Outer {
    fn kept(&self) -> Option<Connection> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = kept.as_ref()?.upgrade()?;
        (!connection.is_lost()).then_some(connection)
    }
}
