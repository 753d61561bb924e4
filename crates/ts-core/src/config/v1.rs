//! Reads schema 1: the one with `trainingServicePlatform`, of NNI 1.x, which all later versions read too.
//!
//! Source: nni v1.9, `tools/nni_cmd/config_schema.py` and `launcher_utils.py`; nni v2.x for `maxTrialDuration` and
//! `sharedStorage`. A key that is null counts as absent, as NNI's conversion has it.

use super::{
    common::{self, Own},
    files,
    model::{Algorithm, AlgorithmKind, ExperimentConfig},
    node::{Entry, Node, Value},
    platform_section::{PlatformSection, Share, Shortcuts},
    problems::Problems,
    reference, search_space,
    section::Section,
    source::{ConfigSource, Schema},
    v2,
};
use crate::Platform;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Most trials, and most trials at a time. Schema 2 has the bound for the latter, too: more of them come before any has begun.
pub(super) const MOST: u32 = 99_999;

#[expect(clippy::too_many_lines, reason = "one line per key, in the order of the model")]
pub(super) fn read(
    root: &Node,
    source: &Arc<ConfigSource>,
    platforms: &[Platform],
    problems: &mut Problems,
) -> ExperimentConfig {
    let mut section = Section::new(root, "", Schema::V1, source, problems);
    let s = &mut section;
    s.string("authorName");
    let name = s.string("experimentName");
    let description = s.string("description");
    let platform_name = s.required_string("trainingServicePlatform");
    let trial_concurrency = s.required_u32("trialConcurrency", 1..=MOST);
    if !s.has("maxExecDuration") {
        s.note_default("maxExecDuration", "999d");
    }
    let max_experiment_duration = s.duration("maxExecDuration");
    let max_trial_number = s.u32_or("maxTrialNum", 1..=MOST, MOST);
    let max_trial_duration = s.duration("maxTrialDuration");
    let space_path = s.path("searchSpacePath");
    common::refuse_annotation(s);
    let multi_phase = s.bool_or("multiPhase", false);
    s.bool("multiThread");
    let nni_manager_ip = s.string("nniManagerIp");
    let debug = s.bool_or("debug", false);
    let log_level = common::log_level(s, debug);
    let working_dir = common::working_dir(s, "logDir".into());
    s.bool("versionCheck");
    s.choice("logCollection", &["http", "none"]);
    let algorithms = Algorithms::read(s);
    let shared_storage = common::shared_storage(s);
    let own = Own::read(s);
    s.claim("trial");
    let trial = s.entry("trial").filter(|entry| !entry.value.is_null()).cloned();
    if trial.is_none() {
        s.problem(
            "trial",
            "the key `trial` is missing",
            "add `trial:` with `command` and `codeDir`",
        );
    }
    let chosen = chosen_platforms(s, &platform_name, platforms);
    let entries = platform_entries(s, &chosen, platforms);
    if !s.has("searchSpacePath") && algorithms.need_search_space() {
        s.problem(
            "searchSpacePath",
            "there is no search space",
            "add `searchSpacePath: search_space.json`",
        );
    }
    for entry in s.rest() {
        s.refuse(entry, reference::other_schema(Schema::V1, &entry.key));
    }
    section.finish();

    let mut shortcuts = Shortcuts {
        nni_manager_ip: nni_manager_ip.clone(),
        debug,
        ..Shortcuts::default()
    };
    let trial = trial.map(|entry| {
        let has_command = entries.iter().any(|entry| v2::has_command(&entry.value));
        Entry {
            value: trial_section(&entry.value, &chosen, has_command, &mut shortcuts, source, problems),
            ..entry.clone()
        }
    });
    let space = space_path.and_then(|path| search_space::from_file(&path, "searchSpacePath".into(), problems));
    if let (Some(space), Some(algorithm)) = (&space, algorithms.parameter_source())
        && search_space::is_checked_for(algorithm)
    {
        space.check(problems);
    }
    let sections = chosen.iter().map(|platform| PlatformSection {
        platform: platform.name,
        schema: Schema::V1,
        path: String::new(),
        node: Arc::new(Node::new(
            Value::Map(own_entries(platform, &entries, trial.as_ref())),
            root.line,
            root.column,
        )),
        shortcuts: shortcuts.clone(),
        share: Share::default(),
        shared_storage: shared_storage.clone(),
        source: Arc::clone(source),
    });
    let sections = sections.collect();
    ExperimentConfig {
        file: source.file.clone(),
        schema: Schema::V1,
        name,
        description,
        search_space: space.map(|s| s.value),
        trial_command: shortcuts.trial_command,
        code: own.code(shortcuts.trial_code_directory.unwrap_or_default()),
        trial_concurrency,
        trial_gpus: shortcuts.trial_gpu_number,
        max_experiment_duration: max_experiment_duration.or(Some(Duration::from_hours(999 * 24))),
        max_trial_number: Some(max_trial_number),
        max_trial_duration,
        tuner: algorithms.tuner,
        assessor: algorithms.assessor,
        advisor: algorithms.advisor,
        working_dir,
        log_level,
        debug,
        nni_manager_ip,
        tuner_gpu_indices: algorithms.gpu_indices,
        multi_phase,
        shared_storage,
        platforms: sections,
        retry: own.retry,
        seed: own.seed,
        python: own.python,
        prefer_nni: own.prefer_nni,
        trial_channel: own.trial_channel,
    }
}

