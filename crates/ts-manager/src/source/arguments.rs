//! Reads `classArgs`: typed access, and refusal of whatever nobody asked for with the nearest known name.
//!
//! Which arguments an algorithm has belongs to the algorithm's slice in `build`.

use serde_json::{Map, Value};
use ts_core::{Error, ErrorKind, Result};

/// Arguments of an algorithm under their configuration key.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    key: String,
    values: &'a Map<String, Value>,
}

impl<'a> Arguments<'a> {
    /// The arguments of `algorithm`, which knows those of `known` only.
    ///
    /// # Errors
    /// `Config`, naming the first unknown argument and the nearest known one.
    pub(crate) fn new(
        key: impl Into<String>,
        values: &'a Map<String, Value>,
        algorithm: &str,
        known: &[&str],
    ) -> Result<Self> {
        let key = key.into();
        if let Some(name) = values.keys().find(|name| !known.contains(&name.as_str())) {
            let help = match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`? it takes {}", known.join(", ")),
                None if known.is_empty() => "it takes no arguments; remove them".to_owned(),
                None => format!("it takes {}", known.join(", ")),
            };
            return Err(Error::new(
                ErrorKind::Config,
                format!("`{algorithm}` has no argument `{}`", name.escape_debug()),
            )
            .with_key(format!("{key}.{name}"))
            .with_help(help));
        }
        Ok(Self { key, values })
    }

    /// The value of an argument, unless it is absent or null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// A whole number of at least `least`.
    pub(crate) fn whole(&self, name: &str, least: u64) -> Result<Option<u64>> {
        self.typed(name, &format!("a whole number of at least {least}"), |value| {
            value.as_u64().filter(|n| *n >= least)
        })
    }

    /// Full key of an argument.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }

    fn typed<T>(&self, name: &str, expected: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(
                Error::new(ErrorKind::Config, format!("`{value}` is not a value for `{name}`"))
                    .with_key(self.key(name))
                    .with_help(format!("write {expected}")),
            ),
        }
    }
}

/// The known name nearest to a misspelled one, if any is near.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let lower = name.to_lowercase();
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), *k))
        .filter(|(distance, k)| *distance <= 1 + k.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
