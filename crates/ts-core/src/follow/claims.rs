//! A trial is stored once, however often that is asked for, and goes on being stored where nobody waits for it any more.
//!
//! What is stored, and what follows from it, is each platform's own.

use super::{Known, Registry};
use crate::{Ctx, Result, TrialId};
use std::sync::Arc;
use tokio::sync::watch;

/// The trials of one service that are being stored or taken up.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// Changes when one of them is, or has failed to be.
    ended: watch::Sender<u64>,
}

impl Claims {
    /// Claims `trial` as `known` and has `store` store it, which goes on where this is dropped and blocks. Whoever asks meanwhile waits
    /// until the trial `is_stored`, and does it where that has failed.
    ///
    /// # Errors
    /// Those of `store`; nobody has claimed the trial then.
    pub async fn store<X: Send + 'static>(
        &self,
        ctx: &Ctx,
        registry: &Arc<Registry<X>>,
        trial: &TrialId,
        known: impl Fn() -> Known<X>,
        is_stored: impl Fn(&Known<X>) -> bool,
        store: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let mut ended = self.ended.subscribe();
        loop {
            if registry.claim(trial, known()) {
                let (claims, registry, trial) = (self.clone(), Arc::clone(registry), trial.clone());
                let stored = move || claims.settle(&registry, &trial, store().map(|()| true));
                return ctx.tasks.blocking(stored).await.map(drop);
            }
            if registry.with(trial, &is_stored) == Some(true) {
                return Ok(());
            }
            // Nobody drops the sender while we hold it.
            let _ = ended.changed().await;
        }
    }

    /// Claims `trial` as `known`, unless somebody has, and has `take_up` take up what an earlier service stored of it; `false` if that
    /// is nothing. Blocks.
    ///
    /// # Errors
    /// Those of `take_up`; nobody has claimed the trial then.
    pub fn take_up<X>(
        &self,
        registry: &Registry<X>,
        trial: &TrialId,
        known: Known<X>,
        take_up: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        if !registry.claim(trial, known) {
            return Ok(true);
        }
        self.settle(registry, trial, take_up())
    }

    fn settle<X>(&self, registry: &Registry<X>, trial: &TrialId, result: Result<bool>) -> Result<bool> {
        if !matches!(result, Ok(true)) {
            registry.remove(trial);
        }
        self.ended.send_modify(|n| *n += 1);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind, Timestamp};
    use futures_util::FutureExt as _;
    use std::sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    };

    struct World {
        ctx: Ctx,
        registry: Arc<Registry<bool>>,
        claims: Claims,
        trial: TrialId,
        n_stored: Arc<AtomicU32>,
    }

    impl World {
        fn new() -> Self {
            Self {
                ctx: Ctx::new("/none"),
                registry: Arc::default(),
                claims: Claims::default(),
                trial: TrialId::new("a").expect("legal"),
                n_stored: Arc::default(),
            }
        }

        /// Stores the trial once `told` says whether that succeeds.
        async fn store(&self, told: mpsc::Receiver<bool>) -> Result<()> {
            let (registry, trial, n) = (
                Arc::clone(&self.registry),
                self.trial.clone(),
                Arc::clone(&self.n_stored),
            );
            let told = Mutex::new(told);
            let work = move || {
                n.fetch_add(1, Ordering::SeqCst);
                if !told.lock().expect("no panic").recv().expect("told") {
                    return Err(Error::new(ErrorKind::Io, "no room"));
                }
                registry.update(&trial, |known| known.extra = true);
                Ok(())
            };
            let known = || Known::running(Timestamp(1), false);
            self.claims
                .store(&self.ctx, &self.registry, &self.trial, known, |known| known.extra, work)
                .await
        }
    }

    #[tokio::test]
    async fn it_is_stored_once_though_who_asked_first_waits_no_more() {
        let world = World::new();
        let (tell, told) = mpsc::channel();
        let mut first = Box::pin(world.store(told));
        assert!(first.as_mut().now_or_never().is_none());
        drop(first);
        let mut second = Box::pin(world.store(mpsc::channel().1));
        assert!(second.as_mut().now_or_never().is_none(), "it is not stored yet");
        tell.send(true).expect("it goes on");
        second.await.expect("stored");
        world.store(mpsc::channel().1).await.expect("stored");
        assert_eq!(world.n_stored.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn who_waits_does_it_where_it_has_failed() {
        let world = World::new();
        let ((tell, told), (tell_again, told_again)) = (mpsc::channel(), mpsc::channel());
        tell_again.send(true).expect("open");
        let mut first = Box::pin(world.store(told));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(world.store(told_again));
        assert!(second.as_mut().now_or_never().is_none());
        tell.send(false).expect("it waits");
        first.await.expect_err("no room");
        second.await.expect("stored");
        assert_eq!(world.n_stored.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_cannot_be_taken_up_is_claimed_by_nobody() {
        let World {
            registry,
            claims,
            trial,
            ..
        } = World::new();
        let take_up =
            |result: Result<bool>| claims.take_up(&registry, &trial, Known::running(Timestamp(1), false), || result);
        assert!(!take_up(Ok(false)).expect("nothing is stored"));
        take_up(Err(Error::new(ErrorKind::Io, "x"))).expect_err("unreadable");
        assert!(registry.get(&trial).is_none());
        assert!(take_up(Ok(true)).expect("taken up"));
        assert!(take_up(Ok(false)).expect("it is claimed already"));
    }
}
