//! Looks up the secrets that a configuration refers to: `${env:NAME}` and `file:PATH`, and `${config:FILE#KEY}`, by which the
//! store refers to secrets that the user's own file spells out.
//!
//! Nothing is kept: a secret is read each time it is needed.

use crate::platforms::PLATFORMS;
use async_trait::async_trait;
use std::path::Path;
use ts_core::{
    Error, ErrorKind, Result, Secret, SecretSource,
    config::{CONFIG_REFERENCE, ConfigSource, parse},
};

/// Secrets of the environment and of files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvSecrets;

#[async_trait]
impl SecretSource for EnvSecrets {
    async fn resolve(&self, reference: &str) -> Result<Secret> {
        if let Some(name) = reference.strip_prefix("${env:").and_then(|rest| rest.strip_suffix('}')) {
            return from_variable(name);
        }
        if let Some(path) = reference.strip_prefix("file:") {
            return from_file(Path::new(path));
        }
        if let Some((file, key)) = reference
            .strip_prefix(CONFIG_REFERENCE)
            .and_then(|rest| rest.strip_suffix('}')?.rsplit_once('#'))
        {
            return from_configuration(Path::new(file), key);
        }
        Err(Error::new(
            ErrorKind::Config,
            format!("`{reference}` is not a reference to a secret"),
        )
        .with_help("write `${env:NAME}` or `file:PATH`"))
    }
}

fn from_variable(name: &str) -> Result<Secret> {
    match std::env::var_os(name).map(std::ffi::OsString::into_string) {
        Some(Ok(text)) if !text.is_empty() => Ok(Secret::new(text)),
        Some(Err(_)) => Err(Error::new(
            ErrorKind::Config,
            format!("the environment variable `{name}` is not UTF-8"),
        )),
        _ => Err(Error::new(
            ErrorKind::NotFound,
            format!("the environment variable `{name}` is not set"),
        )
        .with_help(format!("set it for the manager: `export {name}=…`"))),
    }
}

/// What the configuration spells out under this key.
fn from_configuration(file: &Path, key: &str) -> Result<Secret> {
    const HELP: &str = "the experiment's store keeps no secret; put the file back as it was, or write `${env:NAME}` or \
                        `file:PATH` in it and start again";
    let text = std::fs::read_to_string(file).map_err(|e| {
        Error::io("look up a secret in the configuration", file, e)
            .with_key(key)
            .with_help(HELP)
    })?;
    let source = ConfigSource {
        file: file.to_owned(),
        base_dir: file.parent().unwrap_or(Path::new("/")).to_owned(),
        home: None,
    };
    let mut secrets = parse(&text, &source, PLATFORMS).secrets.into_iter();
    let found = secrets.find(|literal| literal.key == key).map(|literal| literal.secret);
    found.ok_or_else(|| {
        let message = format!("`{}` no longer spells out `{key}`", file.display());
        Error::new(ErrorKind::NotFound, message).with_key(key).with_help(HELP)
    })
}

/// The file's text without the line end that editors leave.
fn from_file(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the secret in", path, e))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("the secret in `{}` is empty", path.display()),
        ));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reference_is_looked_up_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "hunter2\n").unwrap();
        let secret = EnvSecrets.resolve(&format!("file:{}", path.display())).await.unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert!(EnvSecrets.resolve("${env:PATH}").await.is_ok());
        let missing = EnvSecrets
            .resolve("${env:TSCTL_HAS_NO_SUCH_VARIABLE}")
            .await
            .unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_eq!(
            EnvSecrets.resolve("hunter2").await.unwrap_err().kind(),
            ErrorKind::Config
        );
    }
}
