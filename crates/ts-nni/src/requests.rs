//! Counts what was asked of a tuner, what it answered, and what the trial loop has room for: no I/O and no time.
//!
//! A dispatcher is asked for one set of parameters at a time, so that each request has one answer: parameters or "no more". Many
//! tuners mean "not yet" by the latter and give the parameters later, unasked (nni v3.0: Hyperband in serial mode, Evolution, PBT,
//! PPO); others mean what they say. So after a "no more" requests go out as NNI's manager sends them, one for each trial that
//! ended, and what comes beyond the loop's wish is kept for the next one.
//!
//! A running trial that asks for further parameters has a request of its own, and is served before any new trial.

use std::{collections::VecDeque, sync::Arc};
use ts_core::TrialId;

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
    /// Running trials that wait for further parameters of this index. Never more than there are requests without an answer.
    asking: VecDeque<(TrialId, u32)>,
}

/// Whom parameters are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum For {
    /// A running trial that asked for them, and their index.
    Running(TrialId, u32),
    /// A new trial.
    New,
}

/// What follows from a "no more".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoMore {
    /// Nothing yet: other requests are open.
    Wait,
    /// A running trial is to be told that there are no further parameters, of this index.
    Running(TrialId, u32),
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
        let for_new = self.unanswered.saturating_sub(self.n_asking());
        let missing = self.wanted.saturating_sub(for_new);
        let ended = std::mem::take(&mut self.ended);
        let send = missing.saturating_sub(self.postponed).max(missing.min(ended));
        self.unanswered += send;
        (kept, send)
    }

    fn n_asking(&self) -> u32 {
        u32::try_from(self.asking.len()).unwrap_or(u32::MAX)
    }

    /// A running trial asks for further parameters; those that were kept, or `None` if one request is to be sent.
    pub(crate) fn next(&mut self, trial: &TrialId, index: u32) -> Option<Arc<str>> {
        let kept = self.spare.pop_front();
        if kept.is_none() {
            self.asking.push_back((trial.clone(), index));
            self.unanswered += 1;
        }
        kept
    }

    /// A trial that may have asked has ended; the answer to its request serves others.
    pub(crate) fn forget(&mut self, trial: &TrialId) {
        self.asking.retain(|(asking, _)| asking != trial);
    }

    /// One request more, to hear again whether there is nothing.
    pub(crate) fn ask_again(&mut self) {
        self.unanswered += 1;
    }

    /// Parameters came; given back if anybody wants them now.
    pub(crate) fn proposed(&mut self, text: Arc<str>) -> Option<(For, Arc<str>)> {
        if self.unanswered > 0 {
            self.unanswered -= 1;
        } else {
            self.postponed = self.postponed.saturating_sub(1);
        }
        if let Some((trial, index)) = self.asking.pop_front() {
            return Some((For::Running(trial, index), text));
        }
        if self.wanted == 0 {
            self.spare.push_back(text);
            return None;
        }
        self.wanted -= 1;
        Some((For::New, text))
    }

    /// "No more" came.
    pub(crate) fn no_more(&mut self, any_trial_runs: bool) -> NoMore {
        if self.unanswered > 0 {
            self.unanswered -= 1;
            self.postponed += 1;
        }
        if let Some((trial, index)) = self.asking.pop_front() {
            return NoMore::Running(trial, index);
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

    /// The loop asks for more before it hears that there is nothing, and still waits for what it asked for.
    pub(crate) fn not_dry(&mut self) {
        self.is_dry = false;
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
        self.unanswered = self.wanted + self.n_asking();
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

    fn id(text: &str) -> TrialId {
        TrialId::new(text).expect("an id")
    }

    #[test]
    fn a_running_trial_goes_before_new_ones_and_has_a_request_of_its_own() {
        let mut requests = Requests::default();
        assert_eq!(requests.want(2), (vec![], 2));
        assert_eq!(requests.next(&id("a"), 3), None);
        assert_eq!(requests.want(1).1, 1, "its request is not the loop's");
        assert_eq!(requests.proposed(text()), Some((For::Running(id("a"), 3), text())));
        for _ in 0..3 {
            assert_eq!(requests.proposed(text()), Some((For::New, text())));
        }
        assert_eq!(requests.proposed(text()), None);
        assert_eq!(requests.next(&id("a"), 4), Some(text()), "what is spare serves it");
        assert_eq!(requests.next(&id("a"), 5), None);
        assert_eq!(requests.no_more(true), NoMore::Running(id("a"), 5));
    }

    #[test]
    fn what_an_ended_trial_asked_for_serves_a_new_one() {
        let mut requests = Requests::default();
        requests.next(&id("a"), 1);
        requests.forget(&id("a"));
        assert_eq!(requests.want(1), (vec![], 0), "one is on its way");
        assert_eq!(requests.proposed(text()), Some((For::New, text())));
    }

    #[test]
    fn a_new_process_is_asked_for_running_trials_too() {
        let mut requests = Requests::default();
        requests.want(1);
        requests.next(&id("a"), 1);
        assert_eq!(requests.begin_again(), 2);
        assert_eq!(requests.proposed(text()), Some((For::Running(id("a"), 1), text())));
    }

    proptest! {
        #[test]
        fn the_loop_never_gets_more_than_it_wants(steps in proptest::collection::vec(0u8..9, 0..300)) {
            let mut requests = Requests::default();
            let (mut room, mut live) = (0u32, 0u32);
            // Indices that running trials wait for, in their order.
            let mut asking = VecDeque::new();
            let mut index = 0;
            for step in steps {
                match step {
                    0 | 1 => {
                        let n = 4u32.saturating_sub(live + room);
                        room += n;
                        let (kept, _) = requests.want(n);
                        for _ in kept { room -= 1; live += 1; }
                    }
                    2 | 3 => match requests.proposed(text()) {
                        Some((For::New, _)) => {
                            prop_assert!(live < 4 && asking.is_empty());
                            room = room.saturating_sub(1);
                            live += 1;
                        }
                        Some((For::Running(trial, index), _)) => prop_assert_eq!(asking.pop_front(), Some((trial, index))),
                        None => prop_assert!(asking.is_empty()),
                    },
                    4 => match requests.no_more(live > 0) {
                        NoMore::Wait => prop_assert!(asking.is_empty()),
                        NoMore::Running(trial, index) => prop_assert_eq!(asking.pop_front(), Some((trial, index))),
                        NoMore::Dry | NoMore::Final => {
                            prop_assert!(asking.is_empty());
                            requests.dry();
                            room = 0;
                        }
                    },
                    5 => {
                        index += 1;
                        let trial = id(if index % 2 == 0 { "even" } else { "odd" });
                        if requests.next(&trial, index).is_none() {
                            asking.push_back((trial, index));
                        }
                    }
                    6 => {
                        requests.forget(&id("even"));
                        asking.retain(|(trial, _)| *trial != id("even"));
                    }
                    7 => {
                        let n = requests.begin_again();
                        prop_assert!(n as usize >= asking.len());
                    }
                    _ => if live > 0 { live -= 1; requests.trial_ended(); },
                }
                prop_assert!(live <= 4);
                prop_assert!(requests.unanswered as usize >= asking.len(), "each has a request");
            }
        }
    }
}
