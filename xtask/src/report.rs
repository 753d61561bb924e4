//! What became of each step of a run: passed, failed or skipped, with the time it took.
//!
//! A skipped step is named together with what it lacked, and never counts as passed.

use anyhow::Result;
use std::{fmt, time::Duration, time::Instant};

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it should.
    Passed,
    /// It did not; what it found is printed already, or is this.
    Failed(String),
    /// It could not be tried, for this reason.
    Skipped(String),
}

impl From<bool> for Outcome {
    fn from(passed: bool) -> Self {
        if passed {
            Self::Passed
        } else {
            Self::Failed(String::new())
        }
    }
}

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    steps: Vec<(String, Outcome, Duration)>,
}

impl Report {
    /// Takes one step. A step that fails does not keep the next ones from being taken, so that one run shows everything.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a step took is a fact about this machine"
    )]
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> Result<Outcome>) {
        println!("\n== {name}");
        let began = Instant::now();
        let outcome = step().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        if let Outcome::Failed(why) = &outcome
            && !why.is_empty()
        {
            println!("{why}");
        }
        self.steps.push((name.to_owned(), outcome, began.elapsed()));
    }

    /// Prints the summary; `true` if nothing failed.
    pub(crate) fn finish(self) -> bool {
        println!("\n{self}");
        !self
            .steps
            .iter()
            .any(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome, took) in &self.steps {
            let took = took.as_secs_f64();
            match outcome {
                Outcome::Passed => writeln!(f, "passed   {took:6.1} s  {name}")?,
                Outcome::Failed(_) => writeln!(f, "FAILED   {took:6.1} s  {name}")?,
                Outcome::Skipped(why) => writeln!(f, "skipped  {took:6.1} s  {name}: {why}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn one_failure_fails_the_run_and_the_next_steps_are_still_taken() {
        let mut report = Report::default();
        report.step("breaks", || Err(anyhow!("broken")));
        report.step("holds", || Ok(Outcome::Passed));
        let text = report.to_string();
        assert!(text.contains("FAILED") && text.contains("holds"), "{text}");
        assert!(!report.finish());
    }

    #[test]
    fn a_skipped_step_is_named_with_its_reason_and_is_not_counted_as_passed() {
        let mut report = Report::default();
        report.step("looks things up", || Ok(Outcome::Skipped("no database".into())));
        let text = report.to_string();
        assert!(
            text.starts_with("skipped") && text.trim_end().ends_with("looks things up: no database"),
            "{text}"
        );
        assert!(!text.contains("passed"), "{text}");
        assert!(report.finish());
    }
}
