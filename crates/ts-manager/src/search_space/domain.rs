//! What one parameter may be: its values by index where it is discrete, and by quantile where it has a distribution.
//!
//! Pure functions; reading a domain from JSON belongs to `parse`.

use super::normal;
use serde_json::Value;

/// What one parameter may be.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Domain {
    /// `choice` among JSON values, taken as they are.
    Choice(Vec<Value>),
    /// Nested `choice`: the `_name` of each branch; the branch's own parameters are leaves of their own.
    Branches(Vec<Value>),
    /// `randint`: whole numbers from `low` to below `high`.
    RandInt {
        /// Least value.
        low: i64,
        /// First value that is out.
        high: i64,
    },
    /// Any of the eight distributions of real numbers.
    Numeric(Numeric),
}

/// A distribution of real numbers.
///
/// Source: nni v3.0, `nni/common/hpo_utils/formatting.py`: the logarithm of a log parameter has the plain distribution; a value
/// with a step is rounded to a multiple, half to even, and only then brought back between the bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Numeric {
    /// Distribution of the value, or of its logarithm.
    pub shape: Shape,
    /// Whether `shape` describes the logarithm.
    pub log: bool,
    /// `q`: values are multiples of it.
    pub step: Option<f64>,
}

/// The plain distribution behind a [`Numeric`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// Even between two bounds; bounds of the value itself, also where the logarithm is even.
    Uniform {
        /// Least value.
        low: f64,
        /// Greatest value.
        high: f64,
    },
    /// Normal; mean and deviation of the logarithm where that is meant.
    Normal {
        /// Mean.
        mu: f64,
        /// Standard deviation, above 0.
        sigma: f64,
    },
}

impl Numeric {
    /// The value below which the share `u` of all values lies; `u` between 0 and 1. Always finite.
    pub fn at(&self, u: f64) -> f64 {
        let plain = match self.shape {
            Shape::Uniform { low, high } if self.log => (high.ln() - low.ln()).mul_add(u, low.ln()),
            Shape::Uniform { low, high } => (high - low).mul_add(u, low),
            Shape::Normal { mu, sigma } => sigma.mul_add(normal::quantile(u), mu),
        };
        let value = if self.log { plain.exp() } else { plain };
        self.settle(match self.step {
            // Adding 0 turns -0 into 0: a multiple of the step has no sign at zero.
            Some(q) => (value / q).round_ties_even() * q + 0.0,
            None => value,
        })
    }

    /// Keeps a value between the bounds, and finite.
    fn settle(&self, value: f64) -> f64 {
        match self.shape {
            Shape::Uniform { low, high } => value.max(low).min(high),
            Shape::Normal { .. } => value.clamp(f64::MIN, f64::MAX),
        }
    }

    /// The share `u` of a value, the inverse of [`Numeric::at`] but for rounding; between 0 and below 1.
    pub fn share(&self, value: f64) -> f64 {
        let plain = if self.log {
            value.max(f64::MIN_POSITIVE).ln()
        } else {
            value
        };
        let u = match self.shape {
            Shape::Uniform { low, high } => {
                let (low, high) = if self.log { (low.ln(), high.ln()) } else { (low, high) };
                if high > low { (plain - low) / (high - low) } else { 0.5 }
            }
            Shape::Normal { mu, sigma } => normal::probability((plain - mu) / sigma),
        };
        u.clamp(0.0, 1.0 - f64::EPSILON)
    }

    /// First and last multiple of the step, where steps between two bounds make the values finite in number.
    fn multiples(&self) -> Option<(f64, f64)> {
        match (self.shape, self.step) {
            (Shape::Uniform { low, high }, Some(q)) => {
                Some(((low / q).round_ties_even(), (high / q).round_ties_even()))
            }
            _ => None,
        }
    }
}

impl Domain {
    /// How many values there are, where they are finite in number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the parser refuses more than 2^53 multiples, so the count is a small whole number"
    )]
    pub fn levels(&self) -> Option<u64> {
        match self {
            Self::Choice(values) | Self::Branches(values) => Some(values.len() as u64),
            Self::RandInt { low, high } => Some(high.abs_diff(*low)),
            Self::Numeric(numeric) => numeric.multiples().map(|(first, last)| (last - first) as u64 + 1),
        }
    }

    /// The value of this number, counted from 0 in the order of the list or of size; `None` if there is none.
    pub fn level(&self, index: u64) -> Option<Value> {
        match self {
            Self::Choice(values) | Self::Branches(values) => values.get(usize::try_from(index).ok()?).cloned(),
            Self::RandInt { low, high } => low.checked_add_unsigned(index).filter(|n| n < high).map(Value::from),
            Self::Numeric(numeric) => {
                let (first, last) = numeric.multiples()?;
                let multiple = first + index as f64;
                let value = multiple * numeric.step? + 0.0;
                (multiple <= last).then(|| Value::from(numeric.settle(value)))
            }
        }
    }

    /// The number of a value among the levels of a choice or a range of whole numbers.
    pub fn index_of(&self, value: &Value) -> Option<u64> {
        match self {
            Self::Choice(values) | Self::Branches(values) => values.iter().position(|v| v == value).map(|i| i as u64),
            Self::RandInt { low, high } => value
                .as_i64()
                .filter(|n| n >= low && n < high)
                .map(|n| n.abs_diff(*low)),
            Self::Numeric(_) => None,
        }
    }
}
