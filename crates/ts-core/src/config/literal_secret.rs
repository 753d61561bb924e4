//! Secrets that are written out in a configuration, and the configuration without them, for those who keep its text.

use super::{secret_ref::CONFIG_REFERENCE, yaml};
use crate::Secret;

/// A secret that a configuration file spells out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LiteralSecret {
    /// Full key in the schema of the file, such as `machineList[0].passwd`.
    pub key: String,
    /// The secret.
    pub secret: Secret,
    /// Line and column of the value, from 1.
    pub(super) place: (u32, u32),
}

/// The text of a configuration with each of its literal secrets replaced by a reference to `file`, where it can be looked up.
///
/// Comments stay as they are.
pub fn without_secrets(text: &str, secrets: &[LiteralSecret], file: &std::path::Path) -> String {
    replaced(text, secrets, |secret| {
        format!("{CONFIG_REFERENCE}{}#{}}}", file.display(), secret.key)
    })
}

/// The text of a configuration with each of its literal secrets shown as `***`, wherever it stands, comments included.
pub fn masked(text: &str, secrets: &[LiteralSecret]) -> String {
    masked_words(&replaced(text, secrets, |secret| secret.secret.to_string()), secrets)
}

pub(super) fn masked_words(text: &str, secrets: &[LiteralSecret]) -> String {
    let mut shown = text.to_owned();
    for secret in secrets {
        let secret = secret.secret.expose().trim();
        // A shorter one would hide half of the file.
        if secret.len() >= 4 {
            shown = shown.replace(secret, "***");
        }
    }
    shown
}

fn replaced(text: &str, secrets: &[LiteralSecret], by: impl Fn(&LiteralSecret) -> String) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for scalar in yaml::scalars(text) {
        let at_place = secrets.iter().find(|s| s.place == scalar.place);
        // An alias stands at the secret's place; the text is where its anchor is.
        let by_anchor = || {
            secrets
                .iter()
                .find(|s| scalar.is_anchored && s.secret.expose() == scalar.text)
        };
        let Some(secret) = at_place.or_else(by_anchor) else {
            continue;
        };
        let Some(written) = text.get(scalar.range.clone()) else {
            continue;
        };
        let reference = by(secret);
        out.push_str(&text[done..scalar.range.start]);
        if scalar.is_block {
            // The text of a block follows its `|`, which stays.
            out.push_str(&reference);
        } else {
            out.push_str(&serde_json::Value::String(reference).to_string());
        }
        if written.ends_with('\n') {
            out.push('\n');
        }
        done = scalar.range.end;
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigSource, parse};
    use std::path::Path;

    const FILE: &str = "
trainingService: { platform: local }
sharedStorage:
  storageType: AzureBlob
  storageAccountKey: KEY
# hunter2 is no secret here
";

    fn stored(value: &str) -> String {
        let text = FILE.replace("KEY", value);
        let source = ConfigSource {
            file: "config.yml".into(),
            base_dir: "/exp".into(),
            home: None,
        };
        let secrets = parse(&text, &source, &[]).secrets;
        assert_eq!(secrets.len(), 1, "{value}");
        assert_eq!(secrets[0].secret.expose().trim_end(), "hunter\"2'é");
        let stored = without_secrets(&text, &secrets, Path::new("/exp/config.yml"));
        assert!(parse(&stored, &source, &[]).secrets.is_empty(), "{stored}");
        stored
    }

    #[test]
    fn every_way_to_write_a_secret_is_replaced_and_all_else_stays() {
        let expected = FILE.replace("KEY", "\"${config:/exp/config.yml#sharedStorage.storageAccountKey}\"");
        for value in ["'hunter\"2''é'", "\"hunter\\\"2'é\"", "hunter\"2'é"] {
            assert_eq!(stored(value), expected, "{value}");
        }
        let block = stored("|\n    hunter\"2'é");
        assert!(!block.contains("hunter\"2'é"), "{block}");
        assert!(block.contains("# hunter2 is no secret here"), "{block}");
    }
}
