//! Tokens: fetched once for all who wait, renewed before they expire.

use crate::{Clock, Result, Secret};
use async_trait::async_trait;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;

/// A token and how long it is to be used.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "what every source of tokens knows")]
pub struct Token {
    /// The token.
    pub value: Secret,
    /// After how long another is to be fetched; `None`: when a server refuses it.
    pub renew_after: Option<Duration>,
}

/// Where tokens come from.
#[async_trait]
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// Fetches a new one.
    ///
    /// # Errors
    /// `Auth` if the credentials are refused; others as of any request.
    async fn fetch(&self) -> Result<Token>;
}

/// The newest token of a source.
#[derive(Debug)]
pub struct Tokens {
    source: Box<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    newest: Mutex<Option<Held>>,
    /// One fetches; who comes meanwhile finds what it got.
    turn: Semaphore,
}

#[derive(Debug)]
struct Held {
    value: Secret,
    renew_at: Option<Duration>,
}

impl Tokens {
    /// Nothing is fetched yet.
    pub fn new(source: impl TokenSource + 'static, clock: Arc<dyn Clock>) -> Self {
        Self {
            source: Box::new(source),
            clock,
            newest: Mutex::new(None),
            turn: Semaphore::new(1),
        }
    }

    /// A token that is to be used now.
    ///
    /// # Errors
    /// Those of the source.
    ///
    /// # Cancel safety
    /// Dropping it loses the answer to a request for a token.
    pub async fn get(&self) -> Result<Secret> {
        if let Some(value) = self.fresh() {
            return Ok(value);
        }
        // Nobody closes it.
        let _turn = self.turn.acquire().await;
        if let Some(value) = self.fresh() {
            return Ok(value);
        }
        let token = self.source.fetch().await?;
        let value = token.value.clone();
        let renew_at = token.renew_after.map(|after| self.clock.monotonic() + after);
        *self.newest() = Some(Held {
            value: token.value,
            renew_at,
        });
        Ok(value)
    }

    /// Drops `refused` if it is the newest, so that the next who asks gets another.
    pub fn forget(&self, refused: &Secret) {
        let mut newest = self.newest();
        if newest
            .as_ref()
            .is_some_and(|held| held.value.expose() == refused.expose())
        {
            *newest = None;
        }
    }

    fn fresh(&self) -> Option<Secret> {
        let now = self.clock.monotonic();
        let newest = self.newest();
        let held = newest.as_ref().filter(|held| held.renew_at.is_none_or(|at| now < at))?;
        Some(held.value.clone())
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Tokens {
    /// Gives `t0`, `t1`, …; each for an hour.
    pub(super) fn counting() -> Self {
        #[derive(Debug, Default)]
        struct Counting(std::sync::atomic::AtomicU32);

        #[async_trait]
        impl TokenSource for Counting {
            async fn fetch(&self) -> Result<Token> {
                tokio::task::yield_now().await;
                let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(Token {
                    value: Secret::new(format!("t{n}")),
                    renew_after: Some(Duration::from_hours(1)),
                })
            }
        }
        Self::new(Counting::default(), Arc::new(crate::SystemClock::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_fetch_serves_all_who_wait() {
        let tokens = Tokens::counting();
        let all = futures_util::future::join_all((0..8).map(|_| tokens.get())).await;
        for token in all {
            assert_eq!(token.unwrap().expose(), "t0");
        }
        tokens.forget(&Secret::new("t9"));
        assert_eq!(tokens.get().await.unwrap().expose(), "t0");
        tokens.forget(&Secret::new("t0"));
        assert_eq!(tokens.get().await.unwrap().expose(), "t1");
    }

    #[tokio::test]
    async fn an_old_token_is_replaced() {
        let tokens = Tokens::counting();
        tokens.get().await.unwrap();
        tokens.newest().as_mut().unwrap().renew_at = Some(Duration::ZERO);
        assert_eq!(tokens.get().await.unwrap().expose(), "t1");
    }
}
