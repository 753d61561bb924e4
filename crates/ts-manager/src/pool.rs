//! How many proposals to ask for and how many trials to start: counting only, no I/O and no time.
//!
//! Kept apart from the loop so that its rules can be tested over every order of events.

use crate::store::Limits;

/// Counts what is asked, proposed, live and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) limits: Limits,
    /// Trials that were ever created, retries not counted.
    pub(crate) created: u32,
    /// Trials that have not ended, waiting for a retry included.
    pub(crate) live: u32,
    /// Proposals asked for and not yet answered.
    asked: u32,
    /// The source had nothing more when last asked; asked again when a trial ends.
    dry: bool,
    /// The experiment's time is over.
    pub(crate) out_of_time: bool,
    /// Somebody asked the experiment to stop.
    pub(crate) stopping: bool,
}

impl Pool {
    pub(crate) fn new(limits: Limits, created: u32, live: u32) -> Self {
        Self {
            limits,
            created,
            live,
            asked: 0,
            dry: false,
            out_of_time: false,
            stopping: false,
        }
    }

    /// Whether no further trial may be created, whatever the source has.
    pub(crate) fn is_full(&self) -> bool {
        self.stopping || self.out_of_time || self.limits.max_trials.is_some_and(|max| self.created >= max)
    }

    /// How many proposals to ask for now; they count as asked from here on.
    pub(crate) fn ask(&mut self) -> u32 {
        if self.is_full() || self.dry {
            return 0;
        }
        let free = self.limits.concurrency.saturating_sub(self.live + self.asked);
        let left = self
            .limits
            .max_trials
            .map_or(u32::MAX, |max| max - self.created)
            .saturating_sub(self.asked);
        let n = free.min(left);
        self.asked += n;
        n
    }

    /// A proposal arrived; `true` if a trial is to be made of it.
    pub(crate) fn proposed(&mut self) -> bool {
        self.asked = self.asked.saturating_sub(1);
        if self.is_full() {
            return false;
        }
        self.created += 1;
        self.live += 1;
        true
    }

    /// The source has nothing more for now.
    pub(crate) fn exhausted(&mut self) {
        self.asked = 0;
        self.dry = true;
    }

    /// A trial ended for good: its slot is free and the source may have something again.
    pub(crate) fn ended(&mut self) {
        self.live = self.live.saturating_sub(1);
        self.dry = false;
    }

    /// Limits changed: what could not be asked for may be possible now.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.dry = false;
    }

    /// Whether the source had nothing more when last asked.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry
    }

    /// Whether nothing is left to wait for.
    pub(crate) fn is_done(&self) -> bool {
        self.live == 0 && (self.is_full() || self.dry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(concurrency: u32, max: Option<u32>) -> Limits {
        let mut limits = Limits::new(concurrency);
        limits.max_trials = max;
        limits
    }

    #[test]
    fn never_more_than_the_concurrency_nor_the_maximum() {
        let mut pool = Pool::new(limits(4, Some(6)), 0, 0);
        assert_eq!(pool.ask(), 4);
        assert_eq!(pool.ask(), 0);
        for _ in 0..4 {
            assert!(pool.proposed());
        }
        pool.ended();
        pool.ended();
        pool.ended();
        assert_eq!(pool.ask(), 2);
        assert!(pool.proposed() && pool.proposed());
        assert!(pool.is_full() && !pool.is_done());
        (0..3).for_each(|_| pool.ended());
        assert!(pool.is_done());
        pool.set_limits(limits(4, Some(7)));
        assert!(!pool.is_done());
        assert_eq!(pool.ask(), 1);
    }

    #[test]
    fn a_dry_source_is_asked_again_after_an_end_and_the_experiment_ends_when_it_stays_dry() {
        let mut pool = Pool::new(limits(2, None), 0, 0);
        assert_eq!(pool.ask(), 2);
        assert!(pool.proposed());
        pool.exhausted();
        assert_eq!(pool.ask(), 0);
        assert!(!pool.is_done());
        pool.ended();
        assert!(!pool.is_done());
        assert_eq!(pool.ask(), 2);
        pool.exhausted();
        assert!(pool.is_done());
    }

    proptest! {
        #[test]
        fn bounds_hold_over_every_order_of_events(
            concurrency in 1u32..6,
            max in proptest::option::of(0u32..12),
            steps in proptest::collection::vec(0u8..5, 0..200),
        ) {
            let mut pool = Pool::new(limits(concurrency, max), 0, 0);
            let mut open = 0u32;
            for step in steps {
                match step {
                    0 | 1 => open += pool.ask(),
                    2 if open > 0 => { open -= 1; pool.proposed(); }
                    3 if pool.live > 0 => pool.ended(),
                    4 if open > 0 => { pool.exhausted(); open = 0; }
                    _ => {}
                }
                prop_assert!(pool.live + open <= concurrency);
                prop_assert!(max.is_none_or(|max| pool.created + open <= max));
            }
        }
    }
}
