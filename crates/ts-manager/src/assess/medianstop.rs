//! `Medianstop`: a trial is bad if its best result so far is worse than the median, over all trials that succeeded, of their average
//! up to the same step.
//!
//! Source: nni v3.0, `nni/algorithms/hpo/medianstop_assessor.py`: of two middle averages the one that is kinder to the trial counts;
//! trials that did not succeed do not count.

use super::{Assessor, Judgment, median::Medians};
use std::collections::{BTreeMap, HashMap};
use ts_core::{TrialId, TrialStatus};

#[derive(Debug)]
pub(super) struct Medianstop {
    maximize: bool,
    start_step: u64,
    running: HashMap<TrialId, Progress>,
    /// Averages of succeeded trials up to each step: 8 bytes per result.
    succeeded: Vec<Medians>,
}

/// A running trial.
#[derive(Debug, Default)]
struct Progress {
    /// Average of the results up to each step, without gaps; not a number before the first number.
    averages: Vec<f64>,
    sum: f64,
    numbers: u32,
    best: Option<f64>,
    /// Results that came before one that is still missing.
    early: BTreeMap<u32, Option<f64>>,
}

impl Progress {
    /// Takes results in as far as there is no gap; whether there were any.
    fn take(&mut self, sequence: u32, number: Option<f64>, maximize: bool) -> bool {
        let before = self.averages.len();
        if sequence as usize >= before {
            self.early.entry(sequence).or_insert(number);
        }
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() as usize != self.averages.len() {
                break;
            }
            if let Some(x) = entry.remove().filter(|x| !x.is_nan()) {
                self.sum += x;
                self.numbers += 1;
                self.best = Some(match self.best {
                    Some(best) if maximize => best.max(x),
                    Some(best) => best.min(x),
                    None => x,
                });
            }
            self.averages.push(self.sum / f64::from(self.numbers));
        }
        self.averages.len() > before
    }
}

impl Medianstop {
    pub(super) fn new(maximize: bool, start_step: u64) -> Self {
        Self {
            maximize,
            start_step,
            running: HashMap::new(),
            succeeded: Vec::new(),
        }
    }

    /// The median to hold against a trial that has made `steps` steps.
    fn median(&self, steps: usize) -> Option<f64> {
        let averages = self.succeeded.get(steps.checked_sub(1)?)?;
        if self.maximize { averages.low() } else { averages.high() }
    }
}

