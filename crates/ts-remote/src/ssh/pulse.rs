//! Whether the machine still answers: when it was last heard, when it was last asked for a sign of life.

use std::time::Duration;

/// Signs of life that may be missing before the connection counts as lost.
const MISSED: u32 = 3;

/// Times are those of one clock that never goes backwards.
#[derive(Debug)]
pub(crate) struct Pulse {
    keepalive: Duration,
    heard: Duration,
    asked: Duration,
    /// When the last wait for the machine ended.
    waited: Duration,
}

impl Pulse {
    pub(crate) fn new(keepalive: Duration, now: Duration) -> Self {
        Self {
            keepalive,
            heard: now,
            asked: now,
            waited: now,
        }
    }

    /// Longest silence.
    pub(crate) fn limit(&self) -> Duration {
        self.keepalive * (MISSED + 1)
    }

    /// Something of the machine has arrived, or it has taken something.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    /// Whether the machine has been silent for too long; asked before each wait.
    ///
    /// A silence counts only where somebody would have heard and asked: not while nobody `listens` because what has arrived is
    /// not taken, and not while the thread was too busy moving bytes to wait at all.
    pub(crate) fn is_silent(&mut self, now: Duration, listens: bool) -> bool {
        let was_busy = now.saturating_sub(self.waited) >= self.keepalive;
        if was_busy || !listens {
            self.heard = now;
        }
        now.saturating_sub(self.heard) > self.limit()
    }

    pub(crate) fn waited(&mut self, now: Duration) {
        self.waited = now;
    }

    /// Whether it is time to ask for a sign of life.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.until_due(now).is_zero()
    }

    pub(crate) fn until_due(&self, now: Duration) -> Duration {
        (self.asked + self.keepalive).saturating_sub(now)
    }

    pub(crate) fn asked(&mut self, now: Duration) {
        self.asked = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Waits that end every second, with nothing heard; the second that ends them.
    fn silent_after(pulse: &mut Pulse, from: u64) -> Option<u64> {
        (from..from + 100).find(|second| {
            let is_silent = pulse.is_silent(s(*second), true);
            pulse.waited(s(*second));
            is_silent
        })
    }

    #[test]
    fn four_intervals_without_an_answer_are_too_many() {
        let mut pulse = Pulse::new(s(5), s(100));
        assert_eq!(silent_after(&mut pulse, 100), Some(121));
        pulse.heard(s(121));
        assert_eq!(silent_after(&mut pulse, 121), Some(142));
    }

    #[test]
    fn a_long_time_of_work_is_no_silence() {
        let mut pulse = Pulse::new(s(5), s(100));
        assert!(!pulse.is_silent(s(200), true), "nobody has waited, so nobody was asked");
        pulse.waited(s(200));
        assert_eq!(
            silent_after(&mut pulse, 201),
            Some(221),
            "counted from the end of the work"
        );
    }

    #[test]
    fn nothing_is_missed_where_nobody_listens() {
        let mut pulse = Pulse::new(s(5), s(0));
        for second in 0..100 {
            assert!(!pulse.is_silent(s(second), false));
            pulse.waited(s(second));
        }
        assert_eq!(silent_after(&mut pulse, 100), Some(120));
    }

    #[test]
    fn a_sign_of_life_is_due_an_interval_after_the_last_one() {
        let mut pulse = Pulse::new(s(5), s(0));
        assert!(!pulse.is_due(s(4)));
        assert!(pulse.is_due(s(5)));
        pulse.asked(s(6));
        assert_eq!(pulse.until_due(s(8)), s(3));
    }
}
