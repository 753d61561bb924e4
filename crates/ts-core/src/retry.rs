//! The one place that tries again: bounded in tries and in elapsed time.

use crate::{Clock, Error, Result, Retry};
use std::{future::Future, time::Duration};

/// How often and how long to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Most tries, the first included; at least 1. Default 5.
    pub max_tries: u32,
    /// No new try starts after this much time. Default 2 min.
    pub max_elapsed: Duration,
    /// Wait before the second try; doubles with each, with jitter. Default 200 ms.
    pub first_wait: Duration,
    /// Longest wait that we choose ourselves. Default 30 s.
    pub max_wait: Duration,
}

impl RetryPolicy {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            max_tries: 5,
            max_elapsed: Duration::from_mins(2),
            first_wait: Duration::from_millis(200),
            max_wait: Duration::from_secs(30),
        }
    }

    /// The wait before try number `tries + 1`: exponential, with `jitter` in 0..1 spreading it over half of itself.
    pub fn wait(&self, tries: u32, jitter: f64) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << tries.saturating_sub(1).min(20));
        doubled.min(self.max_wait).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `attempt` until it succeeds, fails for good, or the policy's bounds are reached.
///
/// `attempt` gets the number of tries before it. After [`Retry::MaybeApplied`] it must look first, by stamp; `retry` cannot
/// do that for it, so such an error is tried again only if `looks_first` is true.
///
/// # Errors
/// The last error of `attempt`.
///
/// # Cancel safety
/// As safe as `attempt`.
pub async fn retry<T, F>(
    clock: &dyn Clock,
    policy: RetryPolicy,
    looks_first: bool,
    mut attempt: impl FnMut(u32) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let start = clock.monotonic();
    let mut tries = 0;
    loop {
        let error: Error = match attempt(tries).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        tries += 1;
        let after = match error.retry() {
            Retry::Never => return Err(error),
            Retry::MaybeApplied { .. } if !looks_first => return Err(error),
            Retry::NotApplied { after } | Retry::MaybeApplied { after } => after,
        };
        let wait = policy.wait(tries, rand::random()).max(after.unwrap_or_default());
        let elapsed = clock.monotonic().saturating_sub(start);
        if tries >= policy.max_tries || elapsed + wait > policy.max_elapsed {
            return Err(error.with_context("tries", tries));
        }
        tracing::debug!(%error, tries, ?wait, "trying again");
        clock.sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, SystemClock};

    fn quick() -> RetryPolicy {
        RetryPolicy {
            first_wait: Duration::from_micros(1),
            ..RetryPolicy::new()
        }
    }

    async fn tries_until_ok(ok_at: u32, retry_advice: Retry, looks_first: bool) -> (Result<u32>, u32) {
        let mut n = 0;
        let result = retry(&SystemClock::new(), quick(), looks_first, |tries| {
            n += 1;
            let result = if tries >= ok_at {
                Ok(tries)
            } else {
                Err(Error::new(ErrorKind::Unreachable, "no").with_retry(retry_advice))
            };
            async move { result }
        })
        .await;
        (result, n)
    }

    #[tokio::test]
    async fn tries_are_bounded_and_final_errors_are_final() {
        let not_applied = Retry::NotApplied { after: None };
        assert_eq!(tries_until_ok(3, not_applied, false).await.1, 4);
        let (result, n) = tries_until_ok(99, not_applied, false).await;
        assert!(result.is_err() && n == 5);
        assert_eq!(tries_until_ok(99, Retry::Never, true).await.1, 1);
        assert_eq!(
            tries_until_ok(99, Retry::MaybeApplied { after: None }, false).await.1,
            1
        );
        assert_eq!(tries_until_ok(2, Retry::MaybeApplied { after: None }, true).await.1, 3);
    }

    #[tokio::test]
    async fn a_wait_longer_than_the_budget_is_not_begun() {
        let after = Some(Duration::from_hours(1));
        assert_eq!(tries_until_ok(1, Retry::NotApplied { after }, false).await.1, 1);
    }

    #[test]
    fn waits_double_up_to_their_limit() {
        let p = RetryPolicy::new();
        assert_eq!(p.wait(1, 0.0), Duration::from_millis(200));
        assert_eq!(p.wait(3, 0.0), Duration::from_millis(800));
        assert_eq!(p.wait(60, 0.0), Duration::from_secs(30));
        assert_eq!(p.wait(1, 1.0), Duration::from_millis(100));
    }
}
