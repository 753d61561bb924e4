//! The environment of a process that a test makes up.

use async_trait::async_trait;
use ts_core::{Error, ErrorKind, Result, Secret, SecretSource};

/// Resolves `${env:NAME}` for the variables in it, and nothing else.
#[derive(Debug, Clone, Default)]
#[expect(clippy::exhaustive_structs, reason = "variables and nothing else")]
pub struct Environment(pub Vec<(&'static str, String)>);

#[async_trait]
impl SecretSource for Environment {
    async fn resolve(&self, reference: &str) -> Result<Secret> {
        let found = self.0.iter().find(|(name, _)| format!("${{env:{name}}}") == reference);
        let unset = || Error::new(ErrorKind::NotFound, format!("`{reference}` is not set"));
        found.map(|(_, text)| Secret::new(text)).ok_or_else(unset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_set_is_found() {
        let environment = Environment(vec![("A", "1".to_owned())]);
        assert_eq!(environment.resolve("${env:A}").await.expect("set").expose(), "1");
        for reference in ["${env:B}", "A", "file:A"] {
            let error = environment.resolve(reference).await.expect_err("unset");
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }
}
