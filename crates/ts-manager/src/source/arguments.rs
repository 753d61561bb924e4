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

    /// Whether the argument is given, be it null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A whole number of at least `least`.
    pub(crate) fn whole(&self, name: &str, least: u64) -> Result<Option<u64>> {
        self.typed(name, &format!("a whole number of at least {least}"), |value| {
            value.as_u64().filter(|n| *n >= least)
        })
    }

    /// A finite number of at least 0.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f64>> {
        self.typed(name, "a number of at least 0", |value| {
            value.as_f64().filter(|x| x.is_finite() && *x >= 0.0)
        })
    }

    /// A truth value.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>> {
        self.typed(name, "`true` or `false`", Value::as_bool)
    }

    /// One of the given words.
    pub(crate) fn word<'k>(&self, name: &str, known: &[&'k str]) -> Result<Option<&'k str>> {
        self.typed(name, &format!("one of {}", known.join(", ")), |value| {
            known.iter().copied().find(|k| value.as_str() == Some(k))
        })
    }

    /// Arguments within an argument.
    pub(crate) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.typed(name, "an object", Value::as_object)
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
