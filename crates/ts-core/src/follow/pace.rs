//! How often a platform is asked: less often while nothing changes, and later after failures.
//!
//! Waiting itself, and what cuts it short, is each platform's own.

use crate::{Error, Retry};
use std::time::Duration;

/// Most that the interval grows to, as a multiple.
const MOST_GROWTH: u32 = 4;
/// Looks without news until the interval has grown by its own length.
const QUIET: u32 = 8;
/// Most doublings of the interval after failures.
const MOST_DOUBLINGS: u32 = 4;

/// The pace of looks at a platform.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    /// Least wait that the platform asks for, or that a failure asks for.
    asked: Duration,
    quiet: u32,
    failures: u32,
}

impl Pace {
    /// A look each `interval` at most.
    pub const fn new(interval: Duration) -> Self {
        Self {
            interval,
            asked: Duration::ZERO,
            quiet: 0,
            failures: 0,
        }
    }

    /// Time until the next look, whatever happens meanwhile.
    pub fn least(&self) -> Duration {
        self.interval.max(self.asked)
    }

    /// Time until the next look if nothing happens meanwhile: up to four times as long, while nothing changes.
    pub fn most(&self) -> Duration {
        self.least() * (1 + self.quiet / QUIET).min(MOST_GROWTH)
    }

    /// A look succeeded; `asked` is the wait that the platform asks for, or zero.
    pub fn succeeded(&mut self, has_news: bool, asked: Duration) {
        (self.asked, self.failures) = (asked, 0);
        self.quiet = if has_news { 0 } else { self.quiet.saturating_add(1) };
    }

    /// A look failed; says whether to tell it. One failure is an accident, unless another try does not mend it.
    #[must_use]
    pub fn failed(&mut self, error: &Error) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.asked = wait_after(error, self.interval * 2_u32.pow(self.failures.min(MOST_DOUBLINGS)));
        self.failures > 1 || !error.is_retryable()
    }
}

/// How long to wait after `error` before another try: `own`, or longer if the other side asks for it.
pub fn wait_after(error: &Error, own: Duration) -> Duration {
    let asked = match error.retry() {
        Retry::NotApplied { after } | Retry::MaybeApplied { after } => after,
        Retry::Never => None,
    };
    own.max(asked.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_pace_slackens_while_nothing_changes() {
        let mut pace = Pace::new(secs(3));
        assert_eq!((pace.least(), pace.most()), (secs(3), secs(3)));
        for (looks, most) in [(7, 3), (1, 6), (8, 9), (8, 12), (100, 12)] {
            (0..looks).for_each(|_| pace.succeeded(false, Duration::ZERO));
            assert_eq!((pace.least(), pace.most()), (secs(3), secs(most)));
        }
        pace.succeeded(true, secs(5));
        assert_eq!((pace.least(), pace.most()), (secs(5), secs(5)));
        pace.succeeded(true, Duration::ZERO);
        assert_eq!(pace.least(), secs(3));
    }

    #[test]
    fn failures_slow_it_down_and_the_second_is_told() {
        let passing = |after| Error::new(ErrorKind::Unreachable, "x").with_retry(Retry::NotApplied { after });
        let mut pace = Pace::new(secs(1));
        for (is_told, least) in [(false, 2), (true, 4), (true, 8), (true, 16), (true, 16)] {
            assert_eq!((pace.failed(&passing(None)), pace.least()), (is_told, secs(least)));
        }
        assert!(pace.failed(&passing(Some(secs(60)))));
        assert_eq!(pace.least(), secs(60));
        pace.succeeded(false, Duration::ZERO);
        assert_eq!(pace.least(), secs(1));
        assert!(
            pace.failed(&Error::new(ErrorKind::Auth, "x")),
            "it does not heal by itself"
        );
    }
}
