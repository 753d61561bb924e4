//! A clock that tests advance by hand: responsible for test time and for waking its sleepers in order.
//!
//! Deadlines of the tests themselves run on real time; they are not this clock's business.

use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::watch;
use ts_core::{Clock, Timestamp};

/// Where the wall clock of a new [`TestClock`] stands: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp(1_767_225_600_000);

/// A clock that stands still until it is told to move. Clones share their time.
///
/// ```
/// use std::time::Duration;
/// use ts_core::Clock;
/// use ts_testkit::TestClock;
///
/// let clock = TestClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(clock.now().since(before), Duration::from_secs(3));
/// clock.jump_wall(-60_000); // somebody set the machine's clock back by a minute
/// assert!(clock.now() < before);
/// assert_eq!(clock.monotonic(), Duration::from_secs(3));
/// ```
#[derive(Debug, Clone)]
pub struct TestClock {
    time: Arc<Mutex<Time>>,
    n_sleepers: watch::Sender<usize>,
}

/// A sleeper is found by its deadline, and among equal deadlines by its arrival.
type SleeperKey = (Duration, u64);

#[derive(Debug)]
struct Time {
    /// Wall-clock time at monotonic zero.
    wall_start: i64,
    monotonic: Duration,
    sleepers: BTreeMap<SleeperKey, Option<Waker>>,
    n_arrived: u64,
}

impl TestClock {
    /// A clock at [`START`] with no sleepers.
    pub fn new() -> Self {
        let time = Time {
            wall_start: START.0,
            monotonic: Duration::ZERO,
            sleepers: BTreeMap::new(),
            n_arrived: 0,
        };
        Self {
            time: Arc::new(Mutex::new(time)),
            n_sleepers: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `d` of time pass; sleepers whose deadline is reached are woken in the order of their deadlines.
    pub fn advance(&self, d: Duration) {
        let target = self.lock().monotonic + d;
        self.advance_to(target);
    }

    /// Lets time pass until `target` of monotonic time. A target in the past changes nothing.
    pub fn advance_to(&self, target: Duration) {
        loop {
            let mut time = self.lock();
            let due = time.sleepers.first_entry().filter(|first| first.key().0 <= target);
            let Some(due) = due else {
                time.monotonic = time.monotonic.max(target);
                return;
            };
            let ((deadline, _), waker) = due.remove_entry();
            time.monotonic = time.monotonic.max(deadline);
            self.n_sleepers.send_replace(time.sleepers.len());
            drop(time);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Lets time pass until the next sleeper's deadline. Says whether there was one.
    pub fn advance_to_next(&self) -> bool {
        let Some(deadline) = self.next_deadline() else {
            return false;
        };
        self.advance_to(deadline);
        true
    }

    /// Sets the wall clock by so many milliseconds, as an administrator or a time server does. Monotonic time and sleepers
    /// take no notice.
    pub fn jump_wall(&self, milliseconds: i64) {
        self.lock().wall_start += milliseconds;
    }

    /// Monotonic time at which the next sleeper wakes.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.lock()
            .sleepers
            .first_key_value()
            .map(|((deadline, _), _)| *deadline)
    }

    /// How many sleep now.
    pub fn n_sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    /// Waits until at least `n` sleep, so that a test advances the clock only after the tested code has gone to sleep.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    pub async fn until_sleepers(&self, n: usize) {
        let mut counts = self.n_sleepers.subscribe();
        let enough = counts.wait_for(|count| *count >= n).await;
        enough.expect("the clock itself holds the sender");
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let time = self.lock();
        Timestamp(time.wall_start).plus(time.monotonic)
    }

    fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }

    async fn sleep(&self, d: Duration) {
        let mut sleep = Sleep {
            clock: self,
            deadline: self.monotonic().saturating_add(d),
            key: None,
        };
        poll_fn(|cx| Pin::new(&mut sleep).poll(cx)).await;
    }
}

struct Sleep<'a> {
    clock: &'a TestClock,
    deadline: Duration,
    key: Option<SleeperKey>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.lock();
        if time.monotonic >= self.deadline {
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or((self.deadline, time.n_arrived));
        if self.key.is_none() {
            time.n_arrived += 1;
        }
        time.sleepers.insert(key, Some(cx.waker().clone()));
        self.clock.n_sleepers.send_replace(time.sleepers.len());
        drop(time);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let mut time = self.clock.lock();
            time.sleepers.remove(&key);
            self.clock.n_sleepers.send_replace(time.sleepers.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, future::join_all};

    #[tokio::test]
    async fn sleepers_wake_in_the_order_of_their_deadlines() {
        let clock = TestClock::new();
        let woken = Mutex::new(Vec::new());
        let sleeper = |seconds: u64| {
            let (clock, woken) = (clock.clone(), &woken);
            async move {
                clock.sleep(Duration::from_secs(seconds)).await;
                woken.lock().unwrap().push(seconds);
            }
        };
        let conductor = async {
            clock.until_sleepers(3).await;
            assert_eq!(clock.next_deadline(), Some(Duration::from_secs(1)));
            while clock.advance_to_next() {
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(join_all([3, 1, 2].map(sleeper)), conductor);
        assert_eq!(*woken.lock().unwrap(), [1, 2, 3]);
        assert_eq!(clock.monotonic(), Duration::from_secs(3));
    }

    #[tokio::test]
    async fn a_sleeper_wakes_at_its_deadline_and_not_before() {
        let clock = TestClock::new();
        let mut sleep = clock.sleep(Duration::from_secs(2));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_millis(1999));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        assert!(sleep.now_or_never().is_some());
        assert!(clock.sleep(Duration::ZERO).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_dropped_sleeper_is_forgotten() {
        let clock = TestClock::new();
        let mut sleep = clock.sleep(Duration::from_secs(2));
        assert!((&mut sleep).now_or_never().is_none());
        assert_eq!(clock.n_sleepers(), 1);
        drop(sleep);
        assert_eq!((clock.n_sleepers(), clock.next_deadline()), (0, None));
        assert!(!clock.advance_to_next());
    }

    #[test]
    fn a_wall_clock_jump_leaves_monotonic_time_and_sleepers_alone() {
        let clock = TestClock::new();
        let mut sleep = clock.sleep(Duration::from_secs(2));
        assert!((&mut sleep).now_or_never().is_none());
        clock.jump_wall(3_600_000);
        assert_eq!(clock.now(), Timestamp(START.0 + 3_600_000));
        assert_eq!(clock.monotonic(), Duration::ZERO);
        assert!((&mut sleep).now_or_never().is_none());
        clock.jump_wall(-7_200_000);
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now(), Timestamp(START.0 - 3_600_000 + 2000));
        assert!(sleep.now_or_never().is_some());
    }
}
