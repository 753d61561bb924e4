//! Secrets that mask themselves, and where references to them are looked up.

use crate::Result;
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// A secret text. `Debug`, `Display` and serialization show `***`; only [`Secret::expose`] gives the text.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a text that must not show.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }
    /// The text itself. Never log, print or store it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("***")
    }
}

/// Resolves secret references of the configuration: `${env:NAME}` and `file:PATH`.
#[async_trait]
pub trait SecretSource: Send + Sync + fmt::Debug {
    /// Gives the secret that `reference` names.
    ///
    /// # Errors
    /// `Config` if the reference is malformed, `NotFound` if it names nothing.
    async fn resolve(&self, reference: &str) -> Result<Secret>;
}

/// Knows no secrets: every reference is `NotFound`. For platforms and tests that need none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

#[async_trait]
impl SecretSource for NoSecrets {
    async fn resolve(&self, reference: &str) -> Result<Secret> {
        Err(crate::Error::new(
            crate::ErrorKind::NotFound,
            format!("no secret source knows `{reference}`"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {secret}"), "*** ***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }
}
