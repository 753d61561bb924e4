//! Our times beside others', of alternating rounds. What is timed is the measurements' business.

use super::{
    measure,
    table::{Row, at_most},
};
use anyhow::Result;

/// Times in seconds.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
    ratios: Vec<f64>,
}

impl Pairs {
    pub(super) fn add(&mut self, ours: f64, theirs: f64) {
        self.ours.push(ours);
        self.theirs.push(theirs);
        self.ratios.push(ours / theirs);
    }

    /// The medians; the target is `target` times theirs.
    pub(super) fn row(&self, what: String, beside: &str, target: f64) -> Result<Row> {
        let ratio = measure::median(&self.ratios)?;
        Ok(Row {
            what,
            ours: format!("{:.2} s", measure::median(&self.ours)?),
            beside: format!("{beside} {:.2} s", measure::median(&self.theirs)?),
            target: format!("{target} × that"),
            outcome: format!("{ratio:.2} ×: {}", at_most(ratio, target)),
        })
    }
}