/// Key of the platforms' names.
const LIST: &str = "trainingServicePlatforms";
/// Name of the platform that stands for several. Source: nni v2.0, `nni/tools/nnictl/config_schema.py`.
const HYBRID: &str = "hybrid";

/// The platform, or those of `hybridConfig`.
fn chosen_platforms<'p>(s: &mut Section<'_>, name: &str, platforms: &'p [Platform]) -> Vec<&'p Platform> {
    if name != HYBRID {
        let found = common::find_platform(platforms, name, |message, help| {
            s.problem("trainingServicePlatform", message, help);
        });
        s.ignored("hybridConfig", "the platform is not `hybrid`");
        return found.into_iter().collect();
    }
    let chosen = s.required_section("hybridConfig", |s| {
        let mut chosen: Vec<&Platform> = Vec::new();
        let names = s.strings(LIST).unwrap_or_default();
        if names.is_empty() {
            s.problem(LIST, "no platform is listed", "write, say, `[local, remote]`");
        }
        for name in names {
            let found = common::find_platform(platforms, &name, |message, help| s.problem(LIST, message, help));
            match found {
                Some(platform) if chosen.iter().any(|other| other.name == platform.name) => {
                    s.problem(LIST, format!("`{name}` is listed twice"), "name each platform once");
                }
                found => chosen.extend(found),
            }
        }
        chosen
    });
    chosen.unwrap_or_default()
}

/// Takes the top-level sections of the chosen platforms; those of others have no effect, as NNI has it for `localConfig`.
fn platform_entries(s: &mut Section<'_>, chosen: &[&Platform], platforms: &[Platform]) -> Vec<Entry> {
    let mut kept: Vec<Entry> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for key in chosen.iter().flat_map(|p| p.v1_sections) {
        if seen.contains(key) {
            continue;
        }
        seen.push(key);
        if s.node(*key).is_some() {
            kept.extend(s.entry(*key).cloned());
        }
    }
    for key in platforms.iter().flat_map(|p| p.v1_sections) {
        if !seen.contains(key) {
            seen.push(key);
            s.ignored(*key, "it belongs to another platform");
        }
    }
    kept
}

/// What of the chosen platforms' entries and of `trial` is this platform's.
fn own_entries(platform: &Platform, entries: &[Entry], trial: Option<&Entry>) -> Vec<Entry> {
    let is_own = |entry: &&Entry| platform.v1_sections.contains(&entry.key.as_str());
    let mut own: Vec<Entry> = entries.iter().filter(is_own).cloned().collect();
    let of_trial = trial.and_then(|trial| trial.value.entries().map(|entries| (trial, entries)));
    if let Some((trial, entries)) = of_trial {
        let is_own = |entry: &&Entry| platform.v1_trial_keys.contains(&entry.key.as_str());
        let kept: Vec<Entry> = entries.iter().filter(is_own).cloned().collect();
        if !kept.is_empty() {
            own.push(Entry {
                value: Node::new(Value::Map(kept), trial.value.line, trial.value.column),
                ..trial.clone()
            });
        }
    }
    own
}

