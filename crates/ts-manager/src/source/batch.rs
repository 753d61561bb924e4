//! `Batch`, alias `BatchTuner`: the parameters that the user wrote down, one after the other.
//!
//! Source: nni v1.9 and v3.0, `batch_tuner.py`: one key of any name, a `choice` whose values are whole sets of parameters.

use super::built_in::{Algorithm, goes_through_its_space};
use serde_json::Value;
use ts_core::{Error, ErrorKind, Result};

/// Proposal `id` is entry `id` of the list.
#[derive(Debug)]
pub(super) struct Batch {
    entries: Vec<Value>,
}

impl Batch {
    /// Reads the one list of a batch search space.
    ///
    /// # Errors
    /// `Config` if the space has another form.
    pub(super) fn parse(space: &Value) -> Result<Self> {
        let refuse = |key: &str, message: &str| {
            Error::new(ErrorKind::Config, format!("search space of `Batch`: {message}"))
                .with_key(key)
                .with_help(
                    "write `{\"combine_params\": {\"_type\": \"choice\", \"_value\": [{\"x\": 0}, {\"x\": 1}]}}`",
                )
        };
        let map = space
            .as_object()
            .filter(|map| map.len() == 1)
            .ok_or_else(|| refuse("searchSpace", "it must have exactly one key"))?;
        let (key, spec) = map
            .iter()
            .next()
            .ok_or_else(|| refuse("searchSpace", "it must have exactly one key"))?;
        if spec.get("_type").and_then(Value::as_str) != Some("choice") {
            return Err(refuse(&format!("{key}._type"), "the type must be `choice`"));
        }
        match spec.get("_value") {
            Some(Value::Array(entries)) if !entries.is_empty() => Ok(Self {
                entries: entries.clone(),
            }),
            _ => Err(refuse(
                &format!("{key}._value"),
                "the value must be a list of parameters, at least one",
            )),
        }
    }
}

impl Algorithm for Batch {
    fn name(&self) -> &'static str {
        "Batch"
    }

    fn propose(&mut self, id: u64) -> Result<Option<Value>> {
        Ok(usize::try_from(id).ok().and_then(|i| self.entries.get(i)).cloned())
    }

    fn adopt(&mut self, _parameters: &str) {}

    fn result(&mut self, _parameters: &str, _number: Option<f64>) {}

    fn ended(&mut self, _parameters: &str) {}

    fn import(&mut self, _parameters: &Value, _number: Option<f64>) {}

    fn update_search_space(&mut self, _space: &Value) -> Result<()> {
        Err(goes_through_its_space(self.name()))
    }
}
