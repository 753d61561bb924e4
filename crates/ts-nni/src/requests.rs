//! Counts what was asked of a tuner, what it answered, and what the trial loop has room for: no I/O and no time.
//!
//! A dispatcher is asked for one set of parameters at a time, so that each request has one answer: parameters or "no more". Many
//! tuners mean "not yet" by the latter and give the parameters later, unasked (nni v3.0: Hyperband in serial mode, Evolution, PBT,
//! PPO); others mean what they say. So after a "no more" requests go out as NNI's manager sends them, one for each trial that
//! ended, and what comes beyond the loop's wish is kept for the next one.

use std::{collections::VecDeque, sync::Arc};

/// The account of one dispatcher process.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Parameters that the trial loop would take now.
    wanted: u32,
    /// Requests without an answer.
    unanswered: u32,
    /// Requests that were answered by "no more" and may be honored yet.
    postponed: u32,
    /// Trials that ended since the last request.
    ended: u32,
    /// The trial loop was told that there is nothing more for now.
    is_dry: bool,
    /// Parameters beyond the wish.
    spare: VecDeque<Arc<str>>,
}

/// What follows from a "no more".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMore {
    /// Nothing yet: other requests are open.
    Wait,
    /// The trial loop is to be told.
    Dry,
    /// As before, but no trial runs any more, so that this would be the end of the experiment: it has to be sure.
    Final,
}

impl Requests {
    /// The loop wants `n` more; parameters that were kept for it, and how many requests to send.
    pub(crate) fn want(&mut self, n: u32) -> (Vec<Arc<str>>, u32) {
        // What it wanted before it was told that there is nothing, it does not count as open.
        self.wanted = if std::mem::take(&mut self.is_dry) {
            n
        } else {
            self.wanted + n
        };
        let kept = self.spare.len().min(self.wanted as usize);
        let kept: Vec<_> = self.spare.drain(..kept).collect();
        self.wanted -= u32::try_from(kept.len()).unwrap_or(self.wanted);
        let missing = self.wanted.saturating_sub(self.unanswered);
        let ended = std::mem::take(&mut self.ended);
        let send = missing.saturating_sub(self.postponed).max(missing.min(ended));
        self.unanswered += send;
        (kept, send)
    }

    /// One request more, to hear again whether there is nothing.
    pub(crate) fn ask_again(&mut self) {
        self.unanswered += 1;
    }

    /// Parameters came; given back if the loop wants them now.
    pub(crate) fn proposed(&mut self, text: Arc<str>) -> Option<Arc<str>> {
        if self.unanswered > 0 {
            self.unanswered -= 1;
        } else {
            self.postponed = self.postponed.saturating_sub(1);
        }
        if self.wanted == 0 {
            self.spare.push_back(text);
            return None;
        }
        self.wanted -= 1;
        Some(text)
    }

    /// "No more" came.
    pub(crate) fn no_more(&mut self, any_trial_runs: bool) -> NoMore {
        if self.unanswered > 0 {
            self.unanswered -= 1;
            self.postponed += 1;
        }
        match (self.unanswered, any_trial_runs) {
            (0, _) if self.wanted == 0 => NoMore::Wait,
            (0, false) => NoMore::Final,
            (0, true) => NoMore::Dry,
            _ => NoMore::Wait,
        }
    }

    /// The loop is told that there is nothing more for now.
    pub(crate) fn dry(&mut self) {
        self.is_dry = true;
    }

    /// Whether the loop waits for something and was not told that there is nothing.
    pub(crate) fn is_open(&self) -> bool {
        self.wanted > 0 && !self.is_dry
    }

    /// Whether the loop still waits for something that nobody is asked for.
    pub(crate) fn is_stuck(&self) -> bool {
        self.wanted > 0 && self.unanswered == 0
    }

    /// A trial has ended.
    pub(crate) fn trial_ended(&mut self) {
        self.ended += 1;
    }

    /// A new process takes over, which knows of no request; how many to send it.
    pub(crate) fn begin_again(&mut self) -> u32 {
        self.spare.clear();
        self.postponed = 0;
        self.unanswered = self.wanted;
        self.unanswered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> Arc<str> {
        "{}".into()
    }

    #[test]
    fn each_wish_is_asked_for_once_and_more_than_that_is_kept_for_the_next() {
        let mut requests = Requests::default();
        assert_eq!(requests.want(2), (vec![], 2));
        assert!(requests.proposed(text()).is_some() && requests.proposed(text()).is_some());
        assert_eq!(requests.proposed(text()), None, "nobody wants a third");
        assert_eq!(
            requests.want(2),
            (vec![text()], 1),
            "the third serves, one is asked for"
        );
    }

    #[test]
    fn a_tuner_that_has_no_more_is_asked_once_for_each_ended_trial() {
        let mut requests = Requests::default();
        assert_eq!(requests.want(3).1, 3);
        (0..2).for_each(|_| drop(requests.proposed(text())));
        assert_eq!(requests.no_more(true), NoMore::Dry);
        requests.dry();
        requests.trial_ended();
        assert_eq!(requests.want(2).1, 1, "one of two is postponed, one ended");
        assert!(requests.proposed(text()).is_some(), "the answer");
        assert!(requests.proposed(text()).is_some(), "what was postponed");
    }

    #[test]
    fn the_end_has_to_be_sure_once_nothing_runs() {
        let mut requests = Requests::default();
        requests.want(1);
        requests.proposed(text());
        requests.trial_ended();
        requests.want(2);
        assert_eq!(requests.no_more(false), NoMore::Wait, "one is open");
        assert_eq!(requests.no_more(false), NoMore::Final);
        assert!(requests.is_stuck());
        requests.ask_again();
        assert!(!requests.is_stuck());
        assert!(requests.proposed(text()).is_some(), "it came after all");
    }

    #[test]
    fn a_new_process_is_asked_for_what_the_old_one_owes() {
        let mut requests = Requests::default();
        requests.want(3);
        requests.proposed(text());
        requests.no_more(true);
        assert_eq!(requests.begin_again(), 2);
    }

    proptest! {
        #[test]
        fn the_loop_never_gets_more_than_it_wants(steps in proptest::collection::vec(0u8..6, 0..300)) {
            let mut requests = Requests::default();
            let (mut room, mut live) = (0u32, 0u32);
            for step in steps {
                match step {
                    0 | 1 => {
                        let n = 4u32.saturating_sub(live + room);
                        room += n;
                        let (kept, _) = requests.want(n);
                        for _ in kept { room -= 1; live += 1; }
                    }
                    2 | 3 => if requests.proposed(text()).is_some() {
                        prop_assert!(live < 4);
                        room = room.saturating_sub(1);
                        live += 1;
                    },
                    4 => if requests.no_more(live > 0) != NoMore::Wait { requests.dry(); room = 0; },
                    _ => if live > 0 { live -= 1; requests.trial_ended(); },
                }
                prop_assert!(live <= 4);
            }
        }
    }
}
