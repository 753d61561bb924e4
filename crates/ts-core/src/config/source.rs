//! Where a configuration comes from, and how its paths are read: `~` first, then relative to the file's directory.
//!
//! Looking whether a path exists belongs to `files.rs`.

use std::path::{Component, Path, PathBuf};

/// Which of NNI's two schemas a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[expect(clippy::exhaustive_enums, reason = "NNI is archived; there will be no third schema")]
pub enum Schema {
    /// The one with `trainingServicePlatform`: NNI 1.x, read by all later versions. Keys match exactly.
    V1,
    /// The one with `trainingService`: NNI 2.0 to 3.0. Keys match without regard to case and underscores.
    V2,
}

impl Schema {
    /// What keys are compared by: exact in schema 1; without case and underscores in schema 2.
    ///
    /// Source: nni v3.0, `nni/experiment/config/base.py`.
    pub fn fold(self, key: &str) -> String {
        match self {
            Self::V1 => key.to_owned(),
            Self::V2 => key.chars().filter(|c| *c != '_').collect::<String>().to_lowercase(),
        }
    }
}

/// What reading a configuration needs to know of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers build it; a new field must be a decision of theirs"
)]
pub struct ConfigSource {
    /// The file as the user named it, for messages.
    pub file: PathBuf,
    /// Absolute directory that relative paths start from: the file's own.
    pub base_dir: PathBuf,
    /// What `~` stands for, if it is known.
    pub home: Option<PathBuf>,
}

impl ConfigSource {
    /// The absolute path that `text` names.
    ///
    /// # Errors
    /// A message, if it starts with `~` and the home directory is not known or another user's.
    pub fn resolve(&self, text: &str) -> Result<PathBuf, String> {
        let path = Path::new(text);
        let joined = match path.strip_prefix("~") {
            Ok(rest) => match &self.home {
                Some(home) => home.join(rest),
                None => return Err(format!("`{text}` needs the home directory, which is not known")),
            },
            Err(_) if text.starts_with('~') => {
                return Err(format!(
                    "`{text}` names another user's home directory, which is not looked up"
                ));
            }
            Err(_) => self.base_dir.join(path),
        };
        Ok(joined.components().filter(|c| *c != Component::CurDir).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_file_and_home() {
        let source = ConfigSource {
            file: "exp/config.yml".into(),
            base_dir: "/home/u/exp".into(),
            home: Some("/home/u".into()),
        };
        for (written, expected) in [
            (".", "/home/u/exp"),
            ("./code", "/home/u/exp/code"),
            ("~", "/home/u"),
            ("~/x", "/home/u/x"),
            ("/abs", "/abs"),
            ("../up", "/home/u/exp/../up"),
        ] {
            assert_eq!(source.resolve(written), Ok(PathBuf::from(expected)), "{written}");
        }
        assert!(source.resolve("~bob/x").is_err());
        assert!(ConfigSource { home: None, ..source }.resolve("~/x").is_err());
    }

    #[test]
    fn keys_fold() {
        assert_eq!(Schema::V2.fold("trial_Command"), "trialcommand");
        assert_eq!(Schema::V1.fold("trial_Command"), "trial_Command");
    }
}
