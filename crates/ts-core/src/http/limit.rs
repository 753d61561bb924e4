//! Limits of a server, kept before it has to ask.

use super::Reply;
use crate::Clock;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// At most so many requests in a sliding window, and none before the time that the server named.
#[derive(Debug)]
pub struct RateLimit {
    window: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    most: usize,
    sent: VecDeque<Duration>,
    not_before: Duration,
}

impl RateLimit {
    /// At most `most` requests, at least 1, within any `window`.
    pub fn new(most: usize, window: Duration) -> Self {
        Self {
            window,
            state: Mutex::new(State {
                most: most.max(1),
                sent: VecDeque::new(),
                not_before: Duration::ZERO,
            }),
        }
    }

    /// Waits until one more may be sent, and counts it.
    ///
    /// # Cancel safety
    /// Dropping it counts nothing.
    pub async fn admit(&self, clock: &dyn Clock) {
        loop {
            let wait = self.try_admit(clock.monotonic());
            match wait {
                None => return,
                Some(wait) => clock.sleep(wait).await,
            }
        }
    }

    /// How long until one more may be sent; zero: now.
    pub fn wait(&self, clock: &dyn Clock) -> Duration {
        let now = clock.monotonic();
        self.lock().wait(now, self.window)
    }

    fn try_admit(&self, now: Duration) -> Option<Duration> {
        let mut state = self.lock();
        let wait = state.wait(now, self.window);
        if wait.is_zero() {
            state.sent.push_back(now);
            return None;
        }
        Some(wait)
    }

    /// Takes over what an answer tells: how many are allowed, and until when none is.
    ///
    /// Source: express-rate-limit 5.1.1, `lib/express-rate-limit.js`: `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset`.
    pub(super) fn observe(&self, reply: &Reply, clock: &dyn Clock) {
        let number = |name| reply.header(name).and_then(|text| text.trim().parse::<usize>().ok());
        let is_used_up = reply.status() == 429 || number("x-ratelimit-remaining") == Some(0);
        let mut state = self.lock();
        if let Some(most) = number("x-ratelimit-limit") {
            state.most = most.max(1);
        }
        if let Some(wait) = reply.wait_asked().filter(|_| is_used_up) {
            state.not_before = state.not_before.max(clock.monotonic() + wait);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, now: Duration, window: Duration) -> Duration {
        while self.sent.front().is_some_and(|sent| *sent + window <= now) {
            self.sent.pop_front();
        }
        let by_count = match self.sent.len().checked_sub(self.most) {
            Some(over) => self.sent[over] + window,
            None => Duration::ZERO,
        };
        by_count.max(self.not_before).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides() {
        let limit = RateLimit::new(2, Duration::from_secs(10));
        let at = Duration::from_secs;
        assert_eq!(limit.try_admit(at(1)), None);
        assert_eq!(limit.try_admit(at(4)), None);
        assert_eq!(limit.try_admit(at(5)), Some(at(6)));
        assert_eq!(limit.try_admit(at(11)), None);
        assert_eq!(limit.try_admit(at(11)), Some(at(3)));
        limit.lock().most = 1;
        assert_eq!(
            limit.try_admit(at(14)),
            Some(at(7)),
            "the server allows less than we thought"
        );
        limit.lock().not_before = at(60);
        assert_eq!(limit.try_admit(at(30)), Some(at(30)));
        assert_eq!(limit.try_admit(at(60)), None);
    }
}