impl Assessor for Medianstop {
    fn name(&self) -> &'static str {
        "Medianstop"
    }

    fn intermediate(&mut self, trial: &TrialId, sequence: u32, number: Option<f64>) -> Judgment {
        let progress = self.running.entry(trial.clone()).or_default();
        if !progress.take(sequence, number, self.maximize) {
            return Judgment::Good;
        }
        let (steps, best) = (progress.averages.len(), progress.best);
        if (steps as u64) < self.start_step {
            return Judgment::Good;
        }
        match (best, self.median(steps)) {
            (Some(best), Some(median)) if self.maximize && best < median => Judgment::Bad,
            (Some(best), Some(median)) if !self.maximize && best > median => Judgment::Bad,
            _ => Judgment::Good,
        }
    }

    fn ended(&mut self, trial: &TrialId, status: TrialStatus) {
        let Some(progress) = self.running.remove(trial) else {
            return;
        };
        if status != TrialStatus::Succeeded {
            return;
        }
        for (step, average) in progress.averages.into_iter().enumerate() {
            if self.succeeded.len() <= step {
                self.succeeded.push(Medians::default());
            }
            if !average.is_nan() {
                self.succeeded[step].add(average);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TrialId {
        TrialId::new(text).unwrap()
    }

    fn with_finished(maximize: bool, start_step: u64, finished: &[&[f64]]) -> Medianstop {
        let mut assessor = Medianstop::new(maximize, start_step);
        for (i, results) in finished.iter().enumerate() {
            let trial = id(&format!("t{i}"));
            for (sequence, x) in (0..).zip(*results) {
                assessor.intermediate(&trial, sequence, Some(*x));
            }
            assessor.ended(&trial, TrialStatus::Succeeded);
        }
        assessor
    }

    #[test]
    fn a_trial_is_held_against_the_averages_at_its_own_step() {
        // Averages at step 2: 2, 3, 5.
        let finished: [&[f64]; 3] = [&[1.0, 3.0], &[2.0, 4.0], &[5.0, 5.0]];
        let mut assessor = with_finished(true, 0, &finished);
        let trial = id("new");
        assert_eq!(
            assessor.intermediate(&trial, 0, Some(2.0)),
            Judgment::Good,
            "2 is the median of 1, 2, 5"
        );
        assert_eq!(
            assessor.intermediate(&trial, 1, Some(2.5)),
            Judgment::Bad,
            "2.5 is below 3"
        );
        assert_eq!(
            assessor.intermediate(&trial, 2, Some(0.0)),
            Judgment::Good,
            "nobody got this far"
        );
    }

    #[test]
    fn of_two_middle_averages_the_kinder_one_counts() {
        let finished: [&[f64]; 2] = [&[1.0], &[3.0]];
        let mut high = with_finished(true, 0, &finished);
        assert_eq!(high.intermediate(&id("a"), 0, Some(1.0)), Judgment::Good);
        assert_eq!(high.intermediate(&id("b"), 0, Some(0.9)), Judgment::Bad);
        let mut low = with_finished(false, 0, &finished);
        assert_eq!(low.intermediate(&id("a"), 0, Some(3.0)), Judgment::Good);
        assert_eq!(low.intermediate(&id("b"), 0, Some(3.1)), Judgment::Bad);
    }

    #[test]
    fn nothing_is_judged_before_the_start_step() {
        let finished: [&[f64]; 1] = [&[9.0, 9.0, 9.0]];
        let mut assessor = with_finished(true, 3, &finished);
        let judgments: Vec<_> = (0..3).map(|s| assessor.intermediate(&id("a"), s, Some(1.0))).collect();
        assert_eq!(judgments, [Judgment::Good, Judgment::Good, Judgment::Bad]);
    }

    #[test]
    fn trials_that_did_not_succeed_do_not_count() {
        for status in TrialStatus::ALL.into_iter().filter(|s| *s != TrialStatus::Succeeded) {
            let mut assessor = Medianstop::new(true, 0);
            assessor.intermediate(&id("a"), 0, Some(9.0));
            assessor.ended(&id("a"), status);
            assert_eq!(
                assessor.intermediate(&id("b"), 0, Some(1.0)),
                Judgment::Good,
                "{status}"
            );
        }
    }

    #[test]
    fn results_count_once_and_in_order() {
        let finished: [&[f64]; 1] = [&[5.0, 5.0]];
        let mut assessor = with_finished(true, 0, &finished);
        let trial = id("a");
        assert_eq!(
            assessor.intermediate(&trial, 1, Some(1.0)),
            Judgment::Good,
            "a gap before it"
        );
        assert_eq!(
            assessor.intermediate(&trial, 0, Some(9.0)),
            Judgment::Good,
            "both: the best is 9"
        );
        assert_eq!(assessor.intermediate(&trial, 0, Some(1.0)), Judgment::Good, "a repeat");
    }

    #[test]
    fn results_without_a_number_neither_help_nor_harm() {
        let finished: [&[f64]; 1] = [&[5.0, 5.0]];
        let mut assessor = with_finished(true, 0, &finished);
        assert_eq!(assessor.intermediate(&id("a"), 0, None), Judgment::Good);
        assert_eq!(assessor.intermediate(&id("a"), 1, Some(f64::NAN)), Judgment::Good);
        assert_eq!(assessor.intermediate(&id("b"), 0, None), Judgment::Good);
        assert_eq!(assessor.intermediate(&id("b"), 1, Some(4.0)), Judgment::Bad);
    }
}
