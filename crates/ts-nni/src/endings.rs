//! Holds back the end of a trial until the tuner has its result.
//!
//! A dispatcher handles results and ends in threads of their own, without any order between them (nni v1.9 to v3.0,
//! `msg_dispatcher_base.py`, `enqueue_command`), and there is no answer to a result. But requests are handled by the thread of the
//! results, in order, and are answered: the answer to a request that was sent behind a result proves that the tuner has it. Where no
//! such answer comes, a grace has to do.

use std::{collections::VecDeque, time::Duration};
use ts_core::TrialId;

/// Time that a tuner gets for a result once it has nothing else to do before it.
pub(crate) const GRACE: Duration = Duration::from_millis(200);
/// Longest time that an end is held back, however busy the tuner is.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

/// Ends that wait, and results that they wait for.
#[derive(Debug)]
pub(crate) struct Endings<E> {
    asked: u64,
    answered: u64,
    /// Whether answers came that were not to the oldest request, so that they cannot be counted off any more.
    is_out_of_step: bool,
    results: VecDeque<Sent>,
    held: VecDeque<(TrialId, E)>,
}

/// A result that was sent.
#[derive(Debug)]
struct Sent {
    trial: TrialId,
    at: Duration,
    /// Requests before it.
    asked: u64,
}

impl<E> Endings<E> {
    pub(crate) fn new() -> Self {
        Self {
            asked: 0,
            answered: 0,
            is_out_of_step: false,
            results: VecDeque::new(),
            held: VecDeque::new(),
        }
    }

    /// Requests were sent.
    pub(crate) fn asked(&mut self, n: u32) {
        self.asked += u64::from(n);
    }

    /// Parameters came.
    pub(crate) fn answered(&mut self) {
        self.answered += 1;
        if self.answered > self.asked {
            self.out_of_step();
        }
    }

    /// An answer came that may be followed by another one to the same request.
    pub(crate) fn out_of_step(&mut self) {
        self.is_out_of_step = true;
    }

    /// A final result was sent.
    pub(crate) fn result(&mut self, trial: &TrialId, at: Duration) {
        self.results.push_back(Sent {
            trial: trial.clone(),
            at,
            asked: self.asked,
        });
    }

    /// A trial has ended; `what` comes out of [`Self::due`].
    pub(crate) fn hold(&mut self, trial: TrialId, what: E) {
        self.held.push_back((trial, what));
    }

    /// The next end whose result the tuner has by now.
    pub(crate) fn due(&mut self, now: Duration) -> Option<E> {
        self.results
            .retain(|result| !has_arrived(result, self.asked, self.answered, self.is_out_of_step, now));
        let at = self
            .held
            .iter()
            .position(|(trial, _)| self.results.iter().all(|result| result.trial != *trial))?;
        self.held.remove(at).map(|(_, what)| what)
    }

    /// Whether any end is held back.
    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Gives up all ends, because nobody waits for them any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::new();
    }
}

fn has_arrived(result: &Sent, asked: u64, answered: u64, is_out_of_step: bool, now: Duration) -> bool {
    let waited = now.saturating_sub(result.at);
    if is_out_of_step {
        return waited >= GRACE;
    }
    let proved = answered > result.asked && asked > result.asked;
    // Requests before it are still worked on, so the result waits behind them.
    let is_behind = answered < result.asked;
    proved || waited >= if is_behind { LONGEST } else { GRACE }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::ZERO;

    fn id(text: &str) -> TrialId {
        TrialId::new(text).expect("an id")
    }

    #[test]
    fn the_answer_to_a_later_request_lets_an_end_go() {
        let mut endings = Endings::new();
        endings.asked(1);
        endings.answered();
        endings.result(&id("a"), T0);
        endings.hold(id("a"), "end of a");
        assert_eq!(endings.due(T0), None);
        endings.asked(1);
        assert_eq!(endings.due(T0), None, "asked is not answered");
        endings.answered();
        assert_eq!(endings.due(T0), Some("end of a"));
        assert!(!endings.is_holding());
    }

    #[test]
    fn an_answer_to_an_earlier_request_proves_nothing() {
        let mut endings = Endings::new();
        endings.asked(2);
        endings.result(&id("a"), T0);
        endings.hold(id("a"), ());
        endings.answered();
        endings.answered();
        assert_eq!(endings.due(T0), None);
        assert_eq!(
            endings.due(GRACE),
            Some(()),
            "but the tuner has nothing before it any more"
        );
    }

    #[test]
    fn a_busy_tuner_gets_more_time_but_not_for_ever() {
        let mut endings = Endings::new();
        endings.asked(1);
        endings.result(&id("a"), T0);
        endings.hold(id("a"), ());
        assert_eq!(endings.due(GRACE), None);
        assert_eq!(endings.due(LONGEST), Some(()));
    }

    #[test]
    fn ends_without_a_result_go_at_once_and_past_others() {
        let mut endings = Endings::new();
        endings.result(&id("a"), T0);
        endings.hold(id("a"), "a");
        endings.hold(id("b"), "b");
        assert_eq!(endings.due(T0), Some("b"));
        assert_eq!(endings.due(T0), None);
        assert_eq!(endings.due(GRACE), Some("a"));
    }

    #[test]
    fn answers_are_not_counted_off_once_they_came_unasked() {
        let mut endings = Endings::new();
        endings.asked(1);
        endings.answered();
        endings.answered();
        endings.result(&id("a"), T0);
        endings.asked(1);
        endings.answered();
        endings.hold(id("a"), ());
        assert_eq!(endings.due(T0), None);
        assert_eq!(endings.due(GRACE), Some(()));
    }
}
