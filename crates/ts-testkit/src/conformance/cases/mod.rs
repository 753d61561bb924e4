//! The cases, by promise. Each runs in a fresh world, ends with a cleanup of it, and asserts that nothing is left.

pub mod canceling;
pub mod housekeeping;
pub mod lifecycle;
pub mod metrics;
pub mod recovery;
pub mod watching;

use super::{Behavior, Client, Fixture, client::record, observer::within};
use std::fmt::Debug;
use ts_core::{ErrorKind, Result};

/// A metric as NNI's SDK writes it, without the ids that only a real SDK knows.
fn metric(sequence: usize) -> String {
    format!(r#"{{"type": "PERIODICAL", "sequence": {sequence}, "value": "0.{sequence}"}}"#)
}

/// So many metrics, numbered from `first`.
fn metrics(first: usize, n: usize) -> Vec<String> {
    (first..first + n).map(metric).collect()
}

fn gated(gate: &str, before: Vec<String>, after: Vec<String>, code: u8) -> Behavior {
    Behavior::Gated {
        gate: gate.into(),
        before,
        after,
        code,
    }
}

/// Asserts a refusal with exactly the reason that the capability gave.
pub(super) fn assert_refused<T: Debug>(what: &str, outcome: Result<T>, reason: &str) {
    let error = outcome.expect_err(&format!("`{what}` is refused by the capabilities, and yet worked"));
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}: {error:?}");
    assert_eq!(error.message(), reason, "{what}");
}
