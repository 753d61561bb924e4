//! Identifiers of experiments and trials, their alphabets and their minting.
//!
//! Every id is checked on the way in, because ids become path segments, labels and environment variables.

use crate::{Error, ErrorKind, Result};
use std::{fmt, str::FromStr, sync::Arc};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes an id: 1 to 32 characters of `[A-Za-z0-9_-]`.
            ///
            /// # Errors
            /// `Config` if the text breaks the rule.
            pub fn new(text: &str) -> Result<Self> {
                let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if text.is_empty() || text.len() > 32 || !text.chars().all(legal) {
                    return Err(Error::new(
                        ErrorKind::Config,
                        format!(concat!("`{}` is not ", $what, " id"), text.escape_debug()),
                    )
                    .with_help("use 1 to 32 letters, digits, `_` or `-`"));
                }
                Ok(Self(text.into()))
            }
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// Identifies an experiment.
    ///
    /// Source of the rule: nni v3.0, user ids must match `^[A-Za-z0-9_\-]{1,32}$`.
    ExperimentId,
    "an experiment"
);
id!(
    /// Identifies a trial within its experiment.
    ///
    /// NNI mints 5 random characters and never checks for a collision; a minter here must.
    TrialId,
    "a trial"
);

/// Mints ids. Part of [`crate::Ctx`], so that tests are reproducible.
pub trait IdSource: Send + Sync + fmt::Debug {
    /// A new experiment id: 8 characters of `[a-z0-9]`, as NNI 2.6 and later.
    fn experiment(&self) -> ExperimentId;
    /// A new trial id: a letter, then letters and digits. The caller checks that it is new to the experiment.
    fn trial(&self) -> TrialId;
}

/// Ids from the thread's cryptographic random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl RandomIds {
    /// Length of a minted trial id. NNI uses 5; with 8 the birthday bound is far beyond 10 million trials.
    pub const TRIAL_LEN: usize = 8;
}

fn pick(alphabet: &[u8]) -> char {
    char::from(alphabet[rand::random_range(0..alphabet.len())])
}

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const MIXED: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

impl IdSource for RandomIds {
    fn experiment(&self) -> ExperimentId {
        ExperimentId((0..8).map(|_| pick(LOWER)).collect::<String>().into())
    }
    fn trial(&self) -> TrialId {
        let first = std::iter::once(pick(&MIXED[..52]));
        let rest = (1..Self::TRIAL_LEN).map(|_| pick(MIXED));
        TrialId(first.chain(rest).collect::<String>().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_a_directory_or_a_label_are_refused() {
        for bad in ["", "..", "a/b", "a b", "ü", "a\n", &"x".repeat(33)] {
            assert!(TrialId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "Ab1cd", "A_b-9", &"x".repeat(32)] {
            assert!(TrialId::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn minted_ids_obey_the_rule() {
        for _ in 0..100 {
            assert!(TrialId::new(RandomIds.trial().as_str()).is_ok());
            assert_eq!(RandomIds.experiment().as_str().len(), 8);
        }
    }
}
