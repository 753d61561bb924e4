//! Compares what a trial wrote down for itself with what the experiment's store says about it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// What a trial of `e2e/nni/trial.py` noted.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Record {
    opening: Value,
    /// Kind and value of each metric, in the order in which they were reported.
    metrics: Vec<(String, Value)>,
}

impl Record {
    /// Reads the lines of a record.
    ///
    /// # Errors
    /// If there is more than one opening: then the trial ran twice.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut record = Self::default();
        for line in text.lines() {
            let fact: Value = serde_json::from_str(line).with_context(|| format!("not a record: {line}"))?;
            if let Some(kind) = fact["kind"].as_str() {
                record.metrics.push((kind.to_owned(), fact["value"].clone()));
            } else {
                ensure!(record.opening.is_null(), "the trial ran twice");
                record.opening = fact;
            }
        }
        Ok(record)
    }

    /// Whether the store's trial is the one that ran, with every metric once and in order.
    pub(super) fn compare(&self, trial: &Value, metrics: &[Value]) -> Result<()> {
        let id = &trial["id"];
        let stored = trial["parameters"].get("parameters").unwrap_or(&trial["parameters"]);
        for (what, ours, theirs) in [
            ("parameters", stored, &self.opening["parameters"]),
            ("trial id", id, &self.opening["trial"]),
            ("experiment id", &trial["experimentId"], &self.opening["experiment"]),
            ("sequence id", &trial["sequenceId"], &self.opening["sequence"]),
        ] {
            ensure!(
                same(ours, theirs),
                "trial {id}: stored {what} {ours}, but the trial had {theirs}"
            );
        }
        let mut kept: Vec<(&str, Value)> = Vec::new();
        for metric in metrics {
            kept.push((metric["kind"].as_str().unwrap_or_default(), readable(&metric["value"])?));
        }
        ensure!(
            kept.len() == self.metrics.len(),
            "trial {id}: {} metrics are stored, but {} were reported",
            kept.len(),
            self.metrics.len()
        );
        for ((kind, value), (reported_kind, reported)) in kept.iter().zip(&self.metrics) {
            ensure!(
                kind == reported_kind && same(value, reported),
                "trial {id}: stored {kind} {value}, reported {reported_kind} {reported}"
            );
        }
        let last = self
            .metrics
            .iter()
            .rfind(|(kind, _)| kind == "FINAL")
            .map(|(_, value)| value);
        let Some(last) = last else {
            bail!("trial {id} reported no final result")
        };
        ensure!(
            same(&readable(&trial["finalValue"])?, last),
            "trial {id}: final value {}",
            trial["finalValue"]
        );
        Ok(())
    }
}

/// A value with Python's `NaN`, which is no JSON and so arrives as text, read as null.
fn readable(value: &Value) -> Result<Value> {
    match value {
        Value::String(text) if text.contains("NaN") => {
            serde_json::from_str(&text.replace("NaN", "null")).with_context(|| format!("cannot read {text}"))
        }
        other => Ok(other.clone()),
    }
}

/// Equal, with `1` and `1.0` the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const RECORD: &str = r#"{"parameters": {"x": 1}, "trial": "T", "experiment": "E", "sequence": 2}
{"kind": "PERIODICAL", "value": {"default": 1, "x": null}}
{"kind": "FINAL", "value": 0.5}
"#;

    fn compare(change: impl FnOnce(&mut Value, &mut Vec<Value>)) -> Result<()> {
        let mut trial = json!({"id": "T", "experimentId": "E", "sequenceId": 2, "finalValue": 0.5,
            "parameters": {"parameter_id": 0, "parameters": {"x": 1.0}}});
        let mut metrics = vec![
            json!({"kind": "PERIODICAL", "value": "{\"default\": 1, \"x\": NaN}"}),
            json!({"kind": "FINAL", "value": 0.5}),
        ];
        change(&mut trial, &mut metrics);
        Record::parse(RECORD)?.compare(&trial, &metrics)
    }

    #[test]
    fn what_was_reported_once_and_stored_once_is_fine() {
        compare(|_, _| ()).unwrap();
    }

    #[test]
    fn every_difference_is_found() {
        assert!(compare(|_, metrics| drop(metrics.remove(0))).is_err(), "lost");
        assert!(
            compare(|_, metrics| metrics.push(metrics[1].clone())).is_err(),
            "doubled"
        );
        assert!(compare(|_, metrics| metrics.swap(0, 1)).is_err(), "out of order");
        assert!(
            compare(|_, metrics| metrics[1]["value"] = json!(0.6)).is_err(),
            "another value"
        );
        assert!(
            compare(|trial, _| trial["parameters"]["parameters"]["x"] = json!(2)).is_err(),
            "parameters of another"
        );
        assert!(
            compare(|trial, _| trial["sequenceId"] = json!(3)).is_err(),
            "another trial"
        );
        assert!(
            compare(|trial, _| trial["finalValue"] = json!(null)).is_err(),
            "no final value"
        );
        assert!(Record::parse(&RECORD.repeat(2)).is_err(), "ran twice");
    }
}
