//! When the loop has to look at the clock again for a single trial.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};
use ts_core::TrialId;

/// What is due for a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Its time is over.
    TimeLimit,
    /// The platform may take it now.
    Submit,
    /// The platform may take the request to end it now.
    Cancel,
    /// The platform may take its parameters of this index now.
    Parameters(u32),
}

/// What is due when, by the monotonic clock, nearest first. An entry of a trial that has ended meanwhile is dropped when
/// its time comes.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Duration, Due, TrialId)>>,
}

impl Deadlines {
    pub(crate) fn push(&mut self, at: Duration, due: Due, trial: TrialId) {
        self.heap.push(Reverse((at, due, trial)));
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes one whose time has come.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<(Due, TrialId)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, due, trial))| (due, trial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_ones_come_in_order_and_others_stay() {
        let id = |text| TrialId::new(text).unwrap();
        let mut d = Deadlines::default();
        for (s, name) in [(3, "c"), (1, "a"), (2, "b")] {
            d.push(Duration::from_secs(s), Due::Submit, id(name));
        }
        let now = Duration::from_secs(2);
        assert_eq!(d.pop_due(now), Some((Due::Submit, id("a"))));
        assert_eq!(d.pop_due(now), Some((Due::Submit, id("b"))));
        assert_eq!(d.pop_due(now), None);
        assert_eq!(d.next(), Some(Duration::from_secs(3)));
    }
}
