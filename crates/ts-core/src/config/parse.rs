//! From text to model: finds out the schema, has it read, and has each platform check its section.
//!
//! The keys themselves are in `v1.rs`, `v2.rs` and the platforms.

use super::{
    common,
    literal_secret::LiteralSecret,
    model::ExperimentConfig,
    node::Node,
    problems::{Problem, Problems, nearest},
    reads::Reads,
    resolved::Resolved,
    source::{ConfigSource, Schema},
    v1, v2, yaml,
};
use crate::Platform;
use std::sync::Arc;

/// What came of reading a configuration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parsed {
    /// The experiment; `None` exactly if there are problems.
    pub config: Option<ExperimentConfig>,
    /// What is wrong, all of it.
    pub problems: Problems,
    /// What has no effect or is worth a look, by position.
    pub warnings: Vec<Problem>,
    /// Every value with its origin; as far as reading went if there are problems.
    pub resolved: Resolved,
    /// Every secret that the file spells out.
    pub secrets: Vec<LiteralSecret>,
    /// What was read where, for [`super::migrate`].
    pub(super) reads: Reads,
}

/// Reads an experiment of either schema.
///
/// `platforms` are those that may be named; each checks its own section, so that its problems come with the others.
/// Looks whether named directories exist and reads the search space file, nothing else.
///
/// ```
/// use ts_core::config::{ConfigSource, parse};
/// let source = ConfigSource { file: "config.yml".into(), base_dir: "/exp".into(), home: None };
/// let parsed = parse("trialConcurency: 2", &source, &[]);
/// assert!(parsed.config.is_none());
/// let error = parsed.problems.into_result().unwrap_err();
/// assert!(error.message().contains("says neither `trainingService`"));
/// ```
pub fn parse(text: &str, source: &ConfigSource, platforms: &[Platform]) -> Parsed {
    parse_with(text, source, platforms, Problems::new())
}

/// Reads what an experiment of the past was configured by, to look at it or to remove it: as [`parse`], but its code directory, the
/// file of its search space, and that of its tuner may be gone.
pub fn parse_past(text: &str, source: &ConfigSource, platforms: &[Platform]) -> Parsed {
    parse_with(text, source, platforms, Problems::of_past())
}

fn parse_with(text: &str, source: &ConfigSource, platforms: &[Platform], mut problems: Problems) -> Parsed {
    let source = Arc::new(source.clone());
    let config =
        yaml::load(text, &source.file, &mut problems).and_then(|root| read(&root, &source, platforms, &mut problems));
    let resolved = Resolved::new(problems.take_values());
    Parsed {
        config: config.filter(|_| problems.is_empty()),
        warnings: problems.take_warnings(),
        secrets: problems.take_secrets(),
        reads: problems.take_reads(),
        problems,
        resolved,
    }
}

fn read(
    root: &Node,
    source: &Arc<ConfigSource>,
    platforms: &[Platform],
    problems: &mut Problems,
) -> Option<ExperimentConfig> {
    let schema = schema_of(root, source, problems)?;
    let config = match schema {
        Schema::V1 => v1::read(root, source, platforms, problems),
        Schema::V2 => v2::read(root, source, platforms, problems),
    };
    common::check_platforms(&config.platforms, platforms, problems);
    Some(config)
}

/// Which schema the file is written in, by the key that names the platform.
fn schema_of(root: &Node, source: &ConfigSource, problems: &mut Problems) -> Option<Schema> {
    let fail =
        |line, column, message: &str, help: String| Problem::new(&source.file, line, column, message).with_help(help);
    let Some(entries) = root.entries() else {
        let message = if root.is_null() {
            "the file is empty".to_owned()
        } else {
            format!("a map of keys and values is expected, found {}", root.describe())
        };
        let help = "write an experiment: `trialCommand`, `trialConcurrency`, `tuner`, `trainingService`, …";
        problems.push(fail(root.line, root.column, &message, help.into()));
        return None;
    };
    let find = |key: &str| entries.iter().find(|e| Schema::V2.fold(&e.key) == key);
    match (find("trainingserviceplatform"), find("trainingservice")) {
        (Some(_), None) => Some(Schema::V1),
        (None, Some(_)) => Some(Schema::V2),
        (Some(one), Some(two)) => {
            let (later, other) = if one.line > two.line { (one, two) } else { (two, one) };
            let message = format!(
                "`{}` and `{}` (line {}) are keys of two different schemas",
                later.key, other.key, other.line
            );
            let help =
                "keep `trainingServicePlatform` with the keys of NNI 1, or `trainingService` with those of NNI 2";
            problems.push(fail(later.line, later.column, &message, help.into()).with_key(&later.key));
            None
        }
        (None, None) => {
            let keys = ["trainingService", "trainingServicePlatform"];
            let near = entries.iter().find(|e| {
                nearest(&e.key, keys)
                    .is_some_and(|n| strsim::levenshtein(&e.key.to_lowercase(), &n.to_lowercase()) <= 3)
            });
            let (line, column) = near.map_or((root.line, root.column), |e| (e.line, e.column));
            let help = match near {
                Some(entry) => format!(
                    "did you mean `{}` instead of `{}`?",
                    nearest(&entry.key, keys).unwrap_or(keys[0]),
                    entry.key
                ),
                None => "add `trainingService: {platform: …}`".into(),
            };
            let message = "the file says neither `trainingService` nor `trainingServicePlatform`";
            problems.push(fail(line, column, message, help));
            None
        }
    }
}
