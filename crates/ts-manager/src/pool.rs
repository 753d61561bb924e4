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
    /// Trials that have not ended and do not wait for a place, waiting for a retry included.
    pub(crate) live: u32,
    /// Trials that wait for a place among the live ones.
    queued: u32,
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
            queued: 0,
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
        let free = self
            .limits
            .concurrency
            .saturating_sub(self.live + self.queued + self.asked);
        let left = self
            .limits
            .max_trials
            .map_or(u32::MAX, |max| max - self.created)
            .saturating_sub(self.asked);
        let n = free.min(left);
        self.asked += n;
        n
    }

    /// A proposal arrived; `true` if a trial is to be made of it, which is queued then.
    pub(crate) fn proposed(&mut self) -> bool {
        self.asked = self.asked.saturating_sub(1);
        self.added()
    }

    /// Somebody gave parameters; `true` if a trial is to be made of them, which is queued then.
    pub(crate) fn added(&mut self) -> bool {
        if self.is_full() {
            return false;
        }
        self.created += 1;
        self.queued += 1;
        true
    }

    /// A trial that exists waits for a place.
    pub(crate) fn queue(&mut self) {
        self.queued += 1;
    }

    /// Whether a queued trial may go; it has a place from here on.
    pub(crate) fn start(&mut self) -> bool {
        let may = self.queued > 0 && self.live < self.limits.concurrency;
        if may {
            self.queued -= 1;
            self.live += 1;
        }
        may
    }

    /// A queued trial ended before it had a place.
    pub(crate) fn left_queue(&mut self) {
        self.queued = self.queued.saturating_sub(1);
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

    /// The source may have something where it had nothing.
    pub(crate) fn source_changed(&mut self) {
        self.dry = false;
    }

    /// Whether the source had nothing more when last asked.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry
    }

    /// Whether nothing is left to wait for.
    pub(crate) fn is_done(&self) -> bool {
        self.live == 0 && self.queued == 0 && (self.is_full() || self.dry)
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
            assert!(pool.proposed() && pool.start());
        }
        pool.ended();
        pool.ended();
        pool.ended();
        assert_eq!(pool.ask(), 2);
        assert!(pool.proposed() && pool.proposed());
        assert!(pool.start() && pool.start() && !pool.start());
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
        assert!(pool.proposed() && pool.start());
        pool.exhausted();
        assert_eq!(pool.ask(), 0);
        assert!(!pool.is_done());
        pool.ended();
        assert!(!pool.is_done());
        assert_eq!(pool.ask(), 2);
        pool.exhausted();
        assert!(pool.is_done());
    }

    #[test]
    fn what_a_person_adds_waits_for_a_place_and_keeps_the_source_from_filling_it() {
        let mut pool = Pool::new(limits(2, Some(4)), 0, 0);
        assert_eq!(pool.ask(), 2);
        assert!(pool.added() && pool.start());
        assert!(pool.proposed() && pool.proposed());
        assert!(pool.start() && !pool.start(), "one of the proposals waits");
        pool.ended();
        assert_eq!(pool.ask(), 0, "the place belongs to the one that waits");
        pool.left_queue();
        assert_eq!(pool.ask(), 1);
        assert!(pool.added() && !pool.added() && pool.is_full());
        pool.ended();
        assert!(!pool.is_done() && pool.start());
        pool.ended();
        assert!(pool.is_done());
    }

    proptest! {
        #[test]
        fn bounds_hold_over_every_order_of_events(
            concurrency in 1u32..6,
            max in proptest::option::of(0u32..12),
            steps in proptest::collection::vec(0u8..7, 0..200),
        ) {
            let mut pool = Pool::new(limits(concurrency, max), 0, 0);
            let mut open = 0u32;
            for step in steps {
                match step {
                    0 | 1 => open += pool.ask(),
                    2 if open > 0 => { open -= 1; pool.proposed(); }
                    5 => { pool.added(); }
                    6 => { pool.start(); }
                    3 if pool.live > 0 => pool.ended(),
                    4 if open > 0 => { pool.exhausted(); open = 0; }
                    _ => {}
                }
                prop_assert!(pool.live <= concurrency);
                prop_assert!(max.is_none_or(|max| pool.created <= max));
            }
        }
    }
}