/// Reads the common keys of `trial` and gives the rest, as far as it is the chosen platforms'.
/// `has_command`: whether a platform's own section gives a command.
fn trial_section(
    node: &Node,
    chosen: &[&Platform],
    has_command: bool,
    shortcuts: &mut Shortcuts,
    source: &ConfigSource,
    problems: &mut Problems,
) -> Node {
    let mut section = Section::new(node, "trial", Schema::V1, source, problems);
    let s = &mut section;
    shortcuts.trial_command = s.string("command");
    let code = s.required_path("codeDir");
    common::check_code_directory(s, "codeDir".into(), &code);
    shortcuts.trial_code_directory = Some(code);
    shortcuts.trial_gpu_number = common::gpu_count(s, "gpuNum".into());
    s.choice("nasMode", &["classic_mode", "enas_mode", "oneshot_mode", "darts_mode"]);
    let own: Vec<&'static str> = chosen.iter().flat_map(|p| p.v1_trial_keys).copied().collect();
    s.know(own.iter().copied());
    let mut kept = Vec::new();
    for entry in s.rest() {
        if own.contains(&entry.key.as_str()) {
            kept.push(entry.clone());
        } else if !chosen.is_empty() {
            s.refuse(entry, reference::other_schema(Schema::V1, &entry.key));
        }
    }
    let kept = Node::new(Value::Map(kept), node.line, node.column);
    if !has_command && shortcuts.trial_command.is_none() && !s.has("command") && !v2::has_command(&kept) {
        s.problem(
            "command",
            "there is no command for trials",
            "add `command: python3 trial.py`",
        );
    }
    section.finish();
    kept
}

#[derive(Debug, Default)]
struct Algorithms {
    tuner: Option<Algorithm>,
    assessor: Option<Algorithm>,
    advisor: Option<Algorithm>,
    gpu_indices: Option<Vec<u32>>,
}

impl Algorithms {
    fn read(s: &mut Section<'_>) -> Self {
        let mut read = Self::default();
        let mut gpu_indices = None;
        let mut with_gpus = |s: &mut Section<'_>, name| {
            gpu_indices = s.gpu_indices("gpuIndices").or(gpu_indices.take());
            algorithm(s, name)
        };
        read.tuner = s.section("tuner", |s| with_gpus(s, "builtinTunerName")).flatten();
        read.advisor = s.section("advisor", |s| with_gpus(s, "builtinAdvisorName")).flatten();
        read.assessor = s.section("assessor", |s| algorithm(s, "builtinAssessorName")).flatten();
        read.gpu_indices = gpu_indices;
        if s.has("advisor") && (s.has("tuner") || s.has("assessor")) {
            let help = "an advisor is tuner and assessor in one; keep either the advisor or the others";
            s.problem("advisor", "`advisor` excludes `tuner` and `assessor`", help);
        } else if !s.has("advisor") && !s.has("tuner") {
            let help = "add `tuner: {builtinTunerName: TPE}` or another tuner";
            s.problem("tuner", "the key `tuner` is missing", help);
        }
        read
    }

    fn parameter_source(&self) -> Option<&Algorithm> {
        self.advisor.as_ref().or(self.tuner.as_ref())
    }

    /// Built-in ones do, but for the one that designs networks by itself.
    fn need_search_space(&self) -> bool {
        self.parameter_source()
            .is_some_and(|a| matches!(&a.kind, AlgorithmKind::Named(name) if name != "NetworkMorphism"))
    }
}

fn algorithm(s: &mut Section<'_>, name_key: &'static str) -> Option<Algorithm> {
    let name = s.string(name_key);
    let directory = s.path("codeDir");
    let file = s.string("classFileName");
    let class = s.string("className");
    let class_args = v2::class_args(s);
    let include_intermediate_results = s.bool_or("includeIntermediateResults", false);
    let is_custom = s.has("codeDir") || s.has("classFileName") || s.has("className");
    let kind = match (name, directory, file, class) {
        (Some(_), ..) if is_custom => {
            let help = format!("keep `{name_key}`, or `codeDir`, `classFileName` and `className`");
            s.problem(name_key, "a built-in and a custom algorithm exclude each other", help);
            return None;
        }
        (Some(name), ..) => AlgorithmKind::Named(name),
        (None, Some(directory), Some(file), Some(class)) => custom(s, directory, &file, &class)?,
        (None, ..) => {
            if !s.has(name_key) {
                let help = format!("add `{name_key}: …`, or all of `codeDir`, `classFileName` and `className`");
                s.problem(name_key, "the algorithm has no name", help);
            }
            return None;
        }
    };
    Some(Algorithm {
        kind,
        class_args,
        include_intermediate_results,
    })
}

fn custom(s: &mut Section<'_>, code_directory: PathBuf, file: &str, class: &str) -> Option<AlgorithmKind> {
    let path = code_directory.join(file);
    let Some(module) = file.strip_suffix(".py") else {
        s.problem(
            "classFileName",
            format!("`{file}` is no Python file"),
            "name a file that ends in `.py`",
        );
        return None;
    };
    if s.problems().needs_code() && !files::is_file(&path) {
        let message = format!("the file `{}` does not exist", path.display());
        s.problem("classFileName", message, "correct `codeDir` or `classFileName`");
        return None;
    }
    let module = module.trim_start_matches("./").replace('/', ".");
    Some(AlgorithmKind::Class {
        class_name: format!("{module}.{class}"),
        code_directory,
    })
}
