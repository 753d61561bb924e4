//! A secret of a configuration: written out, or a reference that is looked up when it is needed.
//!
//! Looking up belongs to [`SecretSource`], which the command line provides.

use crate::{Result, Secret, SecretSource};
use std::fmt;

/// Begins a reference to a secret that a configuration file spells out: `${config:FILE#KEY}`.
pub const CONFIG_REFERENCE: &str = "${config:";

/// A secret or where to find it: `${env:NAME}` or `file:PATH`.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "written out or referred to; there is no third way"
)]
pub enum SecretRef {
    /// Written in the file.
    Literal(Secret),
    /// A reference; the path of `file:` is absolute.
    Reference(String),
}

impl SecretRef {
    /// The secret, looked up now.
    ///
    /// # Errors
    /// Those of [`SecretSource::resolve`].
    pub async fn resolve(&self, source: &dyn SecretSource) -> Result<Secret> {
        match self {
            Self::Literal(secret) => Ok(secret.clone()),
            Self::Reference(reference) => source.resolve(reference).await,
        }
    }
}

/// The reference itself, or `***`.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(secret) => secret.fmt(f),
            Self::Reference(reference) => f.write_str(reference),
        }
    }
}
